//! The page of settings, made of their table and of the caps.

use std::fmt::Write as _;

use wasmgrid_worker::sandbox::{Cap, Caps};

use super::{MADE, holds, plain};
use crate::settings::{Commands, GATEWAY, Kind, MODULE, RUN, SERVER, Setting, TABLE, UP, WORKER};

/// What stands before the settings.
const BEGINNING: &str = "\
Settings of `up`, `server`, `join` and `worker`. A TOML file (`--config FILE`, `WASMGRID_CONFIG`) \
has the keys of the first column. Texts and paths stand in quotes, a list in brackets, as in `labels \
= [\"zone=a\"]`; a relative path is resolved against the file's folder. In a variable, the values of a list are \
separated by commas. [Settings](../operating/settings.md) says which source overrides which.
";

/// The variables that are no setting's.
const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("WASMGRID_HOME", "one folder for contexts, state and cache"),
    ("WASMGRID_CONTEXT", "the context, instead of the selected one"),
    ("WASMGRID_TOKEN", "the token for `join` and `context add`"),
    ("WASMGRID_CONFIG", "the file of settings, like `--config`"),
    ("WASMGRID_LOG", "log directives, such as `wasmgrid_server=debug,warn`"),
    (
        "WASMGRID_LOG_FORMAT",
        "`json` for logs of one object per line, like `--log json`; not a key of the file",
    ),
];

#[test]
fn the_page_of_settings_is_their_table() {
    holds("configuration.md", &page());
}

#[test]
fn every_variable_that_is_read_is_on_the_page() {
    let page = page();
    for variable in crate::config::variables() {
        assert!(page.contains(&format!("`{variable}`")), "{variable} is not on the page");
    }
}

#[test]
fn keys_variables_and_flags_have_one_name() {
    for Setting { key, flag, variable, .. } in TABLE {
        assert_eq!(*variable, format!("WASMGRID_{}", key.to_uppercase()));
        // A list is named for all of its values, its flag for one.
        let of_flag = flag.replace('-', "_");
        assert!(*key == of_flag || *key == format!("{of_flag}s"), "{key} is set by --{flag}");
    }
}

fn page() -> String {
    let both = |commands: Commands| commands & SERVER != 0 && commands & WORKER != 0;
    let part = |heading: &str, fits: &dyn Fn(Commands) -> bool| {
        let all: Vec<_> = TABLE.iter().filter(|setting| fits(setting.commands())).collect();
        format!("\n## {heading}\n\n{}", settings(&all))
    };
    let mut page = format!("# Configuration\n\n{MADE}\n\n{BEGINNING}");
    page += &part("Schedulers and workers", &both);
    page += &part("Schedulers (`up`, `server`)", &|of| !both(of) && of & WORKER == 0);
    page += &part("Workers (`up`, `join`, `worker`)", &|of| !both(of) && of & WORKER != 0);
    page += "\n## Other variables\n\n| variable | meaning |\n|---|---|\n";
    for (variable, meaning) in OTHER_VARIABLES {
        let _ = writeln!(page, "| `{variable}` | {meaning} |");
    }
    page + &caps()
}

fn settings(all: &[&Setting]) -> String {
    let mut text = String::from("| key | flag | variable | default |\n|---|---|---|---|\n");
    for one in all {
        let list = if one.is_list { " (list)" } else { "" };
        let default = match (one.default, one.kind) {
            ("", Kind::Switch) => "false",
            ("", _) => "none",
            (default, _) => default,
        };
        let (key, flag, value, variable) = (one.key, one.flag, one.value, one.variable);
        let flag = match one.kind {
            Kind::Switch => format!("--{flag}[={value}]"),
            Kind::Text | Kind::Path | Kind::Number => format!("--{flag} {value}"),
        };
        let _ = writeln!(text, "| `{key}`{list} | `{flag}` | `{variable}` | {default} |");
    }
    text.push('\n');
    for one in all {
        let also = match one.commands() {
            UP => " (`up` only)",
            commands if commands & GATEWAY != 0 => " (also of `gateway`)",
            commands if commands & RUN != 0 => " (also of `run`)",
            commands if commands & MODULE != 0 => " (also of `run`, `submit` and `inspect`)",
            _ => "",
        };
        let help = one.help.iter().map(|(of, help)| match of & WORKER != 0 {
            true if one.help.len() > 1 => format!("Workers: {}", plain(help)),
            false if one.help.len() > 1 => format!("Schedulers: {}", plain(help)),
            _ => plain(help),
        });
        let _ = writeln!(text, "- `{}`{also}: {}.", one.key, help.collect::<Vec<_>>().join(". "));
    }
    text
}

fn caps() -> String {
    let mut text = String::from(
        "\n## Structural caps\n\n| cap | default | maximum | what it bounds |\n|---|--:|--:|---|\n",
    );
    for &cap in Cap::ALL {
        let most = match cap.most() {
            u64::MAX => "none".to_owned(),
            most => cap.show(most),
        };
        let (name, counts) = (cap.name(), cap.counts().trim_end_matches(','));
        let default = cap.show(Caps::default().value(cap));
        let _ = writeln!(text, "| `{name}` | {default} | {most} | {counts} |");
    }
    text + "\n[caps.rs](../../../../host/sandbox/src/caps.rs) gives the reason for each default.\n"
}
