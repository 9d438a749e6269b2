//! What guests and members write: it is text, and what is not seen is shown.

use wasmgrid_pages::{Guest, Page as _, jobs::JobRow};

use crate::{
    html::{Tree, all},
    samples::{self, HOSTILE},
};

/// Elements and attributes that no page has, so that there is one only if a guest's text made it.
const NEVER: &[&str] = &["iframe", "object", "embed", "base", "style", "b onerror"];

#[test]
fn texts_of_guests_make_no_element_and_no_attribute() {
    let mut shown = 0;
    for (name, html) in all() {
        let tree = Tree::page(&html);
        for element in tree.elements() {
            assert!(!NEVER.contains(&element.name().as_str()), "{name}: {}", element.name());
            for (key, _) in element.attributes() {
                assert!(!key.starts_with("on"), "{name}: {key}");
            }
            if element.name() == "img" {
                let source = element.get("src").unwrap_or_default();
                assert!(source.starts_with("/pictures/"), "{name}: {source}");
            }
            if element.name() == "script" {
                assert!(element.get("src").is_some_and(|src| src.starts_with("/assets/")));
                assert_eq!(element.text(), "", "{name}: a script in the page");
            }
        }
        shown += usize::from(tree.text().contains("<img src=x onerror=alert(1)>"));
    }
    assert!(shown > 5, "the text is shown as it is on {shown} pages");
}

#[test]
fn what_cannot_be_seen_is_on_no_page() {
    let hidden = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    for (name, html) in all() {
        assert_eq!(html.chars().find(|c| hidden(*c)), None, "{name}");
    }
    let task = samples::task().html(&samples::operator());
    assert!(task.contains("invoice_<i>\\u{202e}</i>fdp.exe"), "it is shown where it stands");
    assert!(task.contains("<i>\\u{1b}</i>[31mred alert"), "{task}");
}

#[test]
fn a_hostile_name_is_text_in_every_place_that_a_page_has_for_it() {
    let mut jobs = samples::jobs();
    let row = |row: JobRow| JobRow { name: HOSTILE.into(), tenant: HOSTILE.into(), ..row };
    jobs.rows = jobs.rows.into_iter().map(row).collect();
    jobs.tenants = vec![Guest::new(HOSTILE)];
    jobs.filter.name = HOSTILE.into();
    jobs.filter.tenant = HOSTILE.into();
    let mut shell = samples::operator();
    shell.grid = HOSTILE.into();
    shell.user = HOSTILE.into();
    let tree = Tree::page(&jobs.html(&shell));
    assert_eq!(tree.errors(), Vec::<String>::new());
    assert!(tree.elements().iter().all(|element| element.name() != "img"));
    let fields = tree.elements().into_iter().filter(|element| element.name() == "input");
    let values: Vec<_> = fields.filter_map(|field| field.get("value")).collect();
    assert!(values.iter().any(|value| value == HOSTILE), "a form sends back what was asked for");
}

#[test]
fn a_log_shows_its_end_and_what_was_dropped() {
    let html = samples::task().html(&samples::operator());
    let text = Tree::page(&html).text();
    assert!(text.contains("4,102 lines before these"), "{text}");
    assert!(html.contains("<li data-n=\"4103\">"), "lines have their numbers");
    assert!(text.contains("1,204 more bytes were dropped at the limit of 256KiB"), "{text}");
}
