//! A function of a client's tenant: one program calls it, call after call, and another deploys it anew and
//! deletes it meanwhile. They stand for processes with links of their own, which come back at different
//! times.

use wasmgrid_proto::wire::ErrorCode;

use crate::{
    book::Violation,
    message::{Answer, Request},
    plan::SECOND,
    random::Random,
    task::{Mix, Task},
};

/// What is done with a function.
#[derive(Clone, Debug)]
pub struct FunctionPlan {
    /// When it is first deployed.
    pub at: u64,
    /// The inputs of each request of its caller.
    pub calls: Vec<Vec<Task>>,
    /// The pause between two of them.
    pub pause_us: u64,
    /// How often it is deployed again, and whether it is deleted before.
    pub again: Vec<bool>,
    /// The pause between two deployments.
    pub again_us: u64,
}

impl FunctionPlan {
    /// Draws one for some clients; the inputs get numbers that no job's have.
    pub fn draw(random: &mut Random, calm_at: u64, number: &mut u64) -> Option<Self> {
        if !random.chance(40) {
            return None;
        }
        let mut call = |random: &mut Random| -> Vec<Task> {
            let tasks = (0..random.between(1, 3)).map(|_| {
                *number += 1;
                Task::new(*number, Mix::default().draw(random), random.between(100, 50_000))
            });
            tasks.collect()
        };
        let calls = random.between(2, 12);
        Some(Self {
            at: random.below(calm_at / 2),
            calls: (0..calls).map(|_| call(random)).collect(),
            pause_us: random.between(1, 3_000) * 1_000,
            again: (0..random.below(8)).map(|_| random.chance(30)).collect(),
            again_us: random.between(50, 2_000) * 1_000,
        })
    }
}

/// How far the two programs are.
#[derive(Debug)]
pub struct Function {
    plan: FunctionPlan,
    /// What the caller's numbers are of; another one after each request of which it is not known whether it
    /// was taken.
    producer: u64,
    /// Of the last request that was taken.
    number: u64,
    /// Requests that were taken.
    called: usize,
    /// Steps of the deployer that were done.
    deployed: usize,
    caller: Program,
    deployer: Program,
}

#[derive(Clone, Copy, Debug, Default)]
struct Program {
    /// When it does something next.
    ready_at: u64,
    /// A question is open.
    busy: bool,
}

/// Which of the two asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The one that calls.
    Caller,
    /// The one that deploys and deletes.
    Deployer,
}

/// What the deployer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Deploy(usize),
    Delete,
}

impl Function {
    /// Nothing is done yet. No other client's caller has this number.
    pub fn new(plan: FunctionPlan, producer: u64) -> Self {
        let program = Program { ready_at: plan.at, busy: false };
        let (caller, deployer) = (program, program);
        Self { plan, producer, number: 0, called: 0, deployed: 0, caller, deployer }
    }

    /// Other processes of the two, which know how far they were, but not what became of an open request.
    pub fn restart(&mut self) {
        if self.caller.busy {
            self.renew();
        }
        (self.caller.busy, self.deployer.busy) = (false, false);
    }

    fn renew(&mut self) {
        (self.producer, self.number) = (self.producer + 1, 0);
    }

    /// True if all calls were taken, and all deployments done.
    pub fn is_done(&self) -> bool {
        self.called == self.plan.calls.len() && self.step().is_none()
    }

    fn step(&self) -> Option<Step> {
        let deletes = |again: &bool| if *again { Some(Step::Delete) } else { None };
        let again = (1..).zip(&self.plan.again);
        let again = again
            .flat_map(|(at, again)| [deletes(again), Some(Step::Deploy(at))].into_iter().flatten());
        [Step::Deploy(0)].into_iter().chain(again).nth(self.deployed)
    }

    /// What is to be asked now, and when there is more.
    pub fn wake(&mut self, now: u64) -> (Vec<By>, Option<u64>) {
        let is_there = self.deployed > 0;
        let calls = is_there && self.called < self.plan.calls.len();
        let wants = [(By::Deployer, self.step().is_some()), (By::Caller, calls)];
        let (mut asks, mut next) = (Vec::new(), None);
        for (by, wants) in wants {
            let program = self.program(by);
            if !wants || program.busy {
                continue;
            }
            if program.ready_at > now {
                next = [next, Some(program.ready_at)].into_iter().flatten().min();
                continue;
            }
            program.busy = true;
            asks.push(by);
        }
        (asks, next)
    }

    const fn program(&mut self, by: By) -> &mut Program {
        match by {
            By::Caller => &mut self.caller,
            By::Deployer => &mut self.deployer,
        }
    }

    /// The question that one of them has.
    pub fn request(&self, by: By) -> Option<Request> {
        Some(match by {
            By::Caller => {
                let (by, call) = ((self.producer, self.number + 1), self.called);
                Request::Call { by, inputs: self.plan.calls.get(call)?.clone() }
            }
            By::Deployer => match self.step()? {
                Step::Deploy(version) => Request::Deploy { version },
                Step::Delete => Request::DeleteFunction,
            },
        })
    }

    /// A link was lost and there is another: the one asks again at once, the other perhaps later.
    pub fn is_back_later(&mut self, now: u64, by: By, random: &mut Random) -> bool {
        let later = by == By::Caller && random.chance(60);
        if later {
            let ready_at = now + random.below(20 * SECOND);
            self.caller = Program { ready_at, busy: false };
        }
        later
    }

    /// A question was answered.
    ///
    /// # Errors
    /// If it may not be answered so.
    pub fn answered(
        &mut self,
        now: u64,
        by: By,
        reply: Result<Answer, ErrorCode>,
    ) -> Result<(), Violation> {
        let pause = match by {
            By::Caller => self.plan.pause_us,
            By::Deployer => self.plan.again_us,
        };
        let ready_at = now + if reply.is_ok() { pause } else { SECOND / 4 };
        *self.program(by) = Program { ready_at, busy: false };
        match (by, reply) {
            (By::Caller, Ok(Answer::Called(..))) => {
                self.called += 1;
                self.number += 1;
            }
            (By::Deployer, Ok(_)) => self.deployed += 1,
            // It is deleted, or too many are open: nothing was taken under this number.
            (By::Caller, Err(ErrorCode::NotFound | ErrorCode::Unavailable)) => self.renew(),
            // What deleted it before its answer was lost.
            (By::Deployer, Err(ErrorCode::NotFound)) => self.deployed += 1,
            (By::Deployer, Err(ErrorCode::Unavailable)) => {}
            (by, reply) => {
                let detail = format!("{by:?} was answered {reply:?}");
                return Err(Violation { invariant: "no call is refused for nothing", detail });
            }
        }
        Ok(())
    }
}
