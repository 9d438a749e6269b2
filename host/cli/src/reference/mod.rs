//! The reference in the book, which is made of what the program itself knows: the command line with
//! its help, the table of settings and the caps. Tests compare it; `BLESS=1` writes it anew.

mod commands;
mod settings;

use std::{env, fs, path::Path};

/// The folder of its pages.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/book/src/reference");

/// What each page says of itself.
const MADE: &str =
    "<!-- Made from the program: BLESS=1 cargo test --workspace --bins reference:: -->";

/// Holds that a page is as it is made.
fn holds(name: &str, made: &str) {
    let path = Path::new(FOLDER).join(name);
    if env::var_os("BLESS").is_some() {
        return fs::write(&path, made).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).expect("the page is there");
    let differs = page.lines().zip(made.lines()).find(|(is, made)| is != made);
    assert!(
        page == made,
        "{name} is not what the program says; BLESS=1 writes it anew. The first other line: \
         {differs:?}"
    );
}

/// A text as Markdown shows it: marks outside of code stand for themselves.
fn plain(text: &str) -> String {
    let escaped = |(number, part): (usize, &str)| match number % 2 {
        0 => part.replace('*', "\\*").replace('<', "\\<"),
        _ => part.to_owned(),
    };
    text.split('`').enumerate().map(escaped).collect::<Vec<_>>().join("`")
}

#[test]
fn marks_are_plain_outside_of_code() {
    assert_eq!(plain("a*b `c*d` <e>"), "a\\*b `c*d` \\<e>");
}
