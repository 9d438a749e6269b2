//! How pages look: every page, wide and narrow, light and dark.

use serde_json::Value;
use wasmgrid_tests::{Browser, Scheme, Site, guest};

/// The widths at which pages are looked at: a small phone, a tablet, a desk.
const WIDTHS: [u32; 3] = [360, 1024, 1440];

/// What is wrong with the page that is shown, in any of its widths and colours.
pub fn faults(browser: &Browser, place: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.prefer(scheme);
        for width in WIDTHS {
            browser.resize(width, 900);
            let found = browser.script(include_str!("audit.js"));
            let found = found.as_array().into_iter().flatten().filter_map(Value::as_str);
            let at = format!("{place}, {}, {width} px", scheme.name());
            faults.extend(found.map(|fault| format!("{at}: {fault}")));
        }
    }
    faults
}

/// The paths of all pages, of a grid that has one of everything.
fn paths(site: &Site) -> Vec<String> {
    let ended = site.submit_lines(
        "moods",
        "one\ntwo\nreject\npanic\nsay something went wrong\nexit\n",
        &["--name", "moods/of-a-grid"],
    );
    site.wait_for_results(&ended, 6);
    let open = site.submit("echo", &["--open", "--name", "stream"]);
    site.append(&open, "hello\nworld\n");
    site.wait_for_results(&open, 2);
    let waits = site.submit("noop", &["--range", "0..100", "--memory", "900000GiB"]);
    let cancelled = site.submit("echo", &["--open"]);
    site.run(&["job", "cancel", &cancelled]);
    site.run(&["function", "deploy", "shout", &guest("echo")]);
    site.run(&["key", "create", "--tenant", "ada", "--name", "ci"]);
    let keys: Value =
        serde_json::from_str(&site.run(&["key", "list", "--output", "json"])).expect("JSON");
    let key = keys[0]["id"].as_str().expect("an id").to_owned();
    let mut paths: Vec<String> =
        ["/", "/jobs", "/workers", "/functions", "/keys", "/about", "/jobs/99999"]
            .map(Into::into)
            .into();
    paths.extend(["/jobs?state=active", "/jobs?name=nothing-is-called-so"].map(Into::into));
    for job in [&ended, &open, &waits, &cancelled] {
        paths.push(format!("/jobs/{job}"));
    }
    paths.extend((0..6).map(|task| format!("/jobs/{ended}/tasks/{task}")));
    paths.push(format!("/jobs/{waits}/tasks/0"));
    paths.push(format!("/jobs/{open}/cancel"));
    paths.push(format!("/keys/{key}/revoke"));
    paths.push(format!("/workers/{}", site.worker()));
    paths
}

#[test]
fn every_page_is_readable_in_both_schemes_and_fits_a_phone() {
    let Some(site) = Site::logged_in() else { return };
    let mut faults_of_all = Vec::new();
    for path in paths(&site) {
        site.open(&path);
        faults_of_all.extend(faults(&site.browser, &path));
    }
    assert_eq!(faults_of_all, Vec::<String>::new());
}

#[test]
fn the_colours_are_those_that_the_reader_prefers() {
    let Some(site) = Site::logged_in() else { return };
    let ground = || {
        let ground = "return getComputedStyle(document.body).backgroundColor";
        site.browser.script(ground).as_str().expect("a colour").to_owned()
    };
    site.browser.prefer(Scheme::Light);
    let light = ground();
    site.browser.prefer(Scheme::Dark);
    assert_eq!((&*light, &*ground()), ("rgb(246, 247, 247)", "rgb(16, 19, 21)"));
}

#[test]
fn no_page_complains_in_the_console_or_asks_anybody_but_the_grid() {
    let Some(site) = Site::logged_in() else { return };
    for path in paths(&site) {
        site.open(&path);
        assert_eq!(site.browser.count("h1"), 1, "{path}");
        if path == "/jobs/99999" {
            // The browser says so itself.
            let complaints = site.browser.complaints();
            assert!(complaints.len() == 1 && complaints[0].contains("404"), "{complaints:?}");
        }
        site.assert_quiet(&path);
    }
    site.browser.follow("form[action='/logout'] button");
    site.assert_quiet("logging out");
}
