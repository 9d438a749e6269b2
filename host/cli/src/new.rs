//! `wasmgrid new`: a task crate that builds at once and has a native test.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{
    args::NewArgs,
    escape::Lines,
    exit::{Exit, WithExit as _, usage},
    print,
};

/// Where the SDK was when this binary was built: there still is one where it runs from a checkout.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-sdk");

/// The version of the SDK that goes with this binary.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The function that the READMEs show too.
const FUNCTION: &str = "\
/// The sum of the squares of the numbers from 1 to `n`.
#[wasmgrid::task]
fn squares(n: u64) -> u64 {
    (1..=n).map(|k| k * k).sum()
}
";

/// What stands below it.
const TESTS: &str = "
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_three_numbers_sum_to_fourteen() {
        assert_eq!(squares(3), 14);
    }
}
";

/// Keeps the whole of a small task's memory within what a runner clears and keeps between tasks;
/// `make bench` shows the difference.
const CARGO_CONFIG: &str = "\
[target.wasm32-wasip2]
# A fresh task is made fastest where all the memory it begins with is at most 256 KiB. Of that this
# is the stack; a task that recurses deeply wants more (Rust's own choice is 1048576).
rustflags = [\"-C\", \"link-arg=-zstack-size=131072\"]
";

/// Words that cargo refuses as names: those of Rust, and the crates that a new one rests on.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "if", "impl", "in",
    "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "test", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "serde",
    "wasmgrid",
];

/// Makes the crate.
///
/// # Errors
/// Usage errors: a folder that is there, a name that no crate can have.
pub fn new(args: &NewArgs) -> anyhow::Result<Exit> {
    let name = crate_name(&args.path)?;
    let dependency = dependency(args.sdk.as_deref())?;
    let folder = args.path.display();
    if args.path.exists() {
        return Err(usage(format!("{folder} already exists; choose another name")));
    }
    let files = [
        ("Cargo.toml", manifest(&name, &dependency)),
        ("src/main.rs", format!("{FUNCTION}{TESTS}")),
        (".cargo/config.toml", CARGO_CONFIG.to_owned()),
        (".gitignore", "/target\n".to_owned()),
    ];
    if let Err(error) = write(&args.path, files) {
        // Half a crate would be in the way of the next try. Where it cannot go, the error says why.
        let _ = fs::remove_dir_all(&args.path);
        return Err(error);
    }
    let mut said = Lines::default();
    said.push(format_args!("made the task {name} in {folder}; next:"));
    said.push(format_args!("  cd {folder}"));
    said.push("  cargo test");
    said.push("  wasmgrid run . --range 1..=100");
    print::lines(&said).exit(Exit::Failed)?;
    Ok(Exit::Ok)
}

fn write<const N: usize>(folder: &Path, files: [(&str, String); N]) -> anyhow::Result<()> {
    for (file, text) in files {
        let path = folder.join(file);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text))
            .with_context(|| format!("failed to write {}", path.display()))
            .exit(Exit::Usage)?;
    }
    Ok(())
}

/// The crate's name: that of the folder, where cargo accepts it.
fn crate_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !starts || !rest || name.len() > 64 {
        return Err(usage(format!(
            "invalid crate name {name:?}: expected at most 64 letters, digits, - and _, beginning with \
             a letter or _"
        )));
    }
    if KEYWORDS.contains(&name) {
        return Err(usage(format!("a crate cannot be called {name:?}; choose another name")));
    }
    Ok(name.to_owned())
}

/// The SDK as a dependency: where the user says, else the checkout, else the version.
fn dependency(sdk: Option<&Path>) -> anyhow::Result<String> {
    let path = match sdk {
        Some(path) if !path.join("Cargo.toml").is_file() => {
            let path = path.display();
            return Err(usage(format!("{path} has no Cargo.toml, so it is not the SDK's source")));
        }
        Some(path) => path,
        None if Path::new(CHECKOUT).join("Cargo.toml").is_file() => Path::new(CHECKOUT),
        None => return Ok(format!("\"{VERSION}\"")),
    };
    let path = path.canonicalize().with_context(|| format!("failed to find {}", path.display()))?;
    let path = toml::Value::String(path.display().to_string());
    Ok(format!("{{ path = {path} }}"))
}

fn manifest(name: &str, dependency: &str) -> String {
    format!(
        "\
[package]
name = \"{name}\"
version = \"0.1.0\"
edition = \"2024\"

[dependencies]
# For inputs and outputs of a type of your own: #[derive(serde::Deserialize, serde::Serialize)].
serde = {{ version = \"1.0\", features = [\"derive\"] }}
wasmgrid = {dependency}

[profile.release]
lto = true
codegen-units = 1

# Also where the folder lies in another crate's workspace.
[workspace]
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_task_has_all_its_files_and_they_parse() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("my-task_2");
        new(&NewArgs { path: path.clone(), sdk: None }).expect("made");
        let manifest = fs::read_to_string(path.join("Cargo.toml")).expect("there");
        manifest.parse::<toml::Table>().expect(&manifest);
        CARGO_CONFIG.parse::<toml::Table>().expect(CARGO_CONFIG);
        assert!(path.join(".cargo/config.toml").is_file());
        assert!(path.join("src/main.rs").is_file());
        let error = new(&NewArgs { path, sdk: None }).expect_err("is there");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
    }

    #[test]
    fn the_readmes_show_the_function_that_is_made() {
        for readme in
            [include_str!("../../../README.md"), include_str!("../../../guest-sdk/README.md")]
        {
            assert!(readme.contains(&format!("```rust\n{FUNCTION}```")), "{readme}");
        }
    }

    #[test]
    fn names_that_cargo_refuses_are_refused_here() {
        for bad in ["", "1task", "a b", "ü", "fn", "wasmgrid", "a/..", &"x".repeat(65)] {
            assert!(crate_name(Path::new(bad)).is_err(), "{bad}");
        }
        assert_eq!(crate_name(Path::new("some/where/hello")).expect("a name"), "hello");
    }

    #[test]
    fn a_folder_without_the_sdk_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(dependency(Some(dir.path())).is_err());
    }
}
