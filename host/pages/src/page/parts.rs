//! What the overview tells of workers and of the scheduler's disk.

use wasmgrid_proto::ByteCount;

use crate::{Bar, Count, Fill, Shape, State, Tone, number};

/// Workers by state.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerCounts {
    /// They take tasks.
    pub ready: u64,
    /// They take nothing new until they are uncordoned.
    pub cordoned: u64,
    /// They end what they have, or have.
    pub draining: u64,
    /// They cannot run tasks.
    pub failing: u64,
    /// They are not linked.
    pub gone: u64,
}

impl WorkerCounts {
    /// All.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ready + self.cordoned + self.draining + self.failing + self.gone
    }

    pub(crate) fn states(&self) -> Vec<(State, Count)> {
        [
            (Shape::Ready, Tone::Ok, "ready", self.ready, true),
            (Shape::Cordoned, Tone::Rest, "cordoned", self.cordoned, false),
            (Shape::Draining, Tone::Rest, "draining", self.draining, false),
            (Shape::Lost, Tone::Warn, "failing", self.failing, false),
            (Shape::Lost, Tone::Warn, "gone", self.gone, false),
        ]
        .into_iter()
        .filter(|(.., count, always)| *always || *count > 0)
        .map(|(shape, tone, word, count, _)| (State::new(shape, tone, word), Count(count)))
        .collect()
    }

    pub(crate) fn bar(&self) -> Bar {
        let named = [
            (self.ready, "ready"),
            (self.cordoned, "cordoned"),
            (self.draining, "draining"),
            (self.failing, "failing"),
            (self.gone, "gone"),
        ];
        let named = named.iter().filter(|(count, _)| *count > 0);
        let label: Vec<_> = named.map(|(count, word)| format!("{count} {word}")).collect();
        Bar::new(label.join(", "), self.total())
            .part(Fill::Ok, self.ready)
            .part(Fill::Rest, self.cordoned)
            .part(Fill::Other, self.draining)
            .part(Fill::Warn, self.failing + self.gone)
    }
}

/// What fills the scheduler's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// All of it.
    pub total: ByteCount,
    /// Nothing is there.
    pub free: ByteCount,
    /// Inputs and results that are kept.
    pub results: ByteCount,
    /// The journal and its snapshot.
    pub journal: ByteCount,
    /// Modules and blobs.
    pub modules: ByteCount,
    /// How many modules.
    pub module_count: u64,
}

impl Disk {
    /// What is not the grid's.
    fn other(&self) -> u64 {
        let own = self.free.0 + self.results.0 + self.journal.0 + self.modules.0;
        self.total.0.saturating_sub(own)
    }

    fn is_full(&self) -> bool {
        self.free.0.saturating_mul(100) < self.total.0
    }

    pub(crate) fn says(&self) -> String {
        if self.is_full() {
            return "full".into();
        }
        let used = self.total.0.saturating_sub(self.free.0);
        let share = u128::from(used) * 100 / u128::from(self.total.0.max(1));
        format!("{share} % of {}", self.total)
    }

    fn kept(&self) -> Fill {
        if self.is_full() { Fill::Bad } else { Fill::Run }
    }

    pub(crate) fn bar(&self) -> Bar {
        Bar::new(format!("Disk: {}", self.says()), self.total.0)
            .part(self.kept(), self.results.0)
            .part(Fill::Other, self.journal.0 + self.modules.0)
            .part(Fill::Rest, self.other())
    }

    pub(crate) fn parts(&self) -> Vec<(Fill, String, ByteCount)> {
        let modules = format!("Modules, {}", number::separated(self.module_count));
        vec![
            (self.kept(), "Results kept".into(), self.results),
            (Fill::Other, "Journal".into(), self.journal),
            (Fill::Other, modules, self.modules),
            (Fill::Rest, "Other files".into(), ByteCount(self.other())),
            (Fill::Wait, "Free".into(), self.free),
        ]
    }
}
