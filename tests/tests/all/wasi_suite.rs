//! Other people's programs as tasks, where they are at hand. They are not part of the repository;
//! CONTRIBUTING.md says which there are and how folders of them are named.

use std::env;

use wasmgrid_tests::wasi_suite::Report;

/// Names the folders, as a search path does.
const VARIABLE: &str = "WASMGRID_WASI_SUITE";

#[test]
fn the_programs_of_a_wasi_test_suite_end_as_it_says_or_are_denied() {
    let Some(folders) = env::var_os(VARIABLE).filter(|folders| !folders.is_empty()) else {
        eprintln!("skipped: {VARIABLE} names no folder with WASI programs");
        return;
    };
    let report = Report::of(env::split_paths(&folders));
    eprintln!("{report}");
    assert!(!report.runs.is_empty(), "no program under {}", folders.display());
    assert_eq!(report.failed(), 0, "{report}");
}
