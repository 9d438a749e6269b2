//! One runner of a slot, and those that the slot does not use at the moment.

use std::{collections::VecDeque, convert::Infallible, future, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{PoolConfig, ends::Why, launch::Runner};
use crate::time::now_us;

/// Runners of other tenants that a slot keeps: to start one for each change of tenant takes 2 ms of
/// a core. One that is idle holds some 5 MB, and what it keeps of its tenant's modules.
const PARKED_MAX: usize = 3;

/// How long one is kept that is not used.
const PARKED_TIME: Duration = Duration::from_secs(5);

/// What there is of one runner. It serves one tenant only.
pub(super) struct Session {
    pub(super) runner: Runner,
    pub(super) tenant: Option<String>,
    /// Numbers batches; the runner's page names them by it.
    pub(super) next_number: u64,
    born_us: u64,
    /// Tasks it was sent.
    pub(super) tasks: u64,
    /// Batches it was sent; what is long ago counts less.
    pub(super) used: u64,
    /// It has said a word.
    pub(super) spoke: bool,
}

/// The runners of a slot that it does not use at the moment.
#[derive(Default)]
pub(super) struct Parked {
    /// Each has served a tenant that the others have not; the one that waits for longest is first.
    sessions: VecDeque<(Instant, Session)>,
    /// Those on their way out.
    leaving: JoinSet<()>,
}

impl Session {
    /// With a runner that has served nobody.
    pub(super) fn new(runner: Runner) -> Self {
        Self {
            runner,
            tenant: None,
            next_number: 1,
            born_us: now_us(),
            tasks: 0,
            used: 0,
            spoke: false,
        }
    }

    /// Whether a batch of this tenant needs another runner. One that has served nobody fits all.
    pub(super) fn is_over_for(&self, tenant: &str, config: &PoolConfig) -> bool {
        let is_others = self.tenant.as_ref().is_some_and(|served| served != tenant);
        is_others || self.has_served_its_time(config)
    }

    fn has_served_its_time(&self, config: &PoolConfig) -> bool {
        let age_us = now_us().saturating_sub(self.born_us);
        let is_old = self.tasks >= config.runner_tasks
            || age_us >= config.runner_age.0.saturating_mul(1_000);
        is_old && self.tenant.is_some()
    }
}

impl Parked {
    /// Keeps a runner that has nothing to do, as long as its tenant may soon have more.
    pub(super) fn park(&mut self, session: Session, config: &PoolConfig) {
        if session.has_served_its_time(config) {
            config.ends.count(Why::Served);
            return self.leave(session);
        }
        if let Some(other) = session.tenant.as_ref().and_then(|tenant| self.take(tenant)) {
            self.leave(other);
        }
        self.sessions.push_back((Instant::now() + PARKED_TIME, session));
    }

    /// Lets those end that are too many: the least used. Of those that were used as little, the
    /// newest goes: where more tenants take turns than there are places, the oldest is whose turn
    /// is next.
    pub(super) fn trim(&mut self) {
        while self.sessions.len() > PARKED_MAX {
            let used = |(_, (_, session)): &(usize, &(Instant, Session))| session.used;
            let least = self.sessions.iter().enumerate().rev().min_by_key(used);
            let Some(place) = least.map(|(place, _)| place) else { return };
            if let Some((_, session)) = self.sessions.remove(place) {
                self.leave(session);
            }
            for (_, session) in &mut self.sessions {
                session.used /= 2;
            }
        }
    }

    /// Lets all of them end: what they hold may be what another needs to start.
    pub(super) fn leave_all(&mut self) {
        for (_, session) in std::mem::take(&mut self.sessions) {
            self.leave(session);
        }
    }

    /// The runner that has served this tenant, if there is one.
    pub(super) fn take(&mut self, tenant: &str) -> Option<Session> {
        let of_tenant =
            |(_, session): &(Instant, Session)| session.tenant.as_deref() == Some(tenant);
        let position = self.sessions.iter().position(of_tenant)?;
        self.sessions.remove(position).map(|(_, session)| session)
    }

    /// Lets a runner end while the slot goes on with the next one.
    pub(super) fn leave(&mut self, session: Session) {
        while self.leaving.try_join_next().is_some() {}
        self.leaving.spawn(async {
            session.runner.end().await;
        });
    }

    /// Lets the runners end that were not used for long; never ends by itself. Cancel safe.
    pub(super) async fn tidy(&mut self) -> Infallible {
        while let Some((until, _)) = self.sessions.front() {
            sleep_until(*until).await;
            if let Some((_, session)) = self.sessions.pop_front() {
                self.leave(session);
            }
        }
        future::pending().await
    }

    /// Ends all of them.
    pub(super) async fn end(mut self) {
        self.leave_all();
        while self.leaving.join_next().await.is_some() {}
    }
}
