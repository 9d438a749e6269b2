//! What the agent does where this machine cannot run tasks: it says so and gives back what it has,
//! which the scheduler then gives to others, until it can again.

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wasmgrid_proto::{
    Millis,
    text::{REASON_MAX, shortened},
    wire::{FromWorker, Health, Part, Unable},
};
use wasmgrid_sandbox::Condition;

use super::{Agent, Event};

/// Tells the agent of each change, until `stop` or the sandbox's end.
pub(crate) async fn watch(
    mut condition: watch::Receiver<Condition>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    loop {
        let now = condition.borrow_and_update().clone();
        let told = async {
            events.send(Event::Condition(now)).await.is_ok() && condition.changed().await.is_ok()
        };
        if stop.run_until_cancelled(told).await != Some(true) {
            return;
        }
    }
}

impl Agent {
    pub(super) fn condition(&mut self, condition: Condition) {
        match condition {
            Condition::Trying => {}
            Condition::Able => {
                self.was_able = true;
                if self.unable.take().is_some() {
                    tracing::info!("this machine can run tasks again");
                    self.say_health();
                }
            }
            Condition::Unable { why, again } => {
                let part = if why.is_of_compilers() { Part::Compiler } else { Part::Runner };
                let again = Millis(u64::try_from(again.as_millis()).unwrap_or(u64::MAX));
                let reason = shortened(why.to_string(), REASON_MAX);
                let before = self.unable.replace(Unable { part, reason: reason.clone(), again });
                let is_new = before.is_none_or(|before| before.reason != reason);
                // Whoever starts a worker hears of the first try by itself.
                if self.was_able && is_new {
                    tracing::warn!(
                        "this machine cannot run tasks: {why}; trying again, after 1 s at first \
                         and 1 min at last"
                    );
                }
                self.say_health();
                self.give_back_all(NOT_BEGUN);
            }
        }
    }

    /// Says how it stands on a link that has joined; a worker that joins counts as able.
    pub(super) fn say_health(&mut self) {
        if self.link.is_joined() {
            let unable = self.unable.clone();
            self.outgoing.say(FromWorker::Health(Health { unable }));
        }
    }
}

/// Why tasks are given back.
pub(super) const NOT_BEGUN: &str = "the worker's machine cannot run tasks";
