//! Other people's programs: a WASI test suite as tasks, where one is at hand. It is not part of
//! the repository; CONTRIBUTING.md says how a folder of it is named.

use std::{env, path::Path};

use wasmgrid_tests::wasi_suite::Report;

/// Names the folder.
const VARIABLE: &str = "WASMGRID_WASI_SUITE";

#[test]
fn the_programs_of_a_wasi_test_suite_end_as_it_says_or_are_denied() {
    let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
        eprintln!("skipped: {VARIABLE} names no folder with a WASI test suite");
        return;
    };
    let report = Report::of(Path::new(&folder));
    eprintln!("{report}");
    assert!(!report.programs.is_empty(), "no program under {}", folder.display());
    assert_eq!(report.failed(), 0, "{report}");
}
