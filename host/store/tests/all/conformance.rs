//! The suite that every backend runs, on those of this crate.

use wasmgrid_store::{Fault, Faults, SqliteStore, Store, conformance::Place, memory};

/// A folder with a store's file, and the faults that its commits meet.
struct InFolder(tempfile::TempDir, Faults);

impl InFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"), Faults::default())
    }
}

impl Place for InFolder {
    fn open(&self) -> Box<dyn Store> {
        let store = SqliteStore::open(self.0.path().join("store.db")).expect("opens");
        Box::new(store.with_faults(self.1.clone()))
    }

    fn plan(&self, fault: Fault) {
        self.1.plan(fault);
    }
}

mod in_memory {
    wasmgrid_store::conformance!(super::memory());
}

mod in_a_file {
    wasmgrid_store::conformance!(super::InFolder::new());
}

#[test]
fn every_promise_is_a_test() {
    let source = include_str!("../../src/conformance.rs");
    let (list, rest) = source.split_once("(@ $place:expr").expect("the list comes first");
    let doubt = include_str!("../../src/conformance/doubt.rs");
    let made: Vec<&str> = [rest, doubt]
        .into_iter()
        .flat_map(|source| source.split("\npub fn "))
        .filter_map(|text| text.split_once("(place: &dyn Place)"))
        .map(|(name, _)| name)
        .collect();
    assert!(made.len() > 20, "{made:?}");
    for name in made {
        assert!(list.lines().any(|line| line.trim() == name), "{name} is not in the list");
    }
}
