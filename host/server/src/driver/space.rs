//! Whether the store takes new work: not while nothing can be committed, nor while what is left of the
//! disk is kept for work that was taken before.

use wasmgrid_core::{Input, RequestId};
use wasmgrid_proto::{
    ByteCount, JobId, Reason,
    wire::{ApiError, Reply},
};

use super::{
    Driver, Observer, State,
    gate::{Gate, Gated},
};

/// Why nothing can be committed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The disk is full.
    Full,
    /// It is not known whether the last commit is durable, and the store does not answer.
    InDoubt,
}

impl Halt {
    const fn reason(self) -> Reason {
        match self {
            Self::Full => Reason::DiskFull,
            Self::InDoubt => Reason::StoreInDoubt,
        }
    }
}

/// The disk has less space left than is kept for work that was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is left.
    pub free: ByteCount,
    /// What is kept.
    pub reserve: ByteCount,
}

impl Shortage {
    const fn reason(self) -> Reason {
        Reason::DiskReserved { free: self.free, reserve: self.reserve }
    }
}

impl<O: Observer> Driver<O> {
    pub(super) fn store_halted(&mut self, halt: Option<Halt>) {
        self.state.halt = halt;
        match halt {
            Some(Halt::Full) => {
                tracing::error!("disk full: rejecting new work until space is freed")
            }
            Some(Halt::InDoubt) => tracing::error!(
                "the store does not say whether the last commit \
                 is durable: rejecting new work until it does"
            ),
            None => tracing::info!("the store commits again: accepting new work"),
        }
        self.tell_intake();
        self.let_answers_go();
    }

    /// An answer of the core. While nothing can be committed, one that rests on what is durable alone
    /// does not wait.
    pub(super) fn take_reply(&mut self, request: RequestId, reply: Box<Result<Reply, ApiError>>) {
        if leaves_now(&self.state, &self.gate, request, &reply) {
            self.reply_now(request, *reply);
        } else {
            self.hold(Gated::Reply { request, reply });
        }
    }

    /// Nothing can be committed any more: answers that need not wait for that are given.
    fn let_answers_go(&mut self) {
        let (gate, state) = (&mut self.gate, &self.state);
        let taken = gate.take_out(|gate, gated| match gated {
            Gated::Reply { request, reply } => leaves_now(state, gate, *request, reply),
            _ => false,
        });
        for (place, gated) in taken {
            if let Gated::Reply { request, reply } = gated {
                self.observer.let_go(place);
                self.reply_now(request, *reply);
            }
        }
    }

    /// Gives an answer that does not wait. What is refused may rest on what is not durable, so that the
    /// reason may not hold; that nothing was done, and that nothing can be, does.
    fn reply_now(&mut self, request: RequestId, reply: Result<Reply, ApiError>) {
        let reply = match (reply, self.refuses_work()) {
            (Err(_), Some(halted)) => Err(halted),
            (reply, _) => reply,
        };
        self.reply(request, reply);
    }

    pub(super) fn short_of_space(&mut self, shortage: Option<Shortage>) {
        let before = std::mem::replace(&mut self.state.shortage, shortage);
        match (before, shortage) {
            (None, Some(Shortage { free, reserve })) => {
                tracing::error!(%free, %reserve, "disk nearly full: rejecting new work, and giving \
                     out no waiting tasks, until space is freed");
            }
            (Some(_), None) => {
                tracing::info!("the disk has enough space again: accepting new work");
            }
            _ => {}
        }
        self.tell_intake();
    }

    /// Tells the core whether it takes new work.
    fn tell_intake(&mut self) {
        let refusal = self.refusal();
        self.grid.handle(self.state.now, Input::Intake { refusal });
    }

    /// Why no new work is taken, from anybody.
    pub(super) fn refuses_work(&self) -> Option<ApiError> {
        self.refusal().map(ApiError::from)
    }

    fn refusal(&self) -> Option<Reason> {
        let halt = self.state.halt.map(Halt::reason);
        halt.or_else(|| self.state.shortage.map(Shortage::reason))
    }
}

/// Whether an answer need not wait for a commit, while none is made: no refusal need, and no
/// confirmation if all that clients asked of its job is durable, as of a repeat of what was done before.
fn leaves_now(
    state: &State,
    gate: &Gate,
    request: RequestId,
    reply: &Result<Reply, ApiError>,
) -> bool {
    let is_durable = |job| !gate.is_asked_of(job);
    state.halt.is_some()
        && (reply.is_err() || job_of_reply(state, request, reply).is_some_and(is_durable))
}

/// The job of which the answered request asks something.
fn job_of_reply(
    state: &State,
    request: RequestId,
    reply: &Result<Reply, ApiError>,
) -> Option<JobId> {
    match reply {
        Ok(Reply::Job(status)) => Some(status.job),
        _ => state.requests.get(&request)?.job,
    }
}
