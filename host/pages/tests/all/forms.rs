//! What pages ask for and what they send: nothing of others, and no change without the token.

use wasmgrid_pages::{CSRF_FIELD, asset, assets};

use crate::{
    html::{Tree, all},
    samples,
};

#[test]
fn every_form_that_changes_something_carries_the_token() {
    for (name, shell, page) in samples::pages() {
        let tree = Tree::page(&page.html(&shell));
        for form in tree.elements().iter().filter(|element| element.name() == "form") {
            let fields = form.within();
            let token =
                fields.iter().find(|field| field.get("name").as_deref() == Some(CSRF_FIELD));
            let value = token.and_then(|field| field.get("value"));
            match form.get("method").as_deref() {
                Some("post") => assert_eq!(value.as_deref(), Some("f0rgery-t0ken"), "{name}"),
                method => {
                    assert_eq!(method, Some("get"), "{name}: a form says how it is sent");
                    assert_eq!(value, None, "{name}: the token is in no address");
                }
            }
        }
    }
}

#[test]
fn cancelling_asks_first_and_says_what_will_be_lost() {
    let find = |wanted: &str| {
        let (_, shell, page) =
            samples::pages().into_iter().find(|(name, ..)| *name == wanted).expect("a sample");
        Tree::page(&page.html(&shell))
    };
    let job = find("job");
    let cancel = job.elements().into_iter().find(|element| element.text() == "Cancel…");
    let cancel = cancel.expect("an active job can be cancelled");
    assert_eq!(cancel.get("href").as_deref(), Some("/jobs/4182/cancel"));
    let asks = find("cancel");
    let text = asks.text();
    assert!(text.contains("5,812 tasks that workers have will be stopped"), "{text}");
    assert!(text.contains("7,304,118 results will stay"), "{text}");
    let form = asks.elements().into_iter().find(|element| {
        element.name() == "form" && element.get("action").as_deref() == Some("/jobs/4182/cancel")
    });
    assert_eq!(form.and_then(|form| form.get("method")).as_deref(), Some("post"));
}

#[test]
fn nothing_is_asked_of_others_and_nothing_is_inline() {
    for (name, html) in all() {
        for element in Tree::page(&html).elements() {
            for (key, value) in element.attributes() {
                assert_ne!(key, "style", "{name}");
                let is_address = ["href", "src", "action", "sse-connect"].contains(&key.as_str());
                let is_own =
                    value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//"));
                assert!(!is_address || is_own, "{name}: {key}=\"{value}\"");
            }
        }
    }
    let style = assets().find(|(_, file)| file.name == "style.css").expect("a style").1;
    let style = String::from_utf8_lossy(style.bytes);
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn every_file_that_a_page_names_is_there_under_a_hash_of_its_content() {
    for (name, html) in all() {
        for element in Tree::page(&html).elements() {
            for (_, path) in element.attributes().iter().filter(|at| at.1.starts_with("/assets/")) {
                assert!(asset(path).is_some(), "{name}: {path}");
            }
        }
    }
    for (path, file) in assets() {
        assert!(path.ends_with(&format!("/{}", file.name)), "{path}");
        assert_eq!(path.split('/').nth(2).map(str::len), Some(16), "{path}");
        assert!(!file.bytes.is_empty() && asset(&format!("{path}x")).is_none());
    }
}

#[test]
fn no_page_has_a_secret_or_a_field_for_one() {
    for (name, html) in all() {
        assert!(!html.contains("wgk1_"), "{name}");
        for element in Tree::page(&html).elements() {
            assert_ne!(element.get("type").as_deref(), Some("password"), "{name}");
        }
    }
}

#[test]
fn what_only_operators_may_is_not_offered_to_clients() {
    for (name, shell, page) in samples::pages().into_iter().filter(|at| !at.1.is_operator()) {
        let tree = Tree::page(&page.html(&shell));
        let links = tree.elements().into_iter().filter_map(|element| element.get("href"));
        let workers: Vec<_> = links.filter(|href| href.starts_with("/workers")).collect();
        let allowed = name == "job-ended" || name == "overview-client";
        assert!(workers.is_empty() || allowed, "{name}: {workers:?}");
    }
}
