//! The page of commands, made of their help.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::{MADE, holds, plain};
use crate::args::{Cli, examples, join, prose};

/// What stands before the commands.
const BEGINNING: &str = "\
The help of each command (`wasmgrid COMMAND --help`, `man wasmgrid-COMMAND`) says the same. \
`wasmgrid completion SHELL` prints completions, `wasmgrid man FOLDER` writes the manual pages. \
[Outcomes and exit codes](outcomes.md) has the exit codes, [Configuration](configuration.md) the \
settings and the variables of the environment.

## Quantities

- Bytes: `64MiB`, `1GB`, `4096B`. `64M` is `64MiB`.
- Times: `30s`, `1h30m`, `500ms`.
- Fuel: `2G`, `500M`, `1T`.

Bytes and times need a unit; its case does not matter.
";

/// The heading of arguments without a flag.
const ARGUMENTS: &str = "Arguments";

/// The heading of flags that have none.
const OPTIONS: &str = "Options";

#[test]
fn the_page_of_commands_is_the_programs_help() {
    holds("cli.md", &page());
}

fn page() -> String {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    let (mut list, mut commands) = (String::new(), String::new());
    for one in all.get_subcommands() {
        section(one, one.get_name(), &mut list, &mut commands);
    }
    let everywhere = all.get_arguments().filter(|arg| arg.is_global_set());
    let everywhere: String = everywhere.map(|arg| item(arg) + "\n").collect();
    format!(
        "# Commands\n\n{MADE}\n\n{BEGINNING}\n## Flags of every command\n\n{everywhere}\n## All \
         commands\n\n| command | does |\n|---|---|\n{list}{commands}"
    )
}

/// Adds a command with all below it.
fn section(command: &Command, path: &str, list: &mut String, text: &mut String) {
    let about = command.get_about().map(|about| plain(&about.to_string())).unwrap_or_default();
    let anchor = path.replace(' ', "-");
    let _ = writeln!(list, "| [`{path}`](#wasmgrid-{anchor}) | {} |", about.replace('|', "\\|"));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let _ = write!(text, "\n## wasmgrid {path}\n\n{about}.\n\n```text\n{usage}\n```\n");
    for heading in headings(command) {
        let _ = write!(text, "\n**{heading}**\n\n");
        for arg in own(command).filter(|arg| heading_of(arg) == heading) {
            let _ = writeln!(text, "{}", item(arg));
        }
    }
    if let Some(prose) = prose(command) {
        let _ = write!(text, "\n{}", paragraphs(&prose));
    }
    if let Some(examples) = examples(path) {
        let lines: Vec<&str> =
            examples.lines().skip(1).map(|line| line.get(2..).unwrap_or(line)).collect();
        let _ = write!(text, "\nExamples:\n\n```text\n{}\n```\n", lines.join("\n"));
    }
    for one in command.get_subcommands() {
        section(one, &join(path, one.get_name()), list, text);
    }
}

/// The arguments that a command has for itself.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_own = |arg: &&Arg| {
        let name = arg.get_id().as_str();
        !arg.is_global_set() && !arg.is_hide_set() && name != "help" && name != "version"
    };
    command.get_arguments().filter(is_own)
}

fn heading_of(arg: &Arg) -> &str {
    let otherwise = if arg.is_positional() { ARGUMENTS } else { OPTIONS };
    arg.get_help_heading().filter(|_| !arg.is_positional()).unwrap_or(otherwise)
}

/// The headings in the order in which help has them.
fn headings(command: &Command) -> Vec<&str> {
    let mut headings: Vec<&str> = Vec::new();
    for first in [Some(ARGUMENTS), Some(OPTIONS), None] {
        for heading in own(command).map(heading_of) {
            if first.is_none_or(|first| first == heading) && !headings.contains(&heading) {
                headings.push(heading);
            }
        }
    }
    headings
}

/// An argument with what is said of it.
fn item(arg: &Arg) -> String {
    let short = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(_)) => format!("`-{short}`, "),
        _ => String::new(),
    };
    let help = arg.get_help().map(|help| plain(&help.to_string())).unwrap_or_default();
    let name = arg.to_string();
    // Such a flag may be repeated, which its help says.
    let name = if arg.get_action().takes_values() { &name } else { name.trim_end_matches("...") };
    let mut text = format!("- {short}`{name}`: {help}");
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_possible_values();
    if takes_value && values.iter().any(|value| value.get_help().is_some()) {
        let value = |value: &clap::builder::PossibleValue| {
            let help = value.get_help().map(|help| format!(" ({})", plain(&help.to_string())));
            format!("`{}`{}", value.get_name(), help.unwrap_or_default())
        };
        let values: Vec<String> = values.iter().map(value).collect();
        let _ = write!(text, ". Values: {}", values.join(", "));
    }
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let defaults: Vec<_> = defaults.collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, " (`{}`)", variable.to_string_lossy());
    }
    text
}

/// Prose, whose indented lines stay as they are.
fn paragraphs(text: &str) -> String {
    let (mut made, mut is_kept) = (String::new(), false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with(' ') != is_kept && !line.is_empty() {
            is_kept = !is_kept;
            made.push_str(if is_kept { "\n```text\n" } else { "\n" });
        }
        made.push_str(&if is_kept {
            line.get(2..).unwrap_or(line).to_owned()
        } else {
            plain(line)
        });
        made.push('\n');
        if is_kept && lines.peek().is_none_or(|next| !next.starts_with(' ')) {
            made.push_str("```\n\n");
            is_kept = false;
        }
    }
    made.replace("\n\n\n", "\n\n").trim_end().to_owned() + "\n"
}
