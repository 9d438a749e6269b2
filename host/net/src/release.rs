//! Which release of wasmgrid speaks, and which minor versions of the protocol. Each side says it when
//! a link opens, so that two sides that do not understand each other can be told apart.

use std::fmt;

use wasmgrid_proto::wire::{Hello, Minors};

/// A release, as people know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release(Option<(String, Minors)>);

impl Release {
    /// This one.
    #[must_use]
    pub fn ours() -> Self {
        Self::of(&ours())
    }

    /// The one that says this.
    #[must_use]
    pub fn of(hello: &Hello) -> Self {
        Self(Some((hello.release.clone(), hello.minors)))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((release, minors)) => write!(f, "wasmgrid {release} (protocol {minors})"),
            None => f.write_str("an unknown release of wasmgrid"),
        }
    }
}

/// What this side says when a link opens.
pub(crate) fn ours() -> Hello {
    Hello::new(env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_with_the_minors_that_it_speaks() {
        let speaking = |least, most| {
            let minors = Minors { least, most };
            Release::of(&Hello { minors, ..Hello::new("9.8.7") }).to_string()
        };
        assert_eq!(speaking(0, 6), "wasmgrid 9.8.7 (protocol 1.0 to 1.6)");
        assert_eq!(speaking(6, 6), "wasmgrid 9.8.7 (protocol 1.6)");
        assert!(!Release::default().to_string().ends_with("wasmgrid "));
    }
}
