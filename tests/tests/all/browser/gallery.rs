//! All states of all pages, with made-up content: those too that a grid rarely is in.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use wasmgrid_tests::Browser;

use super::audit::faults;

#[test]
fn every_state_of_every_page_is_readable_in_both_schemes_and_fits_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let test = env::current_exe().expect("a path");
    let built = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let mut gallery = Command::new(built.join("examples/gallery"));
    let written = gallery.arg(folder.path()).stdin(Stdio::null()).status();
    assert!(written.expect("it is built with the tests").success());
    let mut pages: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "html"))
        .collect();
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    let mut faults_of_all = Vec::new();
    for page in pages {
        browser.go(&format!("file://{}", page.display()));
        let name = page.file_name().expect("a name").to_string_lossy().into_owned();
        faults_of_all.extend(faults(&browser, &name));
    }
    assert_eq!(faults_of_all, Vec::<String>::new());
}

#[test]
fn text_that_is_pale_and_a_page_that_is_too_wide_are_found() {
    let Some(browser) = Browser::start() else { return };
    let wide = "<p style='width:2000px;color:#999;background:#fff'>pale</p><a href='x'></a>";
    browser.go(&format!("data:text/html,{}", wide.replace('#', "%23")));
    let found = faults(&browser, "page").join("\n");
    for fault in ["2008 px wide in 360", "\"pale\" has a contrast of 2.85", "no words on <a"] {
        assert!(found.contains(fault), "{fault}: {found}");
    }
}
