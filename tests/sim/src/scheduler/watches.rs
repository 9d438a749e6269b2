//! Readers of result logs, as in `host/server/src/driver/watches.rs`: each is sent what is
//! durable, from its cursor on, as far as its credit goes.

use wasmgrid_proto::{JobId, JobState, JobStatus};
use wasmgrid_store::LogKind;

use super::{DriverBug, Failed, Scheduler};
use crate::{
    book::Book,
    disk::Disk,
    message::{Down, Shown, Summary, WatchFrom},
    net::LinkId,
};

/// Results of one frame.
const FRAME_RESULTS: usize = 8;

/// One watch.
#[derive(Debug)]
pub struct Watch {
    job: JobId,
    cursor: u64,
    credit: u64,
    /// The planted bug: how many results it passes over.
    skips: u64,
}

/// How much of a job's result log is durable, where that is not all of it.
#[derive(Debug)]
pub struct Visible {
    end: u64,
    pending: u64,
}

impl Scheduler {
    pub(super) fn watch(&mut self, link: LinkId, job: JobId, from: WatchFrom) {
        let goes_on = from.cursor > 0 && self.bug == Some(DriverBug::CursorOffByOne);
        let Some(reading) = self.clients.get_mut(&link) else { return };
        let (cursor, credit) = (from.cursor, from.credit);
        let watch = Watch { job, cursor, credit, skips: u64::from(goes_on) };
        reading.watches.insert(from.watch, watch);
        self.touched.insert(link);
    }

    pub(super) fn credit(&mut self, link: LinkId, watch: u64, results: u64) {
        let reading = self.clients.get_mut(&link);
        if let Some(watch) = reading.and_then(|reading| reading.watches.get_mut(&watch)) {
            watch.credit += results;
            self.touched.insert(link);
        }
    }

    pub(super) fn results_pending(&mut self, job: JobId, first: u64) {
        let visible = self.visible.entry(job).or_insert(Visible { end: first, pending: 0 });
        visible.pending += 1;
    }

    pub(super) fn results_visible(&mut self, job: JobId, end: u64) {
        let Some(visible) = self.visible.get_mut(&job) else { return };
        visible.end = end;
        visible.pending -= 1;
        if visible.pending == 0 {
            self.visible.remove(&job);
        }
    }

    pub(super) fn job_changed(&mut self, job: JobId) {
        if let Some(changes) = self.unsettled.get_mut(&job) {
            *changes -= 1;
            if *changes == 0 {
                self.unsettled.remove(&job);
            }
        }
        for (link, reading) in &self.clients {
            if reading.watches.values().any(|watch| watch.job == job) {
                self.touched.insert(*link);
            }
        }
    }

    pub(super) fn settled(&self, mut status: JobStatus) -> JobStatus {
        if self.unsettled.contains_key(&status.job) {
            status.state = JobState::Active;
        }
        if let Some(visible) = self.visible.get(&status.job) {
            status.results = status.results.min(visible.end);
        }
        status
    }

    /// How a job stands, as far as that is durable.
    pub(super) fn summary(&self, job: JobId) -> Option<Summary> {
        let status = self.settled(self.grid.job(job)?);
        Some(Summary { job, state: status.state, results: status.results })
    }

    pub(super) fn pump_client(
        &mut self,
        link: LinkId,
        disk: &Disk,
        book: &mut Book,
    ) -> Result<(), Failed> {
        let Some(reading) = self.clients.get(&link) else { return Ok(()) };
        let watches: Vec<u64> = reading.watches.keys().copied().collect();
        for watch in watches {
            while self.pump_watch(link, watch, disk, book)? {}
        }
        Ok(())
    }

    /// Sends one frame, or the end; true where there may be more.
    fn pump_watch(
        &mut self,
        link: LinkId,
        watch: u64,
        disk: &Disk,
        book: &mut Book,
    ) -> Result<bool, Failed> {
        let reading = self.clients.get(&link);
        let state = reading.and_then(|reading| reading.watches.get(&watch));
        let Some(&Watch { job, cursor, credit, skips }) = state else { return Ok(false) };
        let Some(status) = self.summary(job) else { return Ok(false) };
        let end = self.visible.get(&job).map_or_else(|| book.results(job), |visible| visible.end);
        let skips = if cursor + skips < end { skips } else { 0 };
        if cursor < end && credit > 0 {
            let mut results = self.results_at(job, cursor + skips, disk)?;
            let most = usize::try_from(end - cursor).unwrap_or(usize::MAX).min(FRAME_RESULTS);
            results.truncate(most);
            if results.is_empty() {
                let damage = format!("result {cursor} of job {job} is not there");
                return Err(crate::disk::Damage(damage).into());
            }
            let count = results.len() as u64;
            book.shown(job, cursor, &results)?;
            let state = self.clients.get_mut(&link).and_then(|to| to.watches.get_mut(&watch));
            if let Some(state) = state {
                state.cursor += count;
                state.credit = state.credit.saturating_sub(count);
            }
            self.say(link, Down::Results { watch, first_cursor: cursor, results });
            return Ok(true);
        }
        if status.state.is_terminal() && cursor >= status.results {
            book.told_end(status)?;
            self.say(link, Down::Ended { watch, end: status });
            if let Some(reading) = self.clients.get_mut(&link) {
                reading.watches.remove(&watch);
            }
        }
        Ok(false)
    }

    fn results_at(&self, job: JobId, position: u64, disk: &Disk) -> Result<Vec<Shown>, Failed> {
        let segments = self.results.get(&job);
        let cached = segments.and_then(|segments| segments.range(..=position).next_back());
        if let Some((first, results)) = cached {
            let skip = usize::try_from(position - first).unwrap_or(usize::MAX);
            if let Some(rest) = results.get(skip..).filter(|rest| !rest.is_empty()) {
                return Ok(rest.to_vec());
            }
        }
        Ok(disk.read(job, LogKind::Result, position)?)
    }
}
