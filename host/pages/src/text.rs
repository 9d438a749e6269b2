//! Text on a page: what guests wrote, and what we write. Not numbers, and not states.

use std::fmt::{self, Display as _, Write as _};

use askama::filters::HtmlSafe;
use wasmgrid_proto::text::misleads;

/// Text that a guest, a job, a worker or another program chose: names, messages, inputs, labels. On a
/// page it is one line of text, whatever is in it: never markup, and with nothing in it that cannot be
/// seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest(String);

/// The same over several lines, as a log or an input has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestBlock(String);

impl Guest {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// These bytes, as far as they are a text.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into_owned())
    }

    /// True if there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as it is, for a field of a form: a template escapes it.
    #[must_use]
    pub(crate) fn raw(&self) -> &str {
        &self.0
    }

    /// True if it is this text.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.0 == text
    }

    /// For a title or an attribute: without markup of its own, so that a template still escapes it.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut plain = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if misleads(c) {
                let _ = write!(plain, "{}", written_out(c));
            } else {
                plain.push(c);
            }
        }
        plain
    }
}

impl From<&str> for Guest {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Guest {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl GuestBlock {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// These bytes, as far as they are a text.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into_owned())
    }

    /// True if there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        marked(f, &self.0, false)?;
        f.write_str("</bdi>")
    }
}

impl fmt::Display for GuestBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bdi>")?;
        marked(f, &self.0, true)?;
        f.write_str("</bdi>")
    }
}

impl HtmlSafe for Guest {}
impl HtmlSafe for GuestBlock {}

/// `text` escaped, with what cannot be seen written out and marked. Line ends and tabs stay as they
/// are where `lines` is true.
fn marked(out: &mut impl fmt::Write, text: &str, lines: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\n' | '\t' if lines => out.write_char(c)?,
            c if misleads(c) => write!(out, "<i>{}</i>", written_out(c))?,
            c => escaped_char(out, c)?,
        }
    }
    Ok(())
}

/// `text` as HTML text or the value of an attribute.
pub(crate) fn escaped(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| escaped_char(out, c))
}

fn escaped_char(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    match c {
        '&' => out.write_str("&amp;"),
        '<' => out.write_str("&lt;"),
        '>' => out.write_str("&gt;"),
        '"' => out.write_str("&quot;"),
        '\'' => out.write_str("&#39;"),
        c => out.write_char(c),
    }
}

/// A character by its number, or by the letter that it is known by.
fn written_out(c: char) -> String {
    match c {
        '\t' | '\n' | '\r' => c.escape_default().to_string(),
        c => c.escape_unicode().to_string(),
    }
}

/// A sentence of ours, with names, commands and links in it.
///
/// ```
/// use wasmgrid_pages::Prose;
/// let prose = Prose::new("Job ").link("/jobs/7", "7").say(" waits: run `wasmgrid worker`.");
/// assert!(prose.to_string().contains("<code class=\"cmd\">wasmgrid worker</code>"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prose(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Say(String),
    Guest(Guest),
    Whole(Guest),
    Code(Guest),
    Link { href: String, text: Guest },
    Strong(String),
    Time(crate::When),
}

impl Prose {
    /// A sentence that begins so; what stands in backticks is a command.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::default().say(text)
    }

    /// Goes on with words of ours; what stands in backticks is a command.
    #[must_use]
    pub fn say(self, text: &str) -> Self {
        self.and(Piece::Say(text.into()))
    }

    /// Goes on with a guest's text.
    #[must_use]
    pub fn guest(self, text: impl Into<Guest>) -> Self {
        self.and(Piece::Guest(text.into()))
    }

    /// Goes on with a sentence that has guests' text in it: as [`guest`](Self::guest), and never cut.
    #[must_use]
    pub fn whole(self, text: impl Into<Guest>) -> Self {
        self.and(Piece::Whole(text.into()))
    }

    /// Goes on with a guest's text, such as a label, as code.
    #[must_use]
    pub fn code(self, text: impl Into<Guest>) -> Self {
        self.and(Piece::Code(text.into()))
    }

    /// Goes on with a link to a page of the grid.
    #[must_use]
    pub fn link(self, href: impl Into<String>, text: impl Into<Guest>) -> Self {
        self.and(Piece::Link { href: href.into(), text: text.into() })
    }

    /// Goes on with a number or word that the sentence is about.
    #[must_use]
    pub fn strong(self, text: impl Into<String>) -> Self {
        self.and(Piece::Strong(text.into()))
    }

    /// Goes on with a point in time.
    #[must_use]
    pub fn time(self, at: crate::When) -> Self {
        self.and(Piece::Time(at))
    }

    /// True if it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same as a whole sentence: what the command line says within a line begins small.
    pub(crate) fn sentence(&self) -> Self {
        let mut pieces = self.0.clone();
        if let Some(Piece::Say(text)) = pieces.first_mut() {
            let mut letters = text.chars();
            if let Some(first) = letters.next() {
                *text = first.to_uppercase().chain(letters).collect();
            }
        }
        Self(pieces).say(".")
    }

    fn and(mut self, piece: Piece) -> Self {
        self.0.push(piece);
        self
    }
}

impl From<&str> for Prose {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self::new(text) }
    }
}

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Say(text) => said(f, text),
            Piece::Guest(text) => text.fmt(f),
            Piece::Whole(text) => write!(f, "<span class=\"whole\">{text}</span>"),
            Piece::Code(text) => write!(f, "<code>{text}</code>"),
            Piece::Strong(text) => {
                f.write_str("<b>")?;
                escaped(f, text)?;
                f.write_str("</b>")
            }
            Piece::Time(at) => at.fmt(f),
            Piece::Link { href, text } => {
                f.write_str("<a href=\"")?;
                escaped(f, href)?;
                write!(f, "\">{text}</a>")
            }
        })
    }
}

impl HtmlSafe for Prose {}

fn said(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 0 {
            escaped(f, part)?;
        } else {
            Command(part).fmt(f)?;
        }
    }
    Ok(())
}

/// A command that can be selected whole; its flags do not break.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a>(pub(crate) &'a str);

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<code class=\"cmd\">")?;
        for (at, word) in self.0.split(' ').enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            let flag = word.starts_with("--");
            f.write_str(if flag { "<span class=\"nw\">" } else { "" })?;
            escaped(f, word)?;
            f.write_str(if flag { "</span>" } else { "" })?;
        }
        f.write_str("</code>")
    }
}

impl HtmlSafe for Command<'_> {}

/// `text` as a part of a path: what is not a plain letter, digit or mark is written as `%XX`.
#[must_use]
pub fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            let _ = write!(part, "%{byte:02X}");
        }
    }
    part
}

/// The query of an address, with its `?`; what is empty is left out.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        // Writing to a string cannot fail.
        let _ = write!(query, "{name}={}", path_part(value));
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out_and_marked() {
        let shown = Guest::new("a\u{202e}b\u{1b}[31m\n\u{200b}ü").to_string();
        let expected = "<bdi>a<i>\\u{202e}</i>b<i>\\u{1b}</i>[31m<i>\\n</i><i>\\u{200b}</i>ü</bdi>";
        assert_eq!(shown, expected);
        assert_eq!(Guest::new("a\u{202e}<").plain(), "a\\u{202e}<");
        assert_eq!(GuestBlock::new("a\n\tb\r").to_string(), "<bdi>a\n\tb<i>\\r</i></bdi>");
    }

    #[test]
    fn markup_of_guests_is_text() {
        let shown = Guest::new("<img src=x onerror='a'> & \"b\"").to_string();
        assert_eq!(shown, "<bdi>&lt;img src=x onerror=&#39;a&#39;&gt; &amp; &quot;b&quot;</bdi>");
    }

    #[test]
    fn backticks_of_guests_make_no_command() {
        let prose = Prose::new("Run `a --b c`: ").guest("`rm -rf /`").code("x=`y`");
        let expected = "Run <code class=\"cmd\">a <span class=\"nw\">--b</span> c</code>: \
                        <bdi>`rm -rf /`</bdi><code><bdi>x=`y`</bdi></code>";
        assert_eq!(prose.to_string(), expected);
    }

    #[test]
    fn a_name_in_a_path_stays_one_part() {
        assert_eq!(path_part("a/../b?c#ü"), "a%2F..%2Fb%3Fc%23%C3%BC");
        assert_eq!(query(&[("a", "1 2"), ("b", ""), ("c", "&")]), "?a=1%202&c=%26");
    }
}
