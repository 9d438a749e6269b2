//! What the core says becomes effects, as in `host/server/src/driver/outputs.rs`.

use wasmgrid_core::{Grant, LostTask, Output, RequestId, SegmentToken};
use wasmgrid_proto::{
    JobId, LeaseId, OutcomeClass, Record, WorkerId,
    wire::{ApiError, Reply},
};
use wasmgrid_store::{LogKind, Segment};

use super::{COMMITTED_AFTER, COMMITTED_MAX, Effect, Failed, Pending, Promise, Scheduler, Waiting};
use crate::{
    book::{Book, hold},
    disk::{Disk, Item, encode},
    gate::Gated,
    message::{Answer, Down, Lease, Shown, Summary},
    net::LinkId,
    plan::Falsehood,
};

impl Scheduler {
    pub(super) fn take_outputs(&mut self, book: &mut Book) -> Result<(), Failed> {
        while let Some(output) = self.grid.poll_output() {
            let records = book.journal.len();
            match output {
                Output::Persist(record) => {
                    let item = self.record(&record, book)?;
                    self.gate.persist(item);
                }
                Output::PersistInputs { request, record } => {
                    self.persist_inputs(request, &record, book)?;
                }
                Output::PersistResults { token, block, keep, record } => {
                    self.persist_results((token, block), keep, &record, book)?;
                }
                Output::PersistLost { lost, record } => {
                    let class = OutcomeClass::Lost;
                    let shown = |task: LostTask| Shown { index: task.index, class, output: 0 };
                    self.store_results(lost.into_iter().map(shown).collect(), &record, book)?;
                }
                // The model's results have neither texts nor grants.
                Output::Explain { .. } | Output::Late { .. } | Output::Failing { .. } => {}
                Output::Reply { request, reply } => {
                    self.gate.hold(Gated::Reply(request, reply), records);
                }
                Output::Joined { link, worker } => {
                    self.joined = true;
                    self.worker_known(link, worker);
                    self.gate.hold(Gated::Joined(link), records);
                }
                Output::Contest { worker, rival, .. } => {
                    if let Some(waiting) = self.workers.get_mut(&rival) {
                        waiting.contests = true;
                    }
                    if let Some(link) = self.by_worker.get(&worker).copied() {
                        self.say(link, Down::Contested { rival });
                    }
                }
                Output::Refuse { link, .. } => {
                    self.workers.remove(&link);
                    self.effects.push(Effect::Close(link));
                }
                Output::Acknowledge { worker, batch } => {
                    self.gate.hold(Gated::Acknowledge(worker, batch), records);
                }
                Output::JobChanged { job } => {
                    *self.unsettled.entry(job).or_default() += 1;
                    self.gate.hold(Gated::JobChanged(job), records);
                }
                Output::Release { token } => _ = self.held.remove(&token),
                Output::Assign { worker, job, grants } => {
                    self.given.insert(job);
                    self.assign(worker, job, grants, book)?;
                }
                Output::Cancel { worker, job, .. } => self.tell(worker, Down::Cancel { job }),
                Output::Revoke { worker, job, lease, tasks } => {
                    self.tell(worker, Down::Revoke { job, lease, tasks });
                }
                Output::Overrun { worker, job, lease, .. } => {
                    self.check_overrun(worker, job, lease)?;
                    self.tell(worker, Down::Overrun { job, lease });
                }
                Output::Drain { worker } => self.tell(worker, Down::Drain),
                Output::Disconnect { worker, .. } => {
                    if let Some(link) = self.by_worker.get(&worker).copied() {
                        self.end_link(link, true);
                    }
                }
            }
        }
        Ok(())
    }

    fn assign(
        &mut self,
        worker: WorkerId,
        job: JobId,
        grants: Vec<Grant>,
        book: &mut Book,
    ) -> Result<(), Failed> {
        book.granted(job, worker, &grants, &self.grid.workers())?;
        let indices = grants.iter().flat_map(|grant| grant.tasks.first..grant.tasks.end());
        let link = self.by_worker.get(&worker).copied().unwrap_or_default();
        let suspects = indices.filter(|index| book.is_suspect(job, *index));
        self.alone.extend(suspects.map(|index| (worker, link, job, index)));
        self.queue(worker, Waiting::Assign(job, grants));
        Ok(())
    }

    /// Only a worker that ends nothing loses a lease for its time.
    fn check_overrun(&self, worker: WorkerId, job: JobId, lease: LeaseId) -> Result<(), Failed> {
        let workers = self.grid.workers();
        let name = workers.iter().find(|status| status.worker == worker).map(|status| &status.name);
        let plan = self.plan.workers.iter().find(|plan| Some(&plan.name) == name);
        let hoards = plan.is_some_and(|plan| plan.falsehood == Some(Falsehood::Hoards));
        let rule = "a worker that runs what it is given loses no lease for its time";
        hold(hoards, rule, || format!("lease {lease} of job {job} at {name:?}"))?;
        Ok(())
    }

    pub(super) fn release(&mut self, book: &mut Book) -> Result<(), Failed> {
        let early = self.bug == Some(super::DriverBug::AckBeforeSync);
        while let Some((records, gated)) = self.gate.release(early) {
            book.promise(records);
            match gated {
                Gated::Reply(request, reply) => self.reply(request, *reply, book)?,
                Gated::Joined(link) => {
                    if let Some(peer) = self.workers.get_mut(&link) {
                        peer.open = true;
                        peer.waiting.push_front(Waiting::Message(Down::Joined));
                        self.touched.insert(link);
                    }
                }
                Gated::Acknowledge(worker, batch) => self.acknowledge(worker, batch),
                Gated::JobChanged(job) => self.job_changed(job),
                Gated::Visible(job, end) => self.results_visible(job, end),
            }
        }
        Ok(())
    }

    fn reply(
        &mut self,
        request: RequestId,
        reply: Result<Reply, ApiError>,
        book: &mut Book,
    ) -> Result<(), Failed> {
        let Some(pending) = self.requests.remove(&request) else { return Ok(()) };
        let Pending { link, id, watch, promise, .. } = pending;
        let answer = match reply {
            Err(error) => Err(error.code),
            Ok(Reply::Job(status)) => {
                if let Some(from) = watch {
                    self.watch(link, status.job, from);
                }
                let status = self.settled(status);
                let (job, state, results) = (status.job, status.state, status.results);
                Ok(Answer::Job(Summary { job, state, results }))
            }
            Ok(Reply::Appended { first }) => Ok(Answer::Appended(first)),
            Ok(_) => Ok(Answer::Done),
        };
        match (answer, promise) {
            (Ok(Answer::Job(status)), Promise::Submitted { key, inputs, closed }) => {
                book.submitted(key, status.job, inputs, closed)?;
            }
            (Ok(Answer::Job(status)), Promise::Retried { key }) => {
                book.submitted(key, status.job, 0, true)?;
            }
            (Ok(Answer::Appended(first)), Promise::Extended { job, by, count }) => {
                book.extended(job, by, first)?;
                book.appended(job, first + count);
            }
            (Ok(_), Promise::Appended { job, end }) => book.appended(job, end),
            (Ok(_), Promise::Closed(job)) => book.closed(job),
            (Ok(_), Promise::Cancelled(job)) => book.cancelled(job),
            _ => {}
        }
        if self.clients.contains_key(&link) {
            self.say(link, Down::Reply { id, reply: answer });
        }
        Ok(())
    }

    fn worker_known(&mut self, link: LinkId, id: WorkerId) {
        let Some(peer) = self.workers.get_mut(&link) else { return };
        peer.id = Some(id);
        if let Some(old) = self.by_worker.insert(id, link)
            && old != link
        {
            self.end_link(old, true);
        }
    }

    fn tell(&mut self, worker: WorkerId, message: Down) {
        self.queue(worker, Waiting::Message(message));
    }

    fn acknowledge(&mut self, worker: WorkerId, batch: u64) {
        let Some(link) = self.by_worker.get(&worker).copied() else { return };
        let Some(peer) = self.workers.get_mut(&link) else { return };
        peer.committed.push(batch);
        if peer.leaving || peer.committed.len() >= COMMITTED_MAX {
            self.touched.insert(link);
        } else {
            self.acknowledge_at.get_or_insert(self.now.after(COMMITTED_AFTER));
        }
    }

    pub(super) fn acknowledge_all(&mut self) {
        self.acknowledge_at = None;
        let some = self.workers.iter().filter(|(_, peer)| !peer.committed.is_empty());
        self.touched.extend(some.map(|(link, _)| *link));
    }

    fn queue(&mut self, worker: WorkerId, waiting: Waiting) {
        let Some(link) = self.by_worker.get(&worker).copied() else { return };
        if let Some(peer) = self.workers.get_mut(&link) {
            peer.waiting.push_back(waiting);
            self.touched.insert(link);
        }
    }

    /// Says to every link that was touched what can be said.
    pub(super) fn pump(&mut self, disk: &Disk, book: &mut Book) -> Result<(), Failed> {
        for link in std::mem::take(&mut self.touched) {
            self.pump_worker(link, disk)?;
            self.pump_client(link, disk, book)?;
        }
        Ok(())
    }

    fn pump_worker(&mut self, link: LinkId, disk: &Disk) -> Result<(), Failed> {
        if let Some(peer) = self.workers.get_mut(&link)
            && !peer.committed.is_empty()
        {
            let batches = std::mem::take(&mut peer.committed);
            peer.waiting.push_back(Waiting::Message(Down::Committed { batches }));
        }
        loop {
            let Some(peer) = self.workers.get_mut(&link).filter(|peer| peer.open) else {
                return Ok(());
            };
            let message = match peer.waiting.pop_front() {
                None => return Ok(()),
                Some(Waiting::Message(message)) => message,
                Some(Waiting::Assign(job, grants)) => {
                    let leases = self.leases(job, &grants, disk)?;
                    let spec = self.grid.task_spec(job);
                    let tenant = spec.map(|spec| spec.tenant.clone()).unwrap_or_default();
                    Down::Assign { job, tenant, leases }
                }
            };
            self.say(link, message);
        }
    }

    fn leases(&self, job: JobId, grants: &[Grant], disk: &Disk) -> Result<Vec<Lease>, Failed> {
        let mut leases = Vec::new();
        for grant in grants {
            let mut first = grant.tasks.first;
            while first < grant.tasks.end() {
                let mut inputs = self.inputs_at(job, first, disk)?;
                let most = usize::try_from(grant.tasks.end() - first).unwrap_or(usize::MAX);
                inputs.truncate(most);
                if inputs.is_empty() {
                    let damage = format!("input {first} of job {job} is not there");
                    return Err(crate::disk::Damage(damage).into());
                }
                let count = inputs.len() as u64;
                let (lease, attempt) = (grant.lease, grant.attempt);
                leases.push(Lease { lease, attempt, first, inputs, proof: grant.proof });
                first += count;
            }
        }
        Ok(leases)
    }

    fn inputs_at(&self, job: JobId, position: u64, disk: &Disk) -> Result<Vec<u64>, Failed> {
        let job = self.grid.source(job);
        let segments = self.inputs.get(&job);
        let cached = segments.and_then(|segments| segments.range(..=position).next_back());
        if let Some((first, inputs)) = cached {
            let skip = usize::try_from(position - first).unwrap_or(usize::MAX);
            if let Some(rest) = inputs.get(skip..).filter(|rest| !rest.is_empty()) {
                return Ok(rest.to_vec());
            }
        }
        Ok(disk.read(job, LogKind::Input, position)?)
    }

    fn persist_inputs(
        &mut self,
        request: RequestId,
        record: &Record,
        book: &mut Book,
    ) -> Result<(), Failed> {
        let Record::InputsAppended { job, tasks } = record else { return Ok(()) };
        let inputs = self.requests.get(&request).map(|pending| pending.inputs.as_slice());
        let inputs: Vec<u64> = inputs.unwrap_or_default().iter().map(|task| task.0).collect();
        let (log, first, count) = (LogKind::Input, tasks.first, inputs.len() as u64);
        let (head, data) = (bytes::Bytes::new(), encode(&inputs)?);
        let segment = Segment { job: *job, log, first, count, head, data };
        self.gate.persist(Item::Segment(segment));
        book.inputs(*job, first, &inputs);
        self.inputs.entry(*job).or_default().insert(first, inputs);
        let item = self.record(record, book)?;
        self.gate.persist(item);
        Ok(())
    }

    fn persist_results(
        &mut self,
        (token, block): (SegmentToken, usize),
        keep: Option<Vec<u32>>,
        record: &Record,
        book: &mut Book,
    ) -> Result<(), Failed> {
        let block = self.held.get(&token).and_then(|blocks| blocks.get(block));
        let Some(block) = block else {
            let damage = format!("the results of {record:?} are not there");
            return Err(crate::disk::Damage(damage).into());
        };
        book.committing(block, record)?;
        let kept: Vec<Shown> = match keep {
            None => block.results.clone(),
            Some(keep) => keep
                .iter()
                .filter_map(|position| block.results.get(*position as usize).copied())
                .collect(),
        };
        self.store_results(kept, record, book)
    }

    fn store_results(
        &mut self,
        kept: Vec<Shown>,
        record: &Record,
        book: &mut Book,
    ) -> Result<(), Failed> {
        let Record::Committed { job, first_cursor, .. } = record else { return Ok(()) };
        let (log, first, count) = (LogKind::Result, *first_cursor, kept.len() as u64);
        let (head, data) = (bytes::Bytes::new(), encode(&kept)?);
        let segment = Segment { job: *job, log, first, count, head, data };
        self.gate.persist(Item::Segment(segment));
        self.results.entry(*job).or_default().insert(first, kept);
        let item = self.record(record, book)?;
        self.gate.persist(item);
        self.results_pending(*job, first);
        self.gate.hold(Gated::Visible(*job, first + count), book.journal.len());
        Ok(())
    }
}
