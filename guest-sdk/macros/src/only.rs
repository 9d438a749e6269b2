//! One task a crate. Without this the compiler complains of names that no author has written, or the
//! linker does.

use std::env;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use proc_macro2::Ident;
use syn::{Error, Result};

/// The programs that compile one crate and end. In an editor's server one process expands the
/// attributes of many crates, and the same one again after each change.
const COMPILERS: &[&str] = &["rustc", "rustdoc", "clippy-driver"];

/// The first task of the crate that is compiled: its name, and where it stands.
static FIRST: Mutex<Option<First>> = Mutex::new(None);

#[derive(Clone, Debug, PartialEq, Eq)]
struct First {
    name: String,
    place: String,
}

/// Fails for the second task of a crate.
///
/// # Errors
/// An error that names the first one.
pub fn check(task: &Ident) -> Result<()> {
    let program = env::current_exe().unwrap_or_default();
    let name = program.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    if !COMPILERS.contains(&name) {
        return Ok(());
    }
    let span = task.span().unwrap();
    let file = span.file();
    let file =
        Path::new(&file).file_name().map_or(file.clone(), |name| name.to_string_lossy().into());
    let found = First { name: task.to_string(), place: format!("{file}:{}", span.line()) };
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    remember(&mut first, found).map_err(|message| Error::new(task.span(), message))
}

fn remember(first: &mut Option<First>, found: First) -> std::result::Result<(), String> {
    match first {
        None => {
            *first = Some(found);
            Ok(())
        }
        Some(first) if *first == found => Ok(()),
        Some(First { name, place }) => Err(format!(
            "a crate has one task, and this one has `{name}` ({place}) already: make `{}` a task in a \
             crate of its own, or a function that `{name}` calls",
            found.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_task_of_a_crate_is_refused_and_told_of_the_first() {
        let task = |name: &str, place: &str| First { name: name.into(), place: place.into() };
        let mut first = None;
        let squares = task("squares", "main.rs:2");
        remember(&mut first, squares.clone()).unwrap();
        remember(&mut first, squares).unwrap();
        let error = remember(&mut first, task("cubes", "main.rs:7")).unwrap_err();
        assert!(error.contains("`squares` (main.rs:2)") && error.contains("`cubes`"), "{error}");
    }
}
