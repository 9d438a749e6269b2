//! What is logged when links end: a side that has closed its link has nothing to warn of.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use wasmgrid_net::Role;

use crate::{grid::Grid, raw};

/// Counts the warnings of the thread it was made on, as long as its guard lives.
#[derive(Clone, Default)]
struct Warnings {
    count: Arc<AtomicUsize>,
}

impl Warnings {
    fn listen() -> (Self, DefaultGuard) {
        let warnings = Self::default();
        let guard = tracing::subscriber::set_default(warnings.clone());
        (warnings, guard)
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_peer_that_hangs_up_without_a_word_is_warned_of_unless_the_link_was_closed() {
    for (closes, warned) in [(true, 0), (false, 1)] {
        let grid = Grid::new();
        let folder = grid.folder.path().join("raw");
        grid.credentials(Role::Worker, "raw").save(&folder).unwrap();
        let address = grid.listener.local_addr();
        let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
        let connection = connecting.await.unwrap();
        let ((mut send, mut receive), scheduler) =
            tokio::join!(raw::open(&connection), grid.accept_worker());
        let (warnings, _guard) = Warnings::listen();
        if closes {
            scheduler.sender.close("a test");
            receive.read_to_end(1 << 10).await.unwrap();
        }
        send.finish().unwrap();
        // The connection ends behind what is logged of its link.
        connection.closed().await;
        assert_eq!(warnings.count(), warned, "closed: {closes}");
    }
}

#[tokio::test]
async fn a_link_that_is_closed_in_order_ends_without_a_warning() {
    let grid = Grid::new();
    let (warnings, _guard) = Warnings::listen();
    for _ in 0..20 {
        let (endpoint, addresses) = (grid.endpoint(Role::Client), grid.addresses());
        let (accepted, dialled) =
            tokio::join!(grid.listener.accept(), endpoint.connect_client(&addresses));
        let Some(wasmgrid_net::Accepted::Client(mut accepted)) = accepted else {
            panic!("{accepted:?}")
        };
        drop(dialled.unwrap());
        let (end, ()) = tokio::join!(accepted.receiver.recv(), endpoint.close());
        assert_eq!(end, Ok(None));
    }
    assert_eq!(warnings.count(), 0);
}
