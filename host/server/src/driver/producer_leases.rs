//! Who feeds the jobs whose inputs come from their submitters alone. Such a job is closed once
//! nobody has fed it for as long as the configuration says: nobody else would ever end it. What it
//! has is run, as after a Ctrl-C of the submitter.

use std::collections::{BTreeMap, BTreeSet};

use wasmgrid_core::Input;
use wasmgrid_proto::{JobId, JobStatus, Micros, wire::Reply};

use super::{Driver, LinkId, Observer};

/// See the module's text.
#[derive(Default)]
pub(super) struct ProducerLeases {
    /// The open questions of those who feed a job; never an empty set.
    present: BTreeMap<JobId, BTreeSet<(LinkId, u64)>>,
    /// When jobs that nobody feeds are closed.
    due: BTreeMap<JobId, Micros>,
}

impl<O: Observer> Driver<O> {
    /// After a start: whoever fed a job has time to come back.
    pub(super) fn await_producers(&mut self) {
        let at = self.state.now.after(self.settings.producer_grace);
        self.state.producer_leases.due = self.grid.attached_jobs().map(|job| (job, at)).collect();
    }

    /// A client says that it feeds a job; it is answered once the job takes no more.
    pub(super) fn attend(&mut self, link: LinkId, id: u64, job: JobId) {
        if !self.grid.is_attached(job) {
            return self.answer(link, id, Ok(Reply::Done));
        }
        self.state.producer_leases.due.remove(&job);
        self.state.producer_leases.present.entry(job).or_default().insert((link, id));
    }

    /// A job was made: its submitter says next that it feeds it.
    pub(super) fn await_producer(&mut self, job: &JobStatus) {
        let at = self.state.now.after(self.settings.producer_grace);
        let producers = &mut self.state.producer_leases;
        if self.grid.is_attached(job.job) && !producers.present.contains_key(&job.job) {
            producers.due.entry(job.job).or_insert(at);
        }
    }

    /// A client has gone.
    pub(super) fn producer_unlinked(&mut self, link: LinkId) {
        let at = self.state.now.after(self.settings.producer_grace);
        let ProducerLeases { present, due } = &mut self.state.producer_leases;
        present.retain(|job, producers| {
            producers.retain(|(of, _)| *of != link);
            if producers.is_empty() {
                due.insert(*job, at);
            }
            !producers.is_empty()
        });
    }

    /// A job changed, durably: where it takes no more, whoever fed it is told.
    pub(super) fn tell_producers(&mut self, job: JobId) {
        if self.grid.is_attached(job) {
            return;
        }
        self.state.producer_leases.due.remove(&job);
        for (link, id) in self.state.producer_leases.present.remove(&job).into_iter().flatten() {
            self.answer(link, id, Ok(Reply::Done));
        }
    }

    /// Links were not listened to for a while: who is gone cannot have come back meanwhile.
    pub(super) fn await_producers_anew(&mut self) {
        let at = self.state.now.after(self.settings.producer_grace);
        self.state.producer_leases.due.values_mut().for_each(|due| *due = at);
    }

    /// Closes the jobs that nobody has fed for too long.
    pub(super) fn close_unfed(&mut self) {
        let now = self.state.now;
        let due = self.state.producer_leases.due.extract_if(.., |_, at| *at <= now);
        for job in due.map(|(job, _)| job).collect::<Vec<_>>() {
            tracing::warn!(
                %job,
                "closed: its submitter disconnected {} ago while sending inputs; the inputs \
                 already received are run",
                self.settings.producer_grace
            );
            // Nobody waits for the answer.
            let request = self.own_request(None);
            self.grid.handle(now, Input::Close { request, job });
        }
    }

    /// When the next job is closed that nobody feeds.
    pub(super) fn next_unfed(&self) -> Option<Micros> {
        self.state.producer_leases.due.values().min().copied()
    }
}
