//! The paths in a file's text: of `use` declarations, and those that stand in its code.

/// A path that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// As it is written, without the name that it gets.
    pub(super) path: Vec<&'a str>,
    /// What the file calls it from there on, if a `use` names it.
    pub(super) alias: Option<&'a str>,
    /// It is passed on: `pub use`.
    pub(super) is_passed_on: bool,
}

/// All paths of a text that has neither comments nor tests.
pub(super) fn named(text: &str) -> Vec<Named<'_>> {
    let mut tokens = Tokens { all: tokens(text), at: 0 };
    let mut named = Vec::new();
    while let Some(token) = tokens.next() {
        if token == "use" {
            let is_passed_on = tokens.is_after_pub();
            tokens.tree(&[], is_passed_on, &mut named);
        } else if is_word(token) && !matches!(tokens.before(2), "$" | "." | "::") {
            let path = tokens.path(token);
            if path.len() > 1 {
                named.push(Named { path, alias: None, is_passed_on: false });
            }
        }
    }
    named
}

struct Tokens<'a> {
    all: Vec<&'a str>,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.all.get(self.at - 1).copied()
    }

    fn peek(&self) -> &'a str {
        self.all.get(self.at).copied().unwrap_or_default()
    }

    /// The token so many before the next.
    fn before(&self, count: usize) -> &'a str {
        self.at.checked_sub(count).and_then(|at| self.all.get(at)).copied().unwrap_or_default()
    }

    /// Whether the last token follows `pub` or `pub(...)`.
    fn is_after_pub(&self) -> bool {
        let before = self.all.get(..self.at.saturating_sub(1)).unwrap_or_default();
        match before.split_last() {
            Some((&")", rest)) => {
                let open = rest.iter().rposition(|token| *token == "(");
                open.and_then(|at| at.checked_sub(1)).is_some_and(|at| rest[at] == "pub")
            }
            Some((last, _)) => *last == "pub",
            None => false,
        }
    }

    /// The path that begins with a word, as far as it has words.
    fn path(&mut self, first: &'a str) -> Vec<&'a str> {
        let mut path = vec![first];
        while self.peek() == "::" && self.all.get(self.at + 1).is_some_and(|word| is_word(word)) {
            self.at += 1;
            path.extend(self.next());
        }
        path
    }

    /// The tree of a `use`, behind a path.
    fn tree(&mut self, before: &[&'a str], is_passed_on: bool, named: &mut Vec<Named<'a>>) {
        let mut path = before.to_vec();
        while let Some(token) = self.next() {
            match token {
                "{" => return self.group(&path, is_passed_on, named),
                "::" => continue,
                word => path.push(word),
            }
            if self.peek() != "::" {
                break;
            }
        }
        let mut alias = path.last().copied();
        if self.peek() == "as" {
            self.at += 1;
            alias = self.next();
        }
        if path.last() == Some(&"self") && path.len() > 1 {
            path.pop();
            if alias == Some("self") {
                alias = path.last().copied();
            }
        }
        named.push(Named { path, alias, is_passed_on });
    }

    /// The trees in braces, behind a path.
    fn group(&mut self, path: &[&'a str], is_passed_on: bool, named: &mut Vec<Named<'a>>) {
        while !matches!(self.peek(), "}" | "") {
            self.tree(path, is_passed_on, named);
            if self.peek() == "," {
                self.at += 1;
            }
        }
        self.at += 1;
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and every other character that is no space.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

#[test]
fn paths_are_found_in_trees_and_in_code() {
    let text = "pub(crate) use self::{a::{B, c as D}, e::{self, F}};\n\
                use super::g; fn h() { k::L::new(x.m::<n::O>(), $crate::p::q) }";
    let found: Vec<_> = named(text)
        .into_iter()
        .map(|Named { path, alias, is_passed_on }| {
            let sort = if is_passed_on { "pub " } else { "" };
            format!("{sort}{} as {}", path.join("::"), alias.unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        found,
        [
            "pub self::a::B as B",
            "pub self::a::c as D",
            "pub self::e as e",
            "pub self::e::F as F",
            "super::g as g",
            "k::L::new as -",
            "n::O as -",
        ]
    );
}
