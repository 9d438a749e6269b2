//! What a person does on the pages: log in, look, close, retry, cancel, drain.

use serde_json::json;
use wasmgrid_tests::{ENTER, Site, TAB, wait_until};

#[test]
fn a_link_logs_in_once_and_logging_out_ends_it() {
    let Some(site) = Site::start() else { return };
    let browser = &site.browser;
    site.open("/jobs");
    assert!(browser.url().starts_with(&format!("{}/login", site.url)), "{}", browser.url());
    assert!(browser.text("main").is_some_and(|text| text.contains("wasmgrid ui")));
    let link = site.login_link();
    // What looks at the link alone does not use it up.
    browser.go(&link);
    browser.go(&link);
    browser.follow("button.main");
    assert_eq!(browser.url(), format!("{}/", site.url));
    assert!(browser.text(".user").is_some_and(|user| user.contains("operator")));
    assert_eq!(browser.script("return document.cookie"), "", "no script sees the session");
    browser.follow("form[action='/logout'] button");
    assert_eq!(browser.text("h1").as_deref(), Some("Logged out"));
    site.open("/");
    assert!(browser.url().starts_with(&format!("{}/login", site.url)), "{}", browser.url());
    browser.go(&link);
    if browser.count("button.main") > 0 {
        browser.follow("button.main");
    }
    browser.wait_for_text("h1", "This link is used up or too old");
}

#[test]
fn results_are_seen_and_a_failed_task_is_opened_from_its_job() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let job = site.submit_lines("moods", "a\nb\nsay too far\nc\n", &["--name", "four"]);
    site.wait_for_results(&job, 4);
    browser.follow(".bar a[href='/jobs']");
    browser.follow(&format!("a[href='/jobs/{job}']"));
    assert_eq!(browser.text("h1").as_deref(), Some("four"));
    browser.wait_for_text("#results", "fine: a");
    browser.wait_for_text("#failures", "too far");
    browser.follow(&format!("#failures a[href='/jobs/{job}/tasks/2']"));
    assert_eq!(browser.text("h1").as_deref(), Some(&*format!("Task {job}/2")));
    browser.wait_for_text("#outcome", "say too far");
    browser.wait_for_text(".log", "say too far");
    browser.follow("a[rel='next']");
    browser.wait_for_text("main", "fine: c");
}

#[test]
fn a_job_is_cancelled_by_the_page_that_says_what_is_lost() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let job = site.submit("echo", &["--open", "--name", "endless"]);
    site.append(&job, "one\n");
    site.wait_for_results(&job, 1);
    site.open(&format!("/jobs/{job}"));
    browser.follow(".actions .stop");
    assert_eq!(browser.text("h1"), Some(format!("Cancel job {job}?")));
    browser.wait_for_text("main", "1 result will stay");
    assert_eq!(site.job(&job)["state"], "active", "looking changes nothing");
    browser.follow("form.actions button.stop");
    assert_eq!(browser.url(), format!("{}/jobs/{job}", site.url));
    browser.wait_for_text("#head", "cancelled");
    assert_eq!(site.job(&job)["state"], "cancelled");
    browser.wait_for_text("#results", "one");
}

#[test]
fn an_open_job_is_closed_and_its_failed_tasks_retried_as_a_new_one() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let job = site.submit("moods", &["--open"]);
    site.append(&job, "good\nreject\n");
    site.wait_for_results(&job, 2);
    site.open(&format!("/jobs/{job}"));
    browser.follow(&format!("form[action='/jobs/{job}/close'] button"));
    browser.wait_for_text("#head", "failed");
    site.open(&format!("/jobs/{job}"));
    browser.follow(&format!("form[action='/jobs/{job}/retry'] button"));
    let again = browser.url();
    let again = again.strip_prefix(&format!("{}/jobs/", site.url)).expect("the new job's page");
    assert_ne!(again, job);
    site.wait_for_results(again, 1);
}

#[test]
fn an_operator_drains_a_worker_and_has_it_take_tasks_again() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let state = |expected: &str| {
        wait_until(expected, || site.workers()[0]["state"] == json!(expected));
    };
    browser.follow(".bar a[href='/workers']");
    browser.follow("#workers tbody a");
    browser.follow("form[action$='/drain'] button");
    // It has no tasks, so nothing is to be waited for.
    state("drained");
    browser.wait_for_text("#head", "drained");
    site.open(&format!("/workers/{}", site.worker()));
    browser.follow("form[action$='/uncordon'] button");
    state("ready");
    browser.wait_for_text("#head", "ready");
}

/// Takes the focus with the keyboard to what a selector finds, and presses it.
fn press_by_keyboard(site: &Site, selector: &str) {
    let browser = &site.browser;
    let found = format!("return document.activeElement.matches({})", json!(selector));
    // No page has so many things to press.
    let reached = (0..100).any(|_| {
        browser.keys(TAB);
        browser.script(&found) == json!(true)
    });
    assert!(reached, "{selector} of {}", browser.url());
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_ne!(browser.script(outline), json!("none"), "{selector}: the focus is not seen");
    browser.leave(|| browser.keys(ENTER));
}

#[test]
fn a_job_is_found_and_cancelled_with_the_keyboard_alone() {
    let Some(site) = Site::start() else { return };
    let job = site.submit("echo", &["--open", "--name", "endless"]);
    site.browser.go(&site.login_link());
    press_by_keyboard(&site, "button.main");
    press_by_keyboard(&site, ".bar a[href='/jobs']");
    press_by_keyboard(&site, &format!("a[href='/jobs/{job}']"));
    press_by_keyboard(&site, ".actions .stop");
    press_by_keyboard(&site, "form.actions button.stop");
    site.browser.wait_for_text("#head", "cancelled");
    assert_eq!(site.job(&job)["state"], "cancelled");
}

#[test]
fn the_pages_work_without_scripts() {
    let Some(site) = Site::start() else { return };
    let browser = &site.browser;
    browser.allow_scripts(false);
    let job = site.submit("echo", &["--open", "--name", "quiet"]);
    site.append(&job, "one\n");
    site.wait_for_results(&job, 1);
    site.log_in();
    assert_eq!(browser.script("return typeof htmx"), "undefined", "no script ran");
    browser.follow(".bar a[href='/jobs']");
    browser.follow(".filters button");
    assert!(browser.url().contains("/jobs?"), "{}", browser.url());
    browser.follow(&format!("a[href='/jobs/{job}']"));
    browser.wait_for_text("#results", "one");
    browser.follow(".actions .stop");
    browser.follow("form.actions button.stop");
    browser.wait_for_text("#head", "cancelled");
    assert_eq!(site.job(&job)["state"], "cancelled");
}
