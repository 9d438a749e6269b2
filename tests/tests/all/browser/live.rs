//! What pages show by themselves, while nobody loads them anew.

use serde_json::{Value, json};
use wasmgrid_tests::{Site, wait_until};

#[test]
fn a_running_job_moves_without_the_page_being_loaded_anew() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let job = site.submit("echo", &["--open", "--name", "stream"]);
    site.open(&format!("/jobs/{job}"));
    let page = browser.page();
    browser.wait_for_text("#live", "live");
    browser.wait_for_text("#results", "No results yet");
    for (count, line) in ["first\n", "second\n"].into_iter().enumerate() {
        site.append(&job, line);
        browser.wait_for_text("#progress", &format!("{} of {0}", count + 1));
        browser.wait_for_text("#results", line.trim());
    }
    assert_eq!(browser.page(), page, "the page was loaded anew");
    site.assert_quiet("a job that moves");
    site.run(&["job", "close", &job]);
    browser.wait_for_text("#head", "ok");
}

#[test]
fn the_overview_and_the_list_of_jobs_show_a_new_job_by_themselves() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    site.submit("echo", &["--open", "--name", "before"]);
    for (path, part, name) in [("/", "#waiting, #running", "one"), ("/jobs", "#jobs", "two")] {
        site.open(path);
        let page = browser.page();
        browser.wait_for_text("#live", "live");
        let job =
            site.submit("noop", &["--range", "0..9", "--memory", "900000GiB", "--name", name]);
        let script = format!(
            "return [...document.querySelectorAll({})].some(at => at.innerText.includes({}))",
            json!(part),
            json!(name)
        );
        wait_until(&format!("job {job} on {path}"), || browser.script(&script) == json!(true));
        assert_eq!(browser.page(), page, "{path} was loaded anew");
    }
}

#[test]
fn a_page_says_since_when_it_is_not_live_and_comes_back_with_the_scheduler() {
    let Some(mut site) = Site::logged_in() else { return };
    let job = site.submit("echo", &["--open"]);
    site.append(&job, "one\n");
    site.wait_for_results(&job, 1);
    site.open(&format!("/jobs/{job}"));
    site.browser.wait_for_text("#live", "live");
    let page = site.browser.page();
    site.kill();
    site.browser.wait_for_text("#live", "not live since");
    // It keeps its numbers.
    site.browser.wait_for_text("#results", "one");
    assert_eq!(site.browser.count("main.stale"), 1);
    site.restart();
    site.browser.wait_for_another_page(&page);
    wait_until("live", || site.browser.text("#live").is_some_and(|text| text == "live"));
    site.append(&job, "two\n");
    site.browser.wait_for_text("#results", "two");
}

#[test]
fn a_page_of_a_revoked_session_ends_and_leads_to_the_login() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let job = site.submit("echo", &["--open"]);
    site.open(&format!("/jobs/{job}"));
    browser.wait_for_text("#live", "live");
    let listed = site.run(&["key", "list", "--output", "json"]);
    let keys: Vec<Value> = serde_json::from_str(&listed).expect("a list");
    let session = keys.iter().find(|key| key["kind"] != "key").expect("a session");
    site.run(&["key", "revoke", session["id"].as_str().expect("an id")]);
    wait_until("the login", || browser.url().starts_with(&format!("{}/login", site.url)));
    browser.wait_for_text("h1", "Your session has ended");
}
