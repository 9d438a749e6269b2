//! Labels of workers: those of their certificates, which an operator vouched for with the token, and
//! those that they say themselves. Of a key that any token of the grid has vouched for, only the
//! former count: so a job that requires such a label goes to no worker that merely says it has it.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

/// `key=value` labels, sorted.
pub(crate) type Labels = Vec<(String, String)>;

/// A key of which a worker says a label itself though its certificate has one: a worker may only
/// add labels of other keys.
#[must_use]
pub fn claimed_key<'a>(
    own: &'a [(String, String)],
    vouched: &[(String, String)],
) -> Option<&'a str> {
    let claimed = own.iter().find(|(key, _)| has_key(vouched, key));
    claimed.map(|(key, _)| key.as_str())
}

/// The labels that count, of those that a worker says itself and those of its certificate.
pub(crate) fn counting(
    own: &[(String, String)],
    vouched: &[(String, String)],
    keys: &BTreeSet<String>,
) -> Labels {
    let counts = |(key, _): &&(String, String)| !keys.contains(key) && !has_key(vouched, key);
    let mut labels: Labels = own.iter().filter(counts).chain(vouched).cloned().collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

pub(crate) fn has_key(labels: &[(String, String)], key: &str) -> bool {
    labels.iter().any(|(known, _)| known == key)
}
