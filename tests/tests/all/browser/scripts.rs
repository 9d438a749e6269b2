//! What the pages' scripts do in a browser, and what is left without them. The grid behind the pages is
//! made up.

use serde_json::json;
use wasmgrid_pages::{Page, login::Login, login::LoginSays};
use wasmgrid_proto::Millis;
use wasmgrid_tests::{Browser, ENTER, TAB, wait_until};

use super::stage::{
    Stage, Streams,
    samples::{self, operator},
};

/// A browser before the page of a job that runs.
fn before_a_job() -> Option<(Browser, Stage, String)> {
    let (browser, stage) = (Browser::start()?, Stage::start());
    for number in 0..8 {
        let picture = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'/>";
        stage.put(&format!("/pictures/{number}.svg"), "image/svg+xml", picture);
    }
    let url = stage.show(&samples::job(), &operator());
    browser.go(&url);
    browser.wait_for_text("#live", "live");
    Some((browser, stage, url))
}

fn part_of(page: &dyn Page, id: &str) -> String {
    page.part(&operator(), id).expect("it has the part")
}

#[test]
fn a_part_that_comes_takes_the_place_of_the_one_before_and_of_nothing_else() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let (page, head) = (browser.page(), browser.text("#head"));
    let mut moved = samples::job();
    moved.status.counts.failed = 7_654_321;
    stage.send("progress", &part_of(&moved, "progress"));
    browser.wait_for_text("#progress", "7,654,321");
    assert_eq!((browser.page(), browser.text("#head")), (page, head));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_part_that_comes_with_a_hostile_text_stays_text() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let mut hostile = samples::job();
    hostile.status = samples::job_ended().status;
    stage.send("head", &part_of(&hostile, "head"));
    browser.wait_for_text("#head", "<img src=x onerror=alert(1)>");
    assert_eq!(browser.count("#head img, #head script, main [onerror], main [onload]"), 0);
    browser.wait_for_text("#head bdi i", "\\u{202e}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn rows_stay_still_below_the_focus() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    browser.script("document.querySelector('#failures a').focus()");
    stage.send("failures", "<p>others</p>");
    stage.send("rate", "<p>another rate</p>");
    // Events come in their order.
    browser.wait_for_text("#rate", "another rate");
    assert_eq!(browser.count("#failures a:focus"), 1);
    browser.script("document.activeElement.blur()");
    stage.send("failures", "<p>others</p>");
    browser.wait_for_text("#failures", "others");
}

#[test]
fn a_page_whose_stream_ends_says_since_when_and_is_loaded_anew_with_the_next() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let page = browser.page();
    stage.streams_are(Streams::Gone);
    browser.wait_for_text("#live", "not live since");
    assert_eq!((browser.count("main.stale"), browser.page()), (1, page.clone()));
    stage.streams_are(Streams::Open);
    browser.wait_for_another_page(&page);
    wait_until("a live page", || browser.text("#live").is_some_and(|text| text == "live"));
    assert_eq!(browser.count("main.stale"), 0);
}

#[test]
fn a_page_whose_session_ends_becomes_the_login() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let login = Login { grid: "lab".into(), says: LoginSays::Ended, valid: Millis(120_000) };
    stage.put("/login", "text/html; charset=utf-8", login.html());
    stage.streams_are(Streams::Login);
    wait_until("the login", || browser.url() == format!("{}/login", stage.url));
    browser.wait_for_text("h1", "Your session has ended");
}

#[test]
fn no_page_complains_or_asks_anybody_else_under_its_own_policy() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let mut shown = 0;
    for (name, shell, page) in samples::pages() {
        browser.go(&stage.show(&*page, &shell));
        let injected = "main script, [onerror], [onload], [onfocus], main iframe";
        assert_eq!(browser.count(injected), 0, "{name}");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
        shown += usize::from(browser.text("main").is_some_and(|text| text.contains("<img src=x")));
    }
    assert!(shown > 5, "a hostile text is on {shown} pages");
    let requests = browser.requests();
    let ours = |address: &&String| !address.starts_with(&format!("{}/", stage.url));
    assert_eq!(requests.iter().find(ours), None);
    assert!(requests.len() > 50, "{requests:?}");
}

#[test]
fn times_are_in_the_zone_of_the_reader() {
    let Some((browser, _stage, _)) = before_a_job() else { return };
    let zone = browser.script("return Intl.DateTimeFormat().resolvedOptions().timeZone");
    assert_eq!(browser.text("#zone").as_deref(), zone.as_str());
    let same = "return [...document.querySelectorAll('time[data-t=s]')].every((at) => \
        at.textContent === new Date(at.dateTime).toLocaleTimeString('en-GB'))";
    assert_eq!(browser.script(same), json!(true));
    assert!(browser.count("time[data-t]") > 0);
}

#[test]
fn without_scripts_a_page_is_whole_and_its_forms_are_sent_with_their_token() {
    let (Some(browser), stage) = (Browser::start(), Stage::start()) else { return };
    browser.allow_scripts(false);
    let cancel = samples::pages().into_iter().find(|(name, ..)| *name == "cancel");
    let (_, shell, page) = cancel.expect("it is a sample");
    let url = stage.show(&*page, &shell);
    browser.go(&stage.show(&samples::job(), &operator()));
    assert_eq!(browser.script("return typeof htmx"), "undefined", "no script ran");
    browser.follow(".actions .stop");
    assert_eq!(browser.url(), url);
    browser.click("form.actions button.stop");
    wait_until("a post", || !stage.posts().is_empty());
    let expected = (page.path(), format!("csrf={}", shell.csrf));
    assert_eq!(stage.posts(), [expected]);
}

#[test]
fn a_job_is_cancelled_with_the_keyboard_alone_and_the_focus_is_seen() {
    let Some((browser, stage, _)) = before_a_job() else { return };
    let cancel = samples::pages().into_iter().find(|(name, ..)| *name == "cancel");
    let (_, shell, page) = cancel.expect("it is a sample");
    stage.show(&*page, &shell);
    reach(&browser, ".actions .stop");
    browser.leave(|| browser.keys(ENTER));
    reach(&browser, "form.actions button.stop");
    browser.keys(ENTER);
    wait_until("a post", || !stage.posts().is_empty());
    assert_eq!(stage.posts()[0].0, page.path());
}

/// Takes the focus with the keyboard to what a selector finds.
fn reach(browser: &Browser, selector: &str) {
    let found = format!("return document.activeElement.matches({})", json!(selector));
    // No page has so many things to press.
    let reached = (0..100).any(|_| {
        browser.keys(TAB);
        let outline = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_ne!(browser.script(outline), json!("none"), "the focus is not seen");
        browser.script(&found) == json!(true)
    });
    assert!(reached, "{selector} of {}", browser.url());
}
