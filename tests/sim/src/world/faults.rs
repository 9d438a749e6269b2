//! What goes wrong in a world, and how it stops going wrong.

use super::{Event, IDLE_US, World};
use crate::{
    message::Down,
    net::Way,
    plan::{Broken, Fault, SECOND},
    scheduler::{Effect, Failed, Heard},
};

impl World {
    pub(super) fn fault(&mut self, fault: Fault) -> Result<(), Failed> {
        self.report.faults += 1;
        match fault {
            Fault::CrashScheduler { after: 0, down_us, kept } => {
                return self.crash_scheduler(down_us, kept);
            }
            Fault::CrashScheduler { after, down_us, kept } => {
                self.dies = Some((after, down_us, kept));
            }
            Fault::Relapse { down_us, again_us } => self.relapse = Some((down_us, again_us)),
            Fault::Breaks { worker, how, for_us } => self.breaks(worker, how, for_us),
            Fault::CrashWorker { worker, down_us } => {
                if self.workers.get(worker).is_some_and(|machine| machine.process.is_some()) {
                    self.crash_worker(worker, down_us);
                }
            }
            Fault::CrashClient { client, down_us, keeps } => {
                self.crash_client(client, down_us, keeps);
            }
            Fault::Cut { node, notice_us } => self.cut(node, notice_us),
            Fault::Partition { node, up, down, for_us } => self.part(node, up, down, for_us),
            Fault::Freeze { node, for_us } => {
                let until = self.frozen.entry(node).or_default();
                *until = (*until).max(self.now + for_us);
                self.idle_out(node, for_us, true, false);
            }
            Fault::FreezeScheduler { for_us } => {
                self.scheduler_frozen = self.scheduler_frozen.max(self.now + for_us);
            }
            Fault::SlowDisk { sync_us, for_us } => self.slow = (sync_us, self.now + for_us),
            Fault::FullDisk { for_us } => {
                self.full_until = self.full_until.max(self.now + for_us);
                self.tell_scheduler(Heard::Full(true));
                self.at(self.full_until, Event::DiskHasRoom);
            }
            Fault::ClockStep { by_us } => {
                self.clock_us += by_us;
                self.turn_soon();
            }
            Fault::Drain { worker } => {
                let name = self.plan.workers.get(worker).map(|plan| plan.name.clone());
                self.drained.push(worker);
                self.tell_scheduler(Heard::Drain(name.unwrap_or_default()));
            }
            Fault::Remove { worker, away_us } => {
                let name = self.plan.workers.get(worker).map(|plan| plan.name.clone());
                self.tell_scheduler(Heard::Remove(name.unwrap_or_default()));
                // It ends with its link; what it said last may come before or after.
                self.crash_worker(worker, Some(away_us));
            }
            Fault::Leave { worker, patience_us, away_us } => {
                self.leave(worker, patience_us, away_us);
            }
        }
        Ok(())
    }

    pub(super) fn crash_scheduler(&mut self, down_us: u64, kept: u64) -> Result<(), Failed> {
        self.dies = None;
        if self.scheduler.take().is_none() {
            return Ok(());
        }
        self.book.times.dies(self.now);
        self.report.restarts += 1;
        self.life += 1;
        self.ready = false;
        self.turn_at = None;
        self.disk.crash(kept)?;
        for link in self.net.all() {
            let Some(node) = self.net.node(link) else { continue };
            self.net.leave(self.now, link, Way::Up);
            let latest = if self.random.chance(80) { SECOND / 2 } else { IDLE_US };
            let notice = self.random.below(latest);
            self.after(notice, Event::NodeLost(link, node));
        }
        self.after(down_us, Event::SchedulerStarts);
        Ok(())
    }

    /// The worker that is given tasks of inputs that one of several producers appended, and that
    /// are not synced, if that is what happens.
    pub(super) fn gives_unsynced(&self, effect: &Effect) -> Option<usize> {
        let Effect::Say(link, Down::Assign { job, leases, .. }) = effect else { return None };
        let key = self.book.key_of(*job)?;
        let mut jobs = self.plan.clients.iter().flat_map(|client| &client.jobs);
        let is_fed = jobs.any(|plan| plan.key == key && plan.beside);
        let is_synced = |position| self.disk.has_input(*job, position).is_ok_and(|has| has);
        let gives = is_fed && is_synced(0) && leases.iter().any(|lease| !is_synced(lease.first));
        gives.then(|| self.net.node(*link))?
    }

    /// The scheduler has just given a worker tasks: it dies, and again when it is up, while the
    /// worker hears nothing of it. What it gave arrives.
    pub(super) fn relapses(&mut self, worker: usize) -> Result<(), Failed> {
        let Some((down_us, again_us)) = self.relapse.take() else { return Ok(()) };
        let arrived = 2 * self.plan.way_us.1;
        let (up, down, for_us) = (true, true, again_us + down_us / 2);
        self.after(arrived, Event::Fault(Fault::Partition { node: worker, up, down, for_us }));
        let again = Fault::CrashScheduler { after: 0, down_us, kept: 100 };
        self.after(again_us, Event::Fault(again));
        self.crash_scheduler(down_us.max(arrived), 0)
    }

    fn breaks(&mut self, number: usize, how: Broken, for_us: u64) {
        let now = self.now;
        let Some(machine) = self.workers.get_mut(number) else { return };
        let life = machine.life;
        let Some(process) = machine.process.as_mut() else { return };
        process.breaks(now, how);
        self.worker_acts(number);
        self.after(for_us, Event::Mends { worker: number, life });
    }

    fn cut(&mut self, node: usize, notice_us: u64) {
        for link in self.net.of(node) {
            self.net.cut(self.now, link);
            let (above, below) = (self.random.below(notice_us), self.random.below(notice_us));
            self.after(above, Event::SchedulerLost(link));
            self.after(below, Event::NodeLost(link, node));
        }
    }

    fn part(&mut self, node: usize, up: bool, down: bool, for_us: u64) {
        let until = self.now + for_us;
        if up {
            self.net.block(node, Way::Up, until);
        }
        if down {
            self.net.block(node, Way::Down, until);
        }
        self.idle_out(node, for_us, up, down);
    }

    /// A side that hears nothing for too long gives its link up.
    fn idle_out(&mut self, node: usize, for_us: u64, up: bool, down: bool) {
        if for_us < IDLE_US {
            return;
        }
        for link in self.net.of(node) {
            if up {
                self.after(IDLE_US, Event::SchedulerLost(link));
            }
            if down {
                self.after(IDLE_US, Event::NodeLost(link, node));
            }
        }
    }

    fn leave(&mut self, number: usize, patience_us: u64, away_us: u64) {
        let now = self.now;
        let Some(machine) = self.workers.get_mut(number) else { return };
        let Some(process) = machine.process.as_mut() else { return };
        machine.away_us = away_us;
        process.leave(now, patience_us);
        self.worker_acts(number);
    }

    /// Nothing goes wrong from here on; who was drained by hand is started anew.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.net.unblock();
        self.slow = (0, 0);
        self.full_until = 0;
        self.dies = None;
        self.relapse = None;
        let now = self.now;
        for number in 0..self.workers.len() {
            if let Some(process) = self.workers.get_mut(number).and_then(|one| one.process.as_mut())
            {
                process.mends(now);
            }
            self.worker_acts(number);
        }
        self.tell_scheduler(Heard::Full(false));
        for worker in std::mem::take(&mut self.drained) {
            self.leave(worker, 5 * SECOND, 10 * SECOND);
        }
    }
}
