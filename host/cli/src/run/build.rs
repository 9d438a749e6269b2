//! A cargo folder as a task: builds it for `wasm32-wasip2` and finds what came of it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::{
    args::Talk,
    exit::{Exit, WithExit as _, usage},
    print::message,
};

/// What tasks are built for.
const TARGET: &str = "wasm32-wasip2";

/// What came of a folder.
#[derive(Debug)]
pub struct Built {
    /// The `.wasm` file.
    pub module: PathBuf,
    /// What it is built from, as far as cargo says.
    pub sources: Vec<PathBuf>,
}

/// Builds the folder's one binary.
///
/// # Errors
/// Usage errors: no crate, no toolchain, or a build that fails.
pub fn folder(folder: &Path, talk: Talk) -> anyhow::Result<Built> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        let folder = folder.display();
        return Err(usage(format!(
            "{folder} is not a task: it has no Cargo.toml; create one with `wasmgrid new NAME`"
        )));
    }
    add_target(folder, talk)?;
    if !talk.quiet {
        message!("building {}", folder.display());
    }
    let built = cargo_build(folder, talk)?;
    let module = pick(&built.stdout, folder)?;
    let mut sources = sources(&fs::read(module.with_extension("d")).unwrap_or_default());
    let settings = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
    sources.extend(settings.map(|name| folder.join(name)));
    Ok(Built { module, sources })
}

/// The files that cargo notes beside a binary: `BINARY: FILE FILE …`, blanks in names behind a
/// backslash.
fn sources(noted: &[u8]) -> Vec<PathBuf> {
    let (mut names, mut escaped) = (vec![Vec::new()], false);
    for byte in noted.iter().skip_while(|byte| **byte != b':').skip(1) {
        match byte {
            b' ' | b'\n' if !escaped => names.push(Vec::new()),
            b'\\' if !escaped => {}
            byte => names.last_mut().into_iter().for_each(|name| name.push(*byte)),
        }
        escaped = *byte == b'\\' && !escaped;
    }
    let names = names.into_iter().filter(|name| !name.is_empty());
    names.map(|name| OsString::from_vec(name).into()).collect()
}

fn cargo_build(folder: &Path, talk: Talk) -> anyhow::Result<Output> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--release", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    if talk.quiet {
        cargo.arg("--quiet");
    }
    cargo.stdin(Stdio::null()).stderr(shown(talk));
    let built = cargo.output().map_err(|error| missing_tool("cargo", &error))?;
    if !built.status.success() {
        let said = said(&built);
        return Err(usage(format!("failed to build {}{said}", folder.display())));
    }
    Ok(built)
}

/// Where another program says how far it is and what it warns of: on our stderr, as it comes.
fn shown(talk: Talk) -> Stdio {
    if talk.quiet { Stdio::piped() } else { Stdio::inherit() }
}

/// What a program said that was not shown, behind an error.
fn said(output: &Output) -> String {
    match String::from_utf8_lossy(&output.stderr).trim_end() {
        "" => String::new(),
        said => format!(":\n{said}"),
    }
}

/// Makes sure that the target's standard library is there, by rustup where that is there.
fn add_target(folder: &Path, talk: Talk) -> anyhow::Result<()> {
    let libdir = Command::new("rustc")
        .current_dir(folder)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| missing_tool("rustc", &error))?;
    let libdir = String::from_utf8_lossy(&libdir.stdout);
    if Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    if !talk.quiet {
        message!("adding the target {TARGET} by rustup");
    }
    let added = Command::new("rustup")
        .current_dir(folder)
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stderr(shown(talk))
        .output();
    match added {
        Ok(added) if added.status.success() => Ok(()),
        Ok(added) => Err(usage(format!(
            "the Rust target {TARGET} is missing, and `rustup target add {TARGET}` failed{}",
            said(&added)
        ))),
        Err(_) => Err(usage(format!(
            "the Rust target {TARGET} is missing; install it with `rustup target add {TARGET}`, \
             or the package of it that your system has"
        ))),
    }
}

fn missing_tool(tool: &str, error: &io::Error) -> anyhow::Error {
    usage(format!(
        "failed to start {tool}: {error}; a folder is built with Rust: https://rustup.rs"
    ))
}

/// One line of cargo's output; of other kinds of lines the fields are missing.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// The one executable that cargo tells of.
fn pick(messages: &[u8], folder: &Path) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for message in messages.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Message = serde_json::from_slice(message)
            .context("cargo printed something that is not JSON")
            .exit(Exit::Failed)?;
        found.extend(message.executable);
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(usage(format!(
            "{} has no binary; expected a binary crate with a src/main.rs",
            folder.display()
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(usage(format!(
                "{} has several binaries; choose one of those built: {}",
                folder.display(),
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = r#"{"reason":"compiler-artifact","executable":null}"#;
    const FINISHED: &str = r#"{"reason":"build-finished","success":true}"#;

    fn binary(name: &str) -> String {
        format!(r#"{{"reason":"compiler-artifact","executable":"/t/{name}.wasm"}}"#)
    }

    fn picked(lines: &[&str]) -> Result<PathBuf, String> {
        pick(lines.join("\n").as_bytes(), Path::new("here")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_binary_is_taken() {
        let found = picked(&[LIBRARY, &binary("task"), FINISHED]);
        assert_eq!(found, Ok(PathBuf::from("/t/task.wasm")));
    }

    #[test]
    fn what_a_binary_is_built_from_is_known() {
        let noted = b"/t/a b.wasm: /s/main.rs /s/with\\ blank.rs\n";
        // Behind the first colon: a name with one in it is no more than a name too many.
        assert_eq!(sources(noted), [Path::new("/s/main.rs"), Path::new("/s/with blank.rs")]);
        assert!(sources(b"").is_empty());
    }

    #[test]
    fn none_and_several_are_errors_that_say_what_to_do() {
        assert!(picked(&[LIBRARY, FINISHED]).expect_err("none").contains("src/main.rs"));
        let several = picked(&[&binary("a"), &binary("b")]).expect_err("several");
        assert!(several.contains("/t/a.wasm, /t/b.wasm"), "{several}");
    }

    #[test]
    fn a_folder_without_a_crate_is_a_usage_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let talk = Talk { verbose: 0, quiet: true };
        let error = folder(dir.path(), talk).expect_err("no crate");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
    }
}
