//! What the driver counts beside the core. What only the shell around it knows is added there
//! ([`Effect::Count`]), on the way to whoever asks.

use wasmgrid_proto::{Metrics, ServerMetrics};

use super::{Driver, Effect, LinkId, Observer, counted::Counted, gate::HandedOver};

impl<O: Observer> Driver<O> {
    /// All that is counted, as far as the driver knows it.
    pub(super) fn metrics(&self) -> Metrics {
        let state = &self.state;
        let watches = state.clients.values().map(|client| client.watches.len() as u64).sum();
        let (uncommitted_items, uncommitted_bytes) = self.gate.uncommitted();
        let server = ServerMetrics {
            uncommitted_items: uncommitted_items as u64,
            uncommitted_bytes: uncommitted_bytes as u64,
            worker_links: state.workers.len() as u64,
            client_links: state.clients.len() as u64,
            watches,
            ..state.counted
        };
        Metrics { server, ..self.grid.metrics() }
    }

    pub(super) fn metrics_request(&mut self, link: LinkId, id: u64) {
        let counted = Counted::Metrics(Box::new(self.metrics()));
        self.effects.push(Effect::Count { link, id, counted });
    }

    /// All batches up to this one are durable.
    pub(super) fn committed(&mut self, number: u64) {
        let (counted, now) = (&mut self.state.counted, self.state.now);
        for HandedOver { items, bytes, at, .. } in self.gate.committed(number) {
            counted.commits += 1;
            counted.committed_items += items as u64;
            counted.committed_bytes += bytes as u64;
            counted.commit_us.count(now.0.saturating_sub(at.0));
        }
    }
}
