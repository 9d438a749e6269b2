//! The labels of a worker that its certificate has. They stand in an extension of their own, as one
//! UTF-8 string of lines: others ignore it, since it is not critical.

use rcgen::CustomExtension;
use x509_parser::{
    oid_registry::Oid,
    prelude::{FromDer as _, X509Certificate},
};

use crate::error::IdentityError;

/// The extension's name: a number of ours in the arc that is free for all (ITU-T X.667).
const LABELS: &[u64] = &[2, 25, 3_906_742_817_550_941_266];

/// Labels in one certificate, and the bytes of a key or value: certificates travel in each
/// handshake, and labels in lists of thousands of workers.
const LABELS_MAX: usize = 16;
const TEXT_MAX: usize = 63;

/// The tag of a UTF-8 string in DER, and what stands before a length of two bytes.
const UTF8_STRING: u8 = 0x0c;
const TWO_BYTES: u8 = 0x82;

/// Why labels cannot stand in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// Too many.
    #[error("{found} labels exceed the {LABELS_MAX} that a certificate may have")]
    Count {
        /// How many there were.
        found: usize,
    },
    /// A text that cannot stand there.
    #[error(
        "invalid label {found:?}: expected KEY=VALUE, each of 1 to {TEXT_MAX} bytes without \
         control characters, and no `=` in the key"
    )]
    Text {
        /// What was there.
        found: String,
    },
    /// Two labels of one key.
    #[error("the key {key:?} has two labels; a certificate may have one of each key")]
    Twice {
        /// The key.
        key: String,
    },
}

/// Refuses labels that cannot stand in a certificate.
///
/// # Errors
/// [`LabelsError`] says which and why.
pub fn check_labels(labels: &[(String, String)]) -> Result<(), LabelsError> {
    if labels.len() > LABELS_MAX {
        return Err(LabelsError::Count { found: labels.len() });
    }
    let fits =
        |text: &str| (1..=TEXT_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    for (place, (key, value)) in labels.iter().enumerate() {
        if !fits(key) || !fits(value) || key.contains('=') {
            return Err(LabelsError::Text { found: format!("{key}={value}") });
        }
        if labels.iter().take(place).any(|(other, _)| other == key) {
            return Err(LabelsError::Twice { key: key.clone() });
        }
    }
    Ok(())
}

/// The extension with these labels, which were checked.
pub(super) fn extension(labels: &[(String, String)]) -> CustomExtension {
    let lines: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let text = lines.join("\n");
    // What was checked is far shorter than two bytes say.
    let [high, low] = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut content = match text.len() {
        0..=0x7f => vec![UTF8_STRING, low],
        0x80..=0xff => vec![UTF8_STRING, TWO_BYTES - 1, low],
        _ => vec![UTF8_STRING, TWO_BYTES, high, low],
    };
    content.extend_from_slice(text.as_bytes());
    CustomExtension::from_oid_content(LABELS, content)
}

/// The labels in a certificate (DER), sorted; none where it has no such extension. Says nothing of
/// who signed it.
///
/// # Errors
/// [`IdentityError::Unreadable`], where it has one that no authority of a grid writes.
pub(crate) fn of_certificate(der: &[u8]) -> Result<Vec<(String, String)>, IdentityError> {
    let unreadable = |reason: String| IdentityError::Unreadable { reason };
    let oid = Oid::from(LABELS).map_err(|error| unreadable(format!("{error:?}")))?;
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
    let found =
        certificate.get_extension_unique(&oid).map_err(|error| unreadable(error.to_string()))?;
    let Some(extension) = found else { return Ok(Vec::new()) };
    let labels = parse(extension.value).filter(|labels| check_labels(labels).is_ok());
    labels.ok_or_else(|| unreadable("its labels are malformed".into()))
}

fn parse(content: &[u8]) -> Option<Vec<(String, String)>> {
    let (length, text) = match content {
        [UTF8_STRING, TWO_BYTES, high, low, text @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), text)
        }
        [UTF8_STRING, 0x81, length, text @ ..] => (usize::from(*length), text),
        [UTF8_STRING, length @ 0..=0x7f, text @ ..] => (usize::from(*length), text),
        _ => return None,
    };
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == length)?;
    let label = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    let mut labels: Vec<_> = text.split('\n').map(label).collect::<Option<_>>()?;
    labels.sort_unstable();
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Vec<(String, String)> {
        let label = |text: &&str| text.split_once('=').map(|(k, v)| (k.into(), v.into()));
        texts.iter().filter_map(label).collect()
    }

    #[test]
    fn labels_are_read_as_they_are_written_whatever_their_length() {
        for count in 1..=LABELS_MAX {
            for bytes in [1, 20, TEXT_MAX] {
                let one = |n: usize| (format!("{n:0>bytes$}"), "v".repeat(bytes));
                let first = if bytes == 1 { 1 } else { 10 };
                let labels: Vec<_> = (first..first + count).map(one).collect();
                if bytes == 1 && count > 9 {
                    continue;
                }
                check_labels(&labels).expect("fits");
                assert_eq!(parse(extension(&labels).content()), Some(labels));
            }
        }
    }

    #[test]
    fn what_is_no_label_stands_in_no_certificate() {
        for text in ["zone=", "=a", "zone=a\nrack=b", "zo\u{1b}ne=a"] {
            assert!(check_labels(&labels(&[text])).is_err(), "{text:?}");
        }
        assert!(check_labels(&labels(&["zone=a", "zone=b"])).is_err());
        assert!(check_labels(&labels(&["a=1"; LABELS_MAX + 1])).is_err());
        assert!(check_labels(&labels(&["zone=a=b"])).is_ok(), "a value may have the sign");
        for content in [&b""[..], b"\x0c", b"\x0c\x05zone", b"\x0c\x04zone", b"\x04\x01a"] {
            assert_eq!(parse(content), None);
        }
    }
}
