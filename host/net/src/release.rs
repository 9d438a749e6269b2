//! Which release of wasmgrid speaks. Each side says it when a link opens, so that two sides that
//! do not understand each other can be told apart.

use std::fmt;

use wasmgrid_proto::wire::PROTOCOL_MINOR;

/// Bytes of a release's text that are read of a peer.
const TEXT_MAX: usize = 64;

/// A release, as a side says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release(Option<String>);

impl Release {
    /// This one.
    #[must_use]
    pub fn ours() -> Self {
        Self(Some(format!("{} (protocol 1.{PROTOCOL_MINOR})", env!("CARGO_PKG_VERSION"))))
    }

    /// As it travels; nothing where it is not known.
    pub(crate) fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// What a peer says: at most a few words that can be printed.
    pub(crate) fn said(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes));
        let text: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        Self(Some(text).filter(|text| !text.is_empty()))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "wasmgrid {text}"),
            None => f.write_str("an unknown release of wasmgrid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_short_and_can_be_printed() {
        assert_eq!(Release::said(Release::ours().text().as_bytes()), Release::ours());
        assert_eq!(Release::said(b"1\x1b[2J\n2").to_string(), "wasmgrid 1[2J2");
        assert_eq!(Release::said(&[b'x'; 1_000]).text().len(), TEXT_MAX);
        assert_eq!(Release::said(b"\n"), Release::default());
        assert!(!Release::default().to_string().ends_with("wasmgrid "));
    }
}
