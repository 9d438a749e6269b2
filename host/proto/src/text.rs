//! The bound of texts that come from outside (from guests, peers, operating systems and tools), and
//! how one that is longer is cut; and how numbers of things are written.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
};
use core::{fmt, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize};

/// Bytes of one text in an outcome: the attempts of a lost task are the longest there is, with up to
/// 16 lines of 200 characters each. What is longer tells nobody more, and is copied into each task
/// that it is about.
pub const TEXT_MAX: usize = 16 << 10;

/// Bytes of one text about a worker or an attempt: it is kept as long as the job, and shown in lists.
pub const REASON_MAX: usize = 1 << 10;

/// What stands at the end of a text that was cut.
pub const CUT_MARK: &str = "… (cut)";

/// Cuts `text` to `max` bytes at most, between two characters; a text that was cut ends with
/// [`CUT_MARK`]. Cutting it again changes nothing. `max` is larger than the mark.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub(CUT_MARK.len())));
        text.push_str(CUT_MARK);
    }
}

/// See [`shorten`].
#[must_use]
pub fn shortened(mut text: String, max: usize) -> String {
    shorten(&mut text, max);
    text
}

/// A number of things, as people read it: `1 task`, `2 tasks`. `one` is what one of them is called,
/// and its plural has an `s` more.
#[must_use]
pub fn counted(count: u64, one: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {one}{ending}")
}

/// A text of at most `MAX` bytes: a longer one is cut, as [`shorten`] does, when it is made and when
/// it is read.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(Box<str>);

/// A name: of a worker, a tenant, a blob, an import.
pub type Name = Text<256>;

/// Words of an operating system, a library or a module about one thing.
pub type Detail = Text<REASON_MAX>;

impl<const MAX: usize> Text<MAX> {
    /// As `shown` is displayed.
    #[must_use]
    pub fn of(shown: &(impl fmt::Display + ?Sized)) -> Self {
        Self::from(shown.to_string())
    }
}

impl<const MAX: usize> From<String> for Text<MAX> {
    fn from(text: String) -> Self {
        Self(shortened(text, MAX).into_boxed_str())
    }
}

impl<const MAX: usize> From<&str> for Text<MAX> {
    fn from(text: &str) -> Self {
        Self::from(String::from(text))
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0.into_string()
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// True for a character that is not seen, or that changes how those around it are shown: controls,
/// those that end a line or turn its direction, and invisible ones that only mark text. Joiners are
/// none of them, since scripts are written with them.
#[must_use]
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_no_plural_and_none_has() {
        let tasks = [0, 1, 2].map(|count| counted(count, "task"));
        assert_eq!(tasks, ["0 tasks", "1 task", "2 tasks"]);
    }

    #[test]
    fn a_bounded_text_is_cut_when_it_is_made_and_when_it_is_read() {
        let long = "ü".repeat(REASON_MAX);
        let made = Detail::from(long.as_str());
        assert!(made.len() <= REASON_MAX && made.ends_with(CUT_MARK), "{made}");
        let bytes = postcard::to_allocvec(&long).expect("encoded");
        assert_eq!(postcard::from_bytes::<Detail>(&bytes), Ok(made));
        assert_eq!(alloc::format!("{:?}", Name::from("x\n")), r#""x\n""#);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for max in 16..40 {
            let cut = shortened("ü".repeat(40), max);
            assert!(cut.len() <= max && cut.len() + 2 > max, "{max}: {}", cut.len());
            assert!(cut.ends_with(CUT_MARK), "{cut}");
            assert_eq!(shortened(cut.clone(), max), cut, "once is enough");
        }
    }

    #[test]
    fn a_text_within_its_bound_stays_as_it_is() {
        assert_eq!(shortened("x".repeat(20), 20), "x".repeat(20));
        assert_eq!(shortened(String::new(), 20), "");
    }
}
