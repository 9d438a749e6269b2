//! Watches: readers of one job's result log over a client's link. Each has a cursor and a credit
//! of bytes, and is sent only what is durable. One that has no credit, or waits for a read, holds
//! up no other.

use wasmgrid_core::JobLogs;
use wasmgrid_proto::{
    Dropped, JobId, JobState, JobStatus, LogRef, Micros, Millis, Reason,
    frame::Envelope,
    wire::{ApiError, ResultsFrame, ToClient, Update, WatchEnded, WatchRequest},
};

use super::{
    Driver, Effect, LinkId, Observer, Waiter, cache::Cached, clients::Client, planted::DriverBug,
    sizes::job_bytes, workers::join,
};
use crate::members::member_key;

/// How often at most a watch is told how its job stands: faster than people read.
const UPDATE_EVERY: Millis = Millis(200);

/// Watches of one link.
const WATCHES_MAX: usize = 1_024;

/// Bytes of one frame of results, unless a single segment has more: small segments travel
/// together, large ones alone, in as many frames as they take.
const FRAME_BYTES: usize = 128 << 10;

/// One watch.
pub(super) struct Watch {
    job: JobId,
    cursor: u64,
    credit_bytes: u64,
    /// A segment is being read for it.
    loading: bool,
    /// How many results it passes over: none, but for a planted bug.
    skips: u64,
    /// When it may be told again how its job stands.
    next_update: Micros,
}

/// How much of a job's result log is durable, where that is not all of it.
pub(super) struct Visible {
    /// The cursor behind the last durable result.
    end: u64,
    /// Segments behind it that are not.
    pending: u64,
}

/// What can be sent to a watch.
enum Next {
    Frame {
        envelope: Box<Envelope<ToClient>>,
        cursor: u64,
        cost: u64,
        /// What the results take beside their bytes.
        meta_bytes: usize,
    },
    Missing(LogRef),
    /// What it would be sent was dropped.
    Gone(ApiError),
    /// All that is durable was sent.
    Nothing,
}

impl<O: Observer> Driver<O> {
    /// Starts a watch.
    pub(super) fn watch(
        &mut self,
        link: LinkId,
        job: JobId,
        request: WatchRequest,
    ) -> Result<(), ApiError> {
        // A client that has gone needs no watch.
        let Some(client) = self.state.clients.get(&link) else { return Ok(()) };
        if client.watches.len() >= WATCHES_MAX || client.watches.contains_key(&request.watch) {
            let (watch, allowed) = (request.watch, WATCHES_MAX as u64);
            return Err(Reason::TooManyWatches { watch, allowed }.into());
        }
        let WatchRequest { watch, cursor, credit_bytes } = request;
        if let Some(error) = gone(job, self.grid.logs(job), cursor) {
            return Err(error);
        }
        let skips = u64::from(cursor > 0 && self.settings.breaks(DriverBug::CursorOffByOne));
        let (loading, next_update) = (false, Micros(0));
        let state = Watch { job, cursor, credit_bytes, loading, skips, next_update };
        if let Some(client) = self.state.clients.get_mut(&link) {
            client.watches.insert(watch, state);
        }
        self.state.watchers.entry(job).or_default().insert((link, watch));
        self.state.touched.insert(link);
        Ok(())
    }

    pub(super) fn watch_credit(&mut self, link: LinkId, watch: u64, bytes: u64) {
        let client = self.state.clients.get_mut(&link);
        // The watch may have ended while the credit was under way.
        if let Some(watch) = client.and_then(|client| client.watches.get_mut(&watch)) {
            watch.credit_bytes = watch.credit_bytes.saturating_add(bytes);
            self.state.touched.insert(link);
        }
    }

    pub(super) fn unwatch(&mut self, link: LinkId, watch: u64) {
        let client = self.state.clients.get_mut(&link);
        if let Some(ended) = client.and_then(|client| client.watches.remove(&watch)) {
            self.forget_watch(link, watch, &ended);
        }
    }

    pub(super) fn client_unlinked(&mut self, link: LinkId, client: &Client) {
        for (watch, state) in &client.watches {
            self.forget_watch(link, *watch, state);
        }
        self.producer_unlinked(link);
        if client.peer.key.is_some() {
            self.state.seen.insert(member_key(&client.peer.identity), self.state.date);
        }
    }

    fn forget_watch(&mut self, link: LinkId, watch: u64, state: &Watch) {
        self.state.due.remove(&(state.next_update, link, watch));
        if let Some(watchers) = self.state.watchers.get_mut(&state.job) {
            watchers.remove(&(link, watch));
            if watchers.is_empty() {
                self.state.watchers.remove(&state.job);
            }
        }
    }

    pub(super) fn watch_loaded(&mut self, link: LinkId, watch: u64) {
        let client = self.state.clients.get_mut(&link);
        if let Some(watch) = client.and_then(|client| client.watches.get_mut(&watch)) {
            watch.loading = false;
        }
    }

    /// Results from `first` on are given to the journal and not durable yet.
    pub(super) fn results_pending(&mut self, job: JobId, first: u64) {
        let pending = self.state.visible.entry(job).or_insert(Visible { end: first, pending: 0 });
        pending.pending += 1;
    }

    /// Results before `end` are durable.
    pub(super) fn results_visible(&mut self, job: JobId, end: u64) {
        let Some(visible) = self.state.visible.get_mut(&job) else { return };
        visible.end = end;
        visible.pending -= 1;
        if visible.pending == 0 {
            self.state.visible.remove(&job);
        }
    }

    /// A change of the job is durable: its watchers are told now, or when they may be again.
    pub(super) fn job_changed(&mut self, job: JobId) {
        if let Some(changes) = self.state.unsettled.get_mut(&job) {
            *changes -= 1;
            if *changes == 0 {
                self.state.unsettled.remove(&job);
            }
        }
        self.tell_producers(job);
        for (link, watch) in self.state.watchers.get(&job).into_iter().flatten() {
            self.state.touched.insert(*link);
            let client = self.state.clients.get(link);
            if let Some(state) = client.and_then(|client| client.watches.get(watch)) {
                self.state.due.insert((state.next_update, *link, *watch));
            }
        }
    }

    /// Tells the watches whose time has come how their jobs stand.
    pub(super) fn send_due_updates(&mut self) {
        let now = self.state.now;
        while let Some(next) = self.state.due.first().copied().filter(|(at, ..)| *at <= now) {
            self.state.due.remove(&next);
            let (_, link, watch) = next;
            let Some(job) = self.watch_mut(link, watch).map(|state| state.job) else { continue };
            let Some(status) = self.status(job) else { continue };
            let Some(client) = self.state.clients.get_mut(&link) else { continue };
            if let Some(state) = client.watches.get_mut(&watch) {
                state.next_update = now.after(UPDATE_EVERY);
            }
            // The end is told behind the last result; see `pump_watch`. A client without room
            // learns how the job stands with the next change.
            if !status.state.is_terminal() && client.outbox.has_room() {
                let bytes = job_bytes(&status);
                let update = ToClient::Update(Update { watch, status });
                if let Ok(queued) = client.outbox.push_weighing(update, bytes) {
                    self.effects.push(Effect::ToClient(link, queued));
                }
            }
        }
    }

    /// Sends a client what can be sent: results of its watches, then inputs that it asked for.
    pub(super) fn pump_client(&mut self, link: LinkId) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let watches: Vec<u64> = client.watches.keys().copied().collect();
        for watch in watches {
            self.pump_watch(link, watch);
        }
        self.pump_inputs(link);
    }

    fn pump_watch(&mut self, link: LinkId, watch: u64) {
        loop {
            let Some(client) = self.state.clients.get_mut(&link) else { return };
            let Some(state) = client.watches.get_mut(&watch) else { return };
            if state.loading || !client.outbox.has_room() {
                return;
            }
            let (job, cursor, credit_bytes) = (state.job, state.cursor, state.credit_bytes);
            let skips = state.skips;
            match self.next(watch, job, (cursor, skips), credit_bytes) {
                Next::Missing(place) => {
                    if let Some(state) = self.watch_mut(link, watch) {
                        state.loading = true;
                        self.load(place, Waiter::Watch(link, watch));
                    }
                    return;
                }
                Next::Frame { envelope, cursor, cost, meta_bytes } => {
                    let Some(client) = self.state.clients.get_mut(&link) else { return };
                    let queued = client.outbox.push_weighing(*envelope, meta_bytes);
                    if let Some(state) = client.watches.get_mut(&watch) {
                        state.cursor = cursor;
                        state.credit_bytes = state.credit_bytes.saturating_sub(cost);
                    }
                    match queued {
                        Ok(queued) => self.effects.push(Effect::ToClient(link, queued)),
                        Err(_) => return self.close(link, "it does not read its results"),
                    }
                }
                Next::Gone(error) => return self.break_watch(link, (watch, cursor), error),
                Next::Nothing => return self.end_watch(link, watch, job, cursor),
            }
        }
    }

    /// The next frame for a watch.
    fn next(
        &mut self,
        watch: u64,
        job: JobId,
        (from, skips): (u64, u64),
        credit_bytes: u64,
    ) -> Next {
        if let Some(error) = gone(job, self.grid.logs(job), from) {
            return Next::Gone(error);
        }
        let visible = self.visible(job);
        let (mut blocks, mut pieces, mut bytes, mut cursor) = (Vec::new(), Vec::new(), 0, from);
        let skips = if from + skips < visible { skips } else { 0 };
        cursor += skips;
        let mut meta_bytes = 0;
        while cursor < visible && bytes < FRAME_BYTES && credit_bytes > bytes as u64 {
            let place = LogRef::result(job, cursor);
            let Some(Cached::Results(results)) = self.cache.find(place) else {
                if blocks.is_empty() {
                    return Next::Missing(place);
                }
                break;
            };
            let size = results.meta_bytes + results.payload.len();
            if !blocks.is_empty() && bytes + size > FRAME_BYTES {
                break;
            }
            let (block, payload) = results.cut(cursor, visible);
            cursor += block.results.len() as u64;
            bytes += size;
            meta_bytes += results.meta_bytes;
            blocks.push(block);
            pieces.push(payload);
        }
        if blocks.is_empty() {
            return Next::Nothing;
        }
        let frame = ResultsFrame { watch, first_cursor: from, blocks };
        let cost = frame.credit_bytes();
        let envelope = Envelope { message: ToClient::Results(frame), payload: join(pieces) };
        let cursor = cursor - skips;
        Next::Frame { envelope: Box::new(envelope), cursor, cost, meta_bytes }
    }

    /// Ends a watch whose next result is not there any more.
    fn break_watch(&mut self, link: LinkId, (watch, cursor): (u64, u64), error: ApiError) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let ended = ToClient::WatchEnded(WatchEnded { watch, cursor, error });
        let queued = client.outbox.push(ended);
        self.unwatch(link, watch);
        match queued {
            Ok(queued) => self.effects.push(Effect::ToClient(link, queued)),
            Err(_) => self.close(link, "it does not read its results"),
        }
    }

    /// Ends a watch whose job has ended and whose last result was sent.
    fn end_watch(&mut self, link: LinkId, watch: u64, job: JobId, cursor: u64) {
        let results = self.visible(job);
        let ended = self.grid.state(job).is_some_and(JobState::is_terminal);
        if !ended || self.state.unsettled.contains_key(&job) || cursor < results {
            return;
        }
        let Some(status) = self.status(job) else { return };
        let Some(client) = self.state.clients.get(&link) else { return };
        let bytes = job_bytes(&status);
        let update = ToClient::Update(Update { watch, status });
        let queued = client.outbox.push_weighing(update, bytes);
        self.unwatch(link, watch);
        match queued {
            Ok(queued) => self.effects.push(Effect::ToClient(link, queued)),
            Err(_) => self.close(link, "it does not read its results"),
        }
    }

    /// How the job stands, as far as that is durable.
    pub(super) fn status(&self, job: JobId) -> Option<JobStatus> {
        self.grid.job(job).map(|status| self.settled(status))
    }

    /// What of `status` is durable: an end that is not is not told. Counts may run ahead; they
    /// are for people.
    pub(super) fn settled(&self, mut status: JobStatus) -> JobStatus {
        if self.state.unsettled.contains_key(&status.job) {
            status.state = JobState::Active;
            status.ended_at = None;
        }
        if let Some(visible) = self.state.visible.get(&status.job) {
            status.results = status.results.min(visible.end);
        }
        status
    }

    fn visible(&self, job: JobId) -> u64 {
        self.state
            .visible
            .get(&job)
            .map(|visible| visible.end)
            .or_else(|| self.grid.logs(job).map(|logs| logs.results))
            .unwrap_or(0)
    }

    fn watch_mut(&mut self, link: LinkId, watch: u64) -> Option<&mut Watch> {
        self.state.clients.get_mut(&link)?.watches.get_mut(&watch)
    }
}

/// Why the result at `cursor` of a job is not there any more, if so.
fn gone(job: JobId, logs: Option<JobLogs>, cursor: u64) -> Option<ApiError> {
    let Some(JobLogs { results, dropped, .. }) = logs else {
        return Some(Reason::JobDeleted { job }.into());
    };
    let Dropped { before, why, .. } = dropped.filter(|dropped| cursor < dropped.before)?;
    let last = before.saturating_sub(1);
    let gone = if before < results {
        Reason::ResultsSkipped { job, cursor, last, why, next: before }
    } else {
        Reason::ResultsDeleted { job, cursor, last, why }
    };
    Some(gone.into())
}
