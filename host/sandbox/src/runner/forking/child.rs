//! The process of one task, as the runner that forked it sees it.

use std::{
    io::{self, PipeReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, WaitOptions};
use wasmgrid_proto::{
    Limit, Limits, Outcome, ResultMeta, Usage,
    frame::{self, FRAME_MAX},
};

use crate::{
    run::{CANCEL_GRACE_US, Control, board::Shown},
    runner::{message::FromRunner, result::unrun, socket::frame_len},
    time::now_us,
};

/// From a task's deadline to the end of its process. The child ends its task by itself; this is
/// for what it cannot interrupt, and earlier than the agent would kill this runner for it.
const OVERDUE_US: u64 = 25_000;

/// See the module.
pub(super) struct Child {
    pid: Pid,
    index: u64,
    started_us: u64,
    limits: Limits,
    pipe: PipeReader,
    told: BytesMut,
}

/// A child that was killed, or has told its result and is killed for it; to be waited for.
pub(super) struct Killed(Pid);

impl Child {
    pub(super) fn new(
        pid: Pid,
        index: u64,
        started_us: u64,
        limits: Limits,
        pipe: PipeReader,
    ) -> Self {
        Self { pid, index, started_us, limits, pipe, told: BytesMut::new() }
    }

    /// Where it tells its result.
    pub(super) fn pipe(&self) -> &PipeReader {
        &self.pipe
    }

    /// When it is killed, as things stand.
    pub(super) fn end_us(&self, control: &Control) -> u64 {
        let end_us = self.started_us.saturating_add(self.limits.deadline.0.saturating_mul(1_000));
        let end_us = match control.cancelled_us() {
            0 => end_us,
            cancelled_us => end_us.min(cancelled_us.saturating_add(CANCEL_GRACE_US)),
        };
        end_us.saturating_add(OVERDUE_US)
    }

    /// Takes what it says, by way of `buffer`; false once it will say no more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        match self.pipe.read(buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.told.extend_from_slice(buffer.get(..length).unwrap_or_default());
                // Once it has told its result, or more than any message holds, it is of no more use.
                let is_done =
                    self.told.len() > FRAME_MAX || !matches!(frame_len(&self.told), Ok(None));
                Ok(!is_done)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Kills it, where it is not gone already: an exit that has begun keeps its status.
    pub(super) fn kill(&self) -> Killed {
        // The process is there until it is waited for.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        Killed(self.pid)
    }

    /// What it told, where that is a result of its task.
    pub(super) fn told(&mut self) -> Option<(ResultMeta, Bytes)> {
        let length = frame_len(&self.told).ok()??;
        let envelope = frame::decode(self.told.split_to(length).freeze()).ok()??;
        let FromRunner::Results(results) = envelope.message else { return None };
        let [result] = <[ResultMeta; 1]>::try_from(results.block.results).ok()?;
        (result.index == self.index).then_some((result, envelope.payload))
    }

    /// The result of one that was killed at its deadline.
    pub(super) fn overdue(&self, shown: Option<Shown>) -> ResultMeta {
        let usage = self.usage(shown);
        let (used, allowed) = (usage.wall_us / 1_000, self.limits.deadline.0);
        let outcome = Outcome::Limit { limit: Limit::Deadline, used, allowed };
        ResultMeta { usage, ..unrun(self.index, outcome) }
    }

    /// The result of one that ended without any.
    pub(super) fn lost(&self, shown: Option<Shown>, status: Option<ExitStatus>) -> ResultMeta {
        let how = status.map_or_else(|| "in an unknown way".into(), |how| how.to_string());
        let outcome = Outcome::Lost(format!("the task's process ended without a result: {how}"));
        ResultMeta { usage: self.usage(shown), ..unrun(self.index, outcome) }
    }

    fn usage(&self, shown: Option<Shown>) -> Usage {
        let now_us = now_us();
        let wall_us = now_us.saturating_sub(self.started_us);
        let usage = shown.map(|shown| shown.usage(&self.limits, now_us)).unwrap_or_default();
        Usage { wall_us, ..usage }
    }
}

impl Killed {
    /// Waits for its end, and says how that was.
    pub(super) fn wait(self) -> Option<ExitStatus> {
        loop {
            match rustix::process::waitpid(Some(self.0), WaitOptions::empty()) {
                Ok(ended) => {
                    return ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}
