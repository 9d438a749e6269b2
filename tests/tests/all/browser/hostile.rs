//! Names, messages, logs and outputs of those who want to do something to who looks at them.

use wasmgrid_tests::{Browser, Site};

/// Ends whatever it is put into, and would set a mark where it runs or is taken for an element.
const HOSTILE: &str = "</bdi></td></title><script>window.ran=1</script>\
    <img src=x onerror=window.ran=1>\"' onfocus=window.ran=1 autofocus x=";

/// Text that looks like another one: a mark of direction, and one that nobody sees.
const UNSEEN: &str = "a\u{202e}gnp.exe\u{200b}";

/// Fails where anything of it became more than text.
fn assert_harmless(browser: &Browser, place: &str) {
    assert_eq!(browser.script("return window.ran ?? 0"), 0, "{place}: a script ran");
    let injected = "main script, main img, main iframe, title script, [onerror], [onfocus]";
    assert_eq!(browser.count(injected), 0, "{place}: an element was made");
    assert!(browser.complaints().is_empty(), "{place}: something was refused by the policy");
}

#[test]
fn hostile_names_messages_logs_and_outputs_are_shown_as_text() {
    let Some(site) = Site::logged_in() else { return };
    let browser = &site.browser;
    let name = format!("{UNSEEN}{HOSTILE}");
    let lines = format!("say {UNSEEN}{HOSTILE}\n{UNSEEN}{HOSTILE}\n");
    let job = site.submit_lines("moods", &lines, &["--name", &name]);
    site.wait_for_results(&job, 2);
    // It stays on the overview.
    let flags = ["--open", "--name", &name, "--memory", "900000GiB"];
    let waits = site.submit("moods", &flags);
    site.append(&waits, &lines);
    let page = format!("/jobs/{job}");
    let tasks = [format!("{page}/tasks/0"), format!("{page}/tasks/1")];
    let cancel = format!("/jobs/{waits}/cancel");
    for path in ["/", "/jobs", &page, &tasks[0], &tasks[1], &cancel] {
        site.open(path);
        assert_harmless(browser, path);
        browser.wait_for_text("main", "<script>window.ran=1");
        let marks = "return [...document.querySelectorAll('main bdi i, .guest i')]\
            .map(mark => mark.innerText)";
        let marks = browser.script(marks).to_string();
        assert!(marks.contains("\\\\u{202e}") && marks.contains("\\\\u{200b}"), "{path}: {marks}");
        let text = browser.text("body").expect("a body");
        assert!(!text.contains(['\u{202e}', '\u{200b}']), "{path}: it is still in the text");
    }
    // The whole of it is seen where it is the page's subject.
    site.open(&tasks[0]);
    browser.wait_for_text("#outcome", HOSTILE);
    browser.wait_for_text(".log", HOSTILE);
    site.open(&page);
    browser.wait_for_text("h1", HOSTILE);
    browser.wait_for_text("#failures", "<img src=x onerror");
    // That job has ended: its page moves no more.
    site.open(&format!("/jobs/{waits}"));
    browser.wait_for_text("#live", "live");
    assert_harmless(browser, "a live page");
}
