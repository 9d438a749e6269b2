//! Two processes with the certificate of one worker: its folder or disk was copied, or it was
//! started again before its end was seen. Who is linked is asked whether it lives: if it answers,
//! it stays and the other is refused; if it does not, the other takes its place.

use alloc::vec::Vec;

use wasmgrid_proto::{Contest, WorkerId};

use super::{
    claims::{Claims, Rival},
    grid::Grid,
};
use crate::{io::Output, placement::Worker, timers::Timer};

impl Grid {
    /// A worker joins that is linked already: that link is asked whether it lives.
    pub(super) fn contest(&mut self, id: WorkerId, joined: Worker, claims: Claims) {
        let (rival, address, asked_at) = (joined.link(), joined.address().into(), self.now);
        if let Some(before) = self.rivals.insert(id, Rival { joined, claims, asked_at }) {
            // Of several the newest may be the one that was started last.
            self.refuse(id, &before);
        }
        self.output(Output::Contest { worker: id, rival, address });
        self.timers.set(self.now.after(self.config.contest_timeout), Timer::Contest(id));
    }

    /// A worker that was asked whether it lives does.
    pub(super) fn alive(&mut self, id: WorkerId, rival: u64) {
        self.hear(id);
        if self.rivals.get(&id).is_some_and(|waits| waits.joined.link() == rival)
            && let Some(refused) = self.rivals.remove(&id)
        {
            if let Some(seen) = self.placement.seen_mut(id) {
                seen.contest(self.now, refused.joined.address().into());
            }
            self.refuse(id, &refused);
        }
    }

    /// A worker that was asked whether it lives had its time to answer.
    pub(super) fn decide_contest(&mut self, id: WorkerId) {
        let timeout = self.config.contest_timeout;
        let Some(due) = self.rivals.get(&id).map(|rival| rival.asked_at.after(timeout)) else {
            return;
        };
        if due > self.now {
            return self.timers.set(due, Timer::Contest(id));
        }
        self.admit_rival(id);
    }

    /// Nobody has the worker's place any more: who waits for it gets it.
    pub(super) fn admit_rival(&mut self, id: WorkerId) {
        if let Some(Rival { mut joined, claims, .. }) = self.rivals.remove(&id) {
            joined.begin(self.now);
            self.admit(id, joined, &claims);
        }
    }

    /// The link of a worker that has not joined yet is gone.
    pub(super) fn rival_left(&mut self, link: u64) {
        self.rivals.retain(|_, rival| rival.joined.link() != link);
    }

    /// How long workers were silent is not known: what they were asked counts from now.
    pub(super) fn ask_rivals_anew(&mut self) {
        let now = self.now;
        self.rivals.values_mut().for_each(|rival| rival.asked_at = now);
    }

    /// The workers whose identity others have too, since the scheduler started; by number.
    #[must_use]
    pub fn contests(&self) -> Vec<Contest> {
        let clock = self.ledger.clock();
        let contest = |(_, worker): (WorkerId, &Worker)| {
            let (at, address) = worker.seen().contested()?;
            let (name, address) = (worker.name().into(), address.clone());
            Some(Contest { name, address, at: clock.date_of(*at) })
        };
        self.placement.fleet().iter().filter_map(contest).collect()
    }

    pub(super) fn refuse(&mut self, id: WorkerId, rival: &Rival) {
        let Some(holder) = self.placement.worker(id) else { return };
        let (address, linked_for) = (holder.address().into(), self.now.since(holder.since()));
        self.output(Output::Refuse { link: rival.joined.link(), address, linked_for });
    }
}
