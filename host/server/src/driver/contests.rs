//! Two processes with one worker's certificate: the core decides who stays, both are told, and the
//! log says it once.

use wasmgrid_core::Input;
use wasmgrid_proto::{
    Millis, Reason, WorkerId,
    wire::{ApiError, Contested, Refused, ToWorker},
};

use super::{Driver, Effect, LinkId, Observer, workers::Worker};

/// A worker's rivals are warned of once in this time: one that is started again and again would
/// else fill the log.
const WARN_EVERY: Millis = Millis(600_000);

impl<O: Observer> Driver<O> {
    /// Asks a worker whether it lives. It is said before all that waits for room on the link.
    pub(super) fn contest(&mut self, id: WorkerId, rival: u64, address: String) {
        if let Some(waiting) = self.state.workers.get_mut(&LinkId(rival)) {
            waiting.contests = Some(id);
        }
        let Some(link) = self.state.by_worker.get(&id).copied() else { return };
        let Some(worker) = self.state.workers.get(&link) else { return };
        tracing::debug!(worker = worker.peer.identity.name(), address, "asked whether it is alive");
        let message = ToWorker::Contested(Contested { rival, address });
        self.say_to_worker(link, message);
    }

    /// Refuses a worker that joined, and closes its link after that.
    pub(super) fn refuse(&mut self, link: LinkId, address: &str, linked_for: Millis) {
        let Some(refused) = self.state.workers.remove(&link) else { return };
        let (name, from) = (refused.peer.identity.name(), &refused.peer.address);
        let linked_for = Millis(linked_for.0 / 1_000 * 1_000);
        let holder = refused.contests.and_then(|id| self.state.by_worker.get(&id));
        let holder = holder.copied().and_then(|link| self.state.workers.get_mut(&link));
        let now = self.state.now;
        let warned = holder.and_then(|holder| holder.warned_at.replace(now));
        if warned.is_none_or(|at| at.after(WARN_EVERY) <= now) {
            tracing::warn!(
                name,
                refused = from,
                stays = address,
                "two machines have the identity of one worker; the later one is refused: it needs a \
                 token of its own"
            );
        } else {
            tracing::debug!(name, refused = from, stays = address, "refused the worker again");
        }
        let (name, address) = (name.into(), address.into());
        let error = Reason::IdentityInUse { name, address, linked_for }.into();
        self.say_refused(link, &refused, error);
    }

    /// Refuses a worker that joins: it is told why, and need not try again.
    pub(super) fn refuse_worker(&mut self, link: LinkId, why: Reason) {
        let Some(worker) = self.state.workers.remove(&link) else { return };
        tracing::warn!(name = worker.peer.identity.name(), reason = %why, "refused the worker");
        self.say_refused(link, &worker, why.into());
    }

    /// A worker says that it lives.
    pub(super) fn alive(&mut self, worker: WorkerId, rival: u64) {
        self.grid.handle(self.state.now, Input::Alive { worker, rival });
    }

    /// The last word to a worker, after which its link ends.
    fn say_refused(&mut self, link: LinkId, worker: &Worker, error: ApiError) {
        // If it has no room, the link ends all the same.
        if let Ok(queued) = worker.outbox.push(ToWorker::Refused(Refused { error })) {
            self.effects.push(Effect::ToWorker(link, queued));
        }
        self.effects.push(Effect::HangUp { link });
    }
}
