//! What both kinds of file are found to be, and how names of them are shown in a refusal.

use std::borrow::Cow;

use wasmgrid_proto::ModuleKind;

/// What a kind's module finds out about a file.
pub(super) struct Admitted {
    pub(super) kind: ModuleKind,
    /// Sorted, without repeats.
    pub(super) imports: Vec<String>,
    /// Sorted.
    pub(super) exports: Vec<String>,
}

/// `names` for a message: a few, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(|name| short(name)).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) if shown.is_empty() => "nothing".into(),
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// `name` for a message: a module's names may have 100,000 bytes.
pub(super) fn short(name: &str) -> Cow<'_, str> {
    const SHOWN: usize = 120;
    match name.char_indices().nth(SHOWN) {
        None => name.into(),
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()).into(),
    }
}
