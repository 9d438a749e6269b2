//! Counts the words of a text: a word is a run of letters, digits and underscores, in lower case.

use std::collections::HashMap;

use serde::Serialize;

/// How many of the commonest words are told.
const TOP: usize = 5;

/// What is told of one text. Small, however long the text is.
#[derive(Debug, PartialEq, Serialize)]
struct Counts {
    lines: usize,
    words: usize,
    distinct: usize,
    /// The commonest words and how often each is there; ties in the order of the alphabet.
    top: Vec<(String, usize)>,
}

#[wasmgrid::task]
fn wordcount(text: &[u8]) -> Counts {
    // Files are what they are: what is not UTF-8 separates words.
    let text = String::from_utf8_lossy(text);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let (words, distinct) = (counts.values().sum(), counts.len());
    let mut top: Vec<_> = counts.into_iter().collect();
    top.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    top.truncate(TOP);
    Counts { lines: text.lines().count(), words, distinct, top }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whatever_their_case_and_ties_are_in_order() {
        let counts = wordcount(b"The cat, the dog;\nthe b_1 \xff a");
        assert_eq!((counts.lines, counts.words, counts.distinct), (2, 7, 5));
        let top: Vec<_> = counts.top.iter().map(|(word, n)| (word.as_str(), *n)).collect();
        assert_eq!(top, [("the", 3), ("a", 1), ("b_1", 1), ("cat", 1), ("dog", 1)]);
    }

    #[test]
    fn an_empty_file_has_no_words() {
        assert_eq!(wordcount(b"").words, 0);
    }
}
