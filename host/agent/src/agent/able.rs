//! What the agent does while its machine cannot run tasks: it says so and gives back what it has,
//! which the scheduler then gives to others, until it can again.

use wasmgrid_proto::wire::{FromWorker, Health, Unable};

use super::{Agent, reasons::UNABLE};

impl<M: Clone> Agent<M> {
    pub(super) fn able(&mut self) {
        self.was_able = true;
        if self.unable.take().is_some() {
            tracing::info!("this machine can run tasks again");
            self.say_health();
        }
    }

    pub(super) fn unable(&mut self, unable: Unable) {
        let before = self.unable.as_ref();
        let is_new = before.is_none_or(|before| before.reason != unable.reason);
        // Whoever starts a worker hears of the first try by itself.
        if self.was_able && is_new {
            tracing::warn!(
                "this machine cannot run tasks: {}; trying again, after 1 s at first and 1 min at \
                 last",
                unable.reason
            );
        }
        self.unable = Some(unable);
        self.say_health();
        self.give_back_all(UNABLE);
    }

    /// Says how it stands on a link that has joined; a worker that joins counts as able.
    pub(super) fn say_health(&mut self) {
        if self.link.is_joined() {
            let unable = self.unable.clone();
            self.outgoing.say(FromWorker::Health(Health { unable }));
        }
    }
}
