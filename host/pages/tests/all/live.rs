//! Live parts: each is in its page, and alone it is the same.

use wasmgrid_pages::{Liveness, Page as _, event};

use crate::{html::Tree, samples};

#[test]
fn every_live_part_is_in_its_page_and_alone_it_is_the_same() {
    for (name, shell, page) in samples::pages() {
        let html = page.html(&shell);
        let tree = Tree::page(&html);
        for part in page.live_parts() {
            let id = part.id;
            let element = tree.by_id(id).unwrap_or_else(|| panic!("{name} has no {id}"));
            assert_eq!(element.get("sse-swap").as_deref(), Some(id), "{name}");
            let inside = page.part(&shell, id).unwrap_or_else(|| panic!("{name}: no part {id}"));
            assert_eq!(
                inside_of(&html, id).get(..inside.len()),
                Some(inside.as_str()),
                "{name}: {id}"
            );
            let after = inside_of(&html, id).get(inside.len()..).unwrap_or_default();
            assert!(
                after.starts_with(&format!("</{}>", element.name())),
                "{name}: {id}: {after:.60}"
            );
        }
        let swapped = tree.elements().into_iter().filter_map(|element| element.get("sse-swap"));
        for id in swapped.filter(|_| !page.live_parts().is_empty()) {
            let is_known = page.live_parts().iter().any(|part| part.id == id);
            assert!(is_known, "{name}: nobody sends {id}");
        }
    }
}

/// A page behind the start of the element with this id.
fn inside_of<'a>(html: &'a str, id: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("sse-swap=\"{id}\"")).expect("it is live");
    rest.split_once('>').expect("the tag ends").1
}

#[test]
fn rows_of_lists_are_parts_by_their_numbers() {
    for (name, shell, page) in samples::pages() {
        let html = page.html(&shell);
        let tree = Tree::page(&html);
        for id in tree.elements().iter().filter_map(|element| element.get("id")) {
            if id.starts_with("job-") || id.starts_with("worker-") {
                let inside = page.part(&shell, &id).unwrap_or_else(|| panic!("{name}: no {id}"));
                assert!(html.contains(&format!("<tr id=\"{id}\">{inside}</tr>")), "{name}: {id}");
            }
        }
        for id in ["", "main", "job-", "job-0", "worker-x", "../jobs", "live"] {
            assert_eq!(page.part(&shell, id), None, "{name}: {id}");
        }
    }
}

#[test]
fn a_page_connects_to_its_own_stream_if_it_has_live_parts() {
    for (name, shell, page) in samples::pages() {
        let connects = |live| {
            let shell = wasmgrid_pages::Shell { live, ..shell.clone() };
            let tree = Tree::page(&page.html(&shell));
            tree.by_id("main").expect("a page has a main part").get("sse-connect")
        };
        let expected = (!page.live_parts().is_empty()).then(|| page.live_path());
        assert_eq!(connects(Liveness::Live), expected, "{name}");
        assert_eq!(connects(Liveness::Still), None, "{name}");
    }
    let paths: Vec<_> = samples::pages().iter().map(|(.., page)| page.live_path()).collect();
    assert!(
        paths.contains(&"/live".into()) && paths.contains(&"/jobs/4182/live?as=pictures".into())
    );
    let filtered = samples::jobs_none().live_path();
    assert_eq!(filtered, "/jobs/live?state=failed&name=nightly%2F%22%3E%3Cb%3E&tenant=ada");
}

#[test]
fn a_part_of_several_lines_is_one_event() {
    let sent = event("rate", "<p>a\nb</p>");
    assert_eq!(sent, "event: rate\ndata: <p>a\ndata: b</p>\n\n");
    for (name, shell, page) in samples::pages() {
        for part in page.live_parts() {
            let inside = page.part(&shell, part.id).expect("a live part is one");
            let sent = event(part.id, &inside);
            assert!(!inside.contains('\r'), "{name}: {} would end a line", part.id);
            let read: Vec<_> =
                sent.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            assert_eq!(read.join("\n"), inside, "{name}: {}", part.id);
        }
    }
}

#[test]
fn a_page_says_since_when_it_is_not_live() {
    let (_, shell, page) = samples::pages()
        .into_iter()
        .find(|(name, ..)| *name == "overview-away")
        .expect("there is such a page");
    let text = Tree::page(&page.html(&shell)).text();
    assert!(text.contains("not live since 14:31:08"), "{text}");
    assert!(text.contains("The grid is away") && text.contains("wasmgrid up"), "{text}");
    assert_eq!(page.reload_seconds(), Some(10), "it is asked for again without scripts too");
}
