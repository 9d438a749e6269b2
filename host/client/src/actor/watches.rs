//! The streams that are being fed: each one's place in its job's result log, and its credit.

use std::collections::BTreeMap;

use wasmgrid_proto::{
    JobId,
    wire::{Credit, FromClient, Request, Unwatch, Update, WatchEnded, WatchRequest},
};

use crate::{
    ClientError,
    stream::{Frame, Sink},
};

/// Credit goes back once this part of the window was read: often enough that the sender seldom
/// waits, seldom enough that it costs nothing.
const GIVE_BACK_PART: u64 = 4;

/// All watches of a client, by its own numbers of them.
#[derive(Default)]
pub struct Watches(BTreeMap<u64, Watch>);

struct Watch {
    /// `None` until the submit that began it is answered.
    job: Option<JobId>,
    sink: Sink,
    /// The position behind the last result that was passed on.
    cursor: u64,
    /// Frames that overtook others; they wait for those.
    early: BTreeMap<u64, Frame>,
    early_cost: u64,
    /// The costs of all frames passed on so far, and how much of that went back as credit.
    passed: u64,
    returned: u64,
    /// The log's end, once the job has ended.
    end: Option<u64>,
    /// Why nothing more comes behind a position.
    broken: Option<(u64, ClientError)>,
}

impl Watches {
    pub fn begin(&mut self, watch: u64, job: Option<JobId>, sink: Sink) {
        let cursor = sink.cursor;
        let state = Watch {
            job,
            sink,
            cursor,
            early: BTreeMap::new(),
            early_cost: 0,
            passed: 0,
            returned: 0,
            end: None,
            broken: None,
        };
        self.0.insert(watch, state);
    }

    /// The watch's job is known now. False where the watch is over already.
    pub fn name(&mut self, watch: u64, job: JobId) -> bool {
        let Some(state) = self.0.get_mut(&watch) else { return false };
        state.job = Some(job);
        true
    }

    /// What to ask for on this link: from where, and how much.
    pub fn request(&self, watch: u64) -> Option<WatchRequest> {
        let state = self.0.get(&watch)?;
        let unread = state.passed.saturating_sub(state.returned);
        let credit_bytes = state.sink.window.saturating_sub(unread);
        Some(WatchRequest { watch, cursor: state.cursor, credit_bytes })
    }

    /// Takes results. False where the watch is over, and the scheduler should know.
    pub fn results(&mut self, watch: u64, frame: Frame) -> bool {
        let Some(state) = self.0.get_mut(&watch) else { return true };
        if state.sink.is_closed() {
            self.0.remove(&watch);
            return false;
        }
        if let Err(error) = state.take(frame) {
            self.fail(watch, &error);
            return false;
        }
        if state.is_complete() {
            self.0.remove(&watch);
        }
        self.break_off(watch);
        true
    }

    /// Nothing more is sent for a watch; what was may have been overtaken by this.
    pub fn ended(&mut self, ended: WatchEnded) {
        let WatchEnded { watch, cursor, error } = ended;
        if let Some(state) = self.0.get_mut(&watch) {
            state.broken = Some((cursor, ClientError::Api(error)));
            self.break_off(watch);
        }
    }

    /// Ends a watch that nothing more comes for, once all is there that was sent.
    fn break_off(&mut self, watch: u64) {
        let Some(state) = self.0.get_mut(&watch) else { return };
        let cursor = state.cursor;
        if let Some((_, error)) = state.broken.take_if(|(sent, _)| *sent <= cursor) {
            self.fail(watch, &error);
        }
    }

    pub fn update(&mut self, update: Update) {
        let Update { watch, status } = update;
        let Some(state) = self.0.get_mut(&watch) else { return };
        if status.state.is_terminal() {
            state.end = Some(status.results);
        }
        state.sink.tell(status);
        if state.is_complete() {
            self.0.remove(&watch);
        }
    }

    /// Ends a watch with an error.
    pub fn fail(&mut self, watch: u64, error: &ClientError) {
        if let Some(state) = self.0.remove(&watch) {
            state.sink.fail(error.clone());
        }
    }

    pub fn fail_all(self, error: &ClientError) {
        for state in self.0.into_values() {
            state.sink.fail(error.clone());
        }
    }

    /// For a new link: forgets what only the old one knew, and whom nobody reads any more.
    pub fn restart(&mut self) {
        self.0.retain(|_, state| !state.sink.is_closed());
        for state in self.0.values_mut() {
            state.early.clear();
            state.early_cost = 0;
            // The new link's scheduler says so itself.
            state.broken = None;
            state.returned = state.sink.consumed();
        }
    }

    /// The watches that go on with a question of their own, and that question.
    pub fn resumable(&self, waiting: &[u64]) -> Vec<(u64, Request)> {
        let nothing = WatchRequest { watch: 0, cursor: 0, credit_bytes: 0 };
        self.0
            .iter()
            .filter(|(watch, _)| !waiting.contains(watch))
            .filter_map(|(watch, state)| {
                Some((*watch, Request::Watch { job: state.job?, watch: nothing }))
            })
            .collect()
    }

    /// What to tell the scheduler now that readers have read or gone.
    pub fn readers_moved(&mut self) -> Vec<FromClient> {
        let mut messages = Vec::new();
        self.0.retain(|&watch, state| {
            if state.sink.is_closed() {
                messages.push(FromClient::Unwatch(Unwatch { watch }));
                return false;
            }
            let bytes = state.sink.consumed().saturating_sub(state.returned);
            if bytes > 0 && bytes >= state.sink.window / GIVE_BACK_PART {
                state.returned += bytes;
                messages.push(FromClient::Credit(Credit { watch, bytes }));
            }
            true
        });
        messages
    }
}

impl Watch {
    /// Passes a frame on, or keeps it until those before it have come.
    fn take(&mut self, mut frame: Frame) -> Result<(), ClientError> {
        frame.check()?;
        frame.settle(self.sink.room.as_deref())?;
        let unread = self.passed.saturating_sub(self.sink.consumed());
        if unread + self.early_cost + frame.cost > self.sink.held_max() {
            return Err(ClientError::Protocol("it sent more results than it had credit for"));
        }
        if frame.first_cursor > self.cursor {
            self.early_cost += frame.cost;
            if let Some(twice) = self.early.insert(frame.first_cursor, frame) {
                self.early_cost -= twice.cost;
            }
            return Ok(());
        }
        frame.skip_to(self.cursor);
        self.pass(frame)?;
        while let Some(mut next) = self.next_early() {
            next.skip_to(self.cursor);
            self.pass(next)?;
        }
        Ok(())
    }

    /// The first early frame, if nothing is missing before it.
    fn next_early(&mut self) -> Option<Frame> {
        let first = self.early.first_entry().filter(|first| *first.key() <= self.cursor)?;
        let frame = first.remove();
        self.early_cost -= frame.cost;
        Some(frame)
    }

    fn pass(&mut self, frame: Frame) -> Result<(), ClientError> {
        self.passed += frame.cost;
        if frame.is_empty() {
            self.sink.give_back(frame.cost);
            return Ok(());
        }
        self.cursor = self.cursor.max(frame.end());
        if self.sink.pass(frame) {
            Ok(())
        } else {
            Err(ClientError::Protocol("it sent more frames of results than it had credit for"))
        }
    }

    fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| end <= self.cursor)
    }
}
