//! Pictures that tasks made: what is one is told by its first bytes, never by a guest.

/// A picture that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// PNG.
    Png,
    /// SVG.
    Svg,
}

/// What PNG begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Bytes that are looked at for the beginning of SVG.
const LOOKED_AT: usize = 1 << 10;

/// The picture that these bytes are, if they are one.
pub fn kind_of(bytes: &[u8]) -> Option<Picture> {
    if bytes.starts_with(PNG) {
        return Some(Picture::Png);
    }
    let part = bytes.get(..LOOKED_AT.min(bytes.len())).unwrap_or_default();
    let text = String::from_utf8_lossy(part);
    let text = text.trim_start();
    let is_svg = text.starts_with("<svg") || text.starts_with("<?xml") && text.contains("<svg");
    is_svg.then_some(Picture::Svg)
}

impl Picture {
    /// What it is called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Svg => "SVG",
        }
    }

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Svg => "image/svg+xml",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_png_and_svg_are_pictures() {
        assert_eq!(kind_of(b"\x89PNG\r\n\x1a\n..."), Some(Picture::Png));
        assert_eq!(kind_of(b" <svg xmlns=''></svg>"), Some(Picture::Svg));
        assert_eq!(kind_of(b"<?xml version='1.0'?><svg/>"), Some(Picture::Svg));
        for other in [&b"<html><svg>"[..], b"", b"\x89PN", b"GIF89a", b"<?xml?><html/>"] {
            assert_eq!(kind_of(other), None);
        }
    }
}
