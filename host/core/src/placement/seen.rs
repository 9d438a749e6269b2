//! What was seen of a worker, apart from what its place among the others rests on.

use alloc::string::String;

use wasmgrid_proto::Micros;

/// A worker that is not heard for longer than this may have been stopped: several heartbeats.
const STALL_US: u64 = 3_000_000;

/// What was seen of a worker, on which nothing rests that it is given.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(super) heard_at: Micros,
    /// For how long it was not heard though it should have been, in microseconds: it may have been
    /// stopped, or cut off.
    pub(super) stalled_us: u64,
    /// When results of it were last taken.
    pub(super) delivered_at: Micros,
    /// Its results that were committed.
    pub(super) committed: u64,
    /// How often it became unable since it last ran a task to its end.
    pub(super) unable_count: u32,
    /// When another process was last refused its place, and from where that came.
    contested: Option<(Micros, String)>,
    silence_watched: bool,
    answer_watched: bool,
    overdue_watched: bool,
}

/// What a timer of a worker is for. One of each is enough, however often it joins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Watch {
    /// That it says something.
    Silence,
    /// That it answers what it was asked.
    Answer,
    /// That it ends what it has.
    Overdue,
}

impl Seen {
    pub(super) const fn new(now: Micros) -> Self {
        Self {
            heard_at: now,
            stalled_us: 0,
            delivered_at: now,
            committed: 0,
            unable_count: 0,
            contested: None,
            silence_watched: false,
            answer_watched: false,
            overdue_watched: false,
        }
    }

    /// When it was last heard.
    pub(crate) const fn heard_at(&self) -> Micros {
        self.heard_at
    }

    /// When results of it were last taken.
    pub(crate) const fn delivered_at(&self) -> Micros {
        self.delivered_at
    }

    /// When another process was last refused its place, and from where that came.
    pub(crate) const fn contested(&self) -> Option<&(Micros, String)> {
        self.contested.as_ref()
    }

    /// It said something.
    pub(crate) fn hear(&mut self, now: Micros) {
        self.stalled_us += self.silence_us(now);
        self.heard_at = self.heard_at.max(now);
    }

    /// Whether it said something since it was last heard is not known.
    pub(super) fn excuse(&mut self, now: Micros) {
        self.stalled_us += now.0.saturating_sub(self.heard_at.0);
        self.heard_at = self.heard_at.max(now);
    }

    /// How much of the time since it was last heard is more than between two heartbeats.
    pub(super) const fn silence_us(&self, now: Micros) -> u64 {
        now.0.saturating_sub(self.heard_at.0).saturating_sub(STALL_US)
    }

    /// It ran a task to its end.
    pub(crate) const fn note_run(&mut self) {
        self.unable_count = 0;
    }

    /// Another process, at this address, was refused its place.
    pub(crate) fn contest(&mut self, now: Micros, address: String) {
        self.contested = Some((now, address));
    }

    /// A timer is wanted; false where one is set already.
    pub(crate) const fn watch(&mut self, what: Watch) -> bool {
        !core::mem::replace(self.watched(what), true)
    }

    /// Its timer is over.
    pub(crate) const fn unwatch(&mut self, what: Watch) {
        *self.watched(what) = false;
    }

    const fn watched(&mut self, what: Watch) -> &mut bool {
        match what {
            Watch::Silence => &mut self.silence_watched,
            Watch::Answer => &mut self.answer_watched,
            Watch::Overdue => &mut self.overdue_watched,
        }
    }
}
