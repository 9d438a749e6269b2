//! Help, completions, the manual's pages and the version, as a shell gets them.

use std::{collections::BTreeSet, fs, process::Command};

use wasmgrid_tests::{Home, repository};

const COLUMNS: usize = 80;

#[test]
fn help_that_is_read_through_a_pipe_fits_80_columns_and_ends_with_examples() {
    let home = Home::new();
    for command in [&["run"][..], &["up"], &["job", "results"], &[]] {
        for flag in ["--help", "-h"] {
            let help = home.run(command.iter().copied().chain([flag]));
            let wide = help.ok().lines().find(|line| line.chars().count() > COLUMNS);
            assert_eq!(wide, None, "{command:?} {flag}");
            let (_, end) = help.ok().split_once("\nExamples:\n").expect("examples");
            assert!(end.contains("wasmgrid ") && !end.contains("\n\n"), "{command:?}: {end}");
        }
    }
}

#[test]
fn every_shells_completion_knows_the_commands_and_their_flags() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(["completion", shell]);
        for word in ["explain", "max-failures", "token-ttl"] {
            assert!(script.ok().contains(word), "{shell} has no {word}");
        }
        home.write(shell, script.ok());
    }
    let checked = Command::new("bash").arg("-n").arg(home.path().join("bash")).output();
    match checked {
        Ok(checked) => assert!(checked.status.success(), "{checked:?}"),
        Err(error) => eprintln!("skipped: bash does not start: {error}"),
    }
}

#[test]
fn the_manual_has_a_page_for_every_command_with_its_flags_and_examples() {
    let home = Home::new();
    home.run(["man", "a/manual"]).ok();
    let entries = fs::read_dir(home.path().join("a/manual")).expect("it was made");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().expect("text")).collect();
    for name in ["wasmgrid.1", "wasmgrid-run.1", "wasmgrid-job-retry.1", "wasmgrid-worker.1"] {
        assert!(names.contains(name), "{names:?}");
    }
    for name in &names {
        let page = home.read(&format!("a/manual/{name}"));
        assert!(page.contains(".SH EXAMPLES"), "{name} has no examples");
        assert!(page.contains(&format!(".TH {} 1", name.trim_end_matches(".1"))), "{name}: {page}");
    }
    let run = home.read("a/manual/wasmgrid-run.1");
    for part in ["max\\-failures", "Inputs: without an input flag", "wasmgrid run hello"] {
        assert!(run.contains(part), "{part} is not in {run}");
    }
    let page = home.path().join("a/manual/wasmgrid-run.1");
    match Command::new("man").args(["--warnings", "-l"]).arg(page).env("LC_ALL", "C").output() {
        Ok(shown) => {
            let said = String::from_utf8_lossy(&shown.stderr);
            assert!(shown.status.success() && said.is_empty(), "{said}");
        }
        Err(error) => eprintln!("skipped: man does not start: {error}"),
    }
}

#[test]
fn the_version_names_the_release_and_the_engine_that_the_build_has() {
    let version = Home::new().run(["--version"]);
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("it is there");
    let engine = lock.split_once("name = \"wasmtime\"\nversion = \"").expect("the engine").1;
    let engine = engine.split('"').next().expect("its version");
    let release = env!("CARGO_PKG_VERSION");
    let said = version.ok().trim();
    assert!(said.starts_with(&format!("wasmgrid {release} (")), "{said}");
    assert!(said.ends_with(&format!("wasmtime {engine})")), "{said}");
    assert_eq!(Home::new().run(["-V"]).ok(), version.ok());
}
