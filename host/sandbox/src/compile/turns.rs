//! Who compiles next: few compilers are at work at a time, and tenants take turns at them, so that
//! many modules of one tenant hold up another's by one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<State>>);

/// Leave to compile; the next one has it when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    turns: Turns,
    tenant: String,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Of one tenant at a time: one less than there are, where there are several.
    of_one: usize,
    is_closed: bool,
    /// Who waits, by tenant; whose turn is next is first.
    lanes: VecDeque<(String, VecDeque<oneshot::Sender<Permit>>)>,
    at_work: BTreeMap<String, usize>,
}

impl Turns {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: count,
            of_one: count.saturating_sub(1).max(1),
            is_closed: false,
            lanes: VecDeque::new(),
            at_work: BTreeMap::new(),
        })))
    }

    /// Waits for the tenant's turn; `None` where no more are given.
    pub(super) async fn acquire(&self, tenant: &str) -> Option<Permit> {
        let (sender, given) = oneshot::channel();
        self.with(|state| state.wait(tenant, sender));
        self.hand_over();
        given.await.ok()
    }

    /// Gives no more.
    pub(super) fn close(&self) {
        self.with(|state| {
            state.is_closed = true;
            std::mem::take(&mut state.lanes)
        });
    }

    /// Gives what is free to whose turn it is.
    fn hand_over(&self) {
        while let Some((tenant, sender)) = self.with(State::next) {
            // Of somebody who has gone meanwhile it comes back as it is dropped.
            drop(sender.send(Permit { turns: self.clone(), tenant }));
        }
    }

    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        // Each change of the state is whole before anything can panic.
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn wait(&mut self, tenant: &str, sender: oneshot::Sender<Permit>) {
        if self.is_closed {
            return;
        }
        match self.lanes.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, waiting)) => waiting.push_back(sender),
            None => self.lanes.push_back((tenant.to_owned(), VecDeque::from([sender]))),
        }
    }

    fn next(&mut self) -> Option<(String, oneshot::Sender<Permit>)> {
        for (_, waiting) in &mut self.lanes {
            waiting.retain(|sender| !sender.is_closed());
        }
        self.lanes.retain(|(_, waiting)| !waiting.is_empty());
        self.free.checked_sub(1)?;
        let may = |(tenant, _): &(String, _)| {
            self.at_work.get(tenant).is_none_or(|count| *count < self.of_one)
        };
        let at = self.lanes.iter().position(may)?;
        let (tenant, mut waiting) = self.lanes.remove(at)?;
        let sender = waiting.pop_front()?;
        self.free -= 1;
        *self.at_work.entry(tenant.clone()).or_default() += 1;
        // Behind all others who wait.
        self.lanes.push_back((tenant.clone(), waiting));
        Some((tenant, sender))
    }

    fn done(&mut self, tenant: &str) {
        self.free += 1;
        if let Some(count) = self.at_work.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.at_work.remove(tenant);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.turns.with(|state| state.done(&self.tenant));
        self.turns.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who has a turn, in order, where each waits from the beginning.
    async fn order(count: usize, waiting: &[&str]) -> Vec<String> {
        let turns = Turns::new(count);
        let held = turns.acquire("first").await.expect("free");
        let (said, mut order) = tokio::sync::mpsc::unbounded_channel();
        for tenant in waiting {
            let (turns, tenant, said) = (turns.clone(), (*tenant).to_owned(), said.clone());
            let mut acquired = Box::pin(async move {
                let permit = turns.acquire(&tenant).await.expect("open");
                let _ = said.send(tenant);
                drop(permit);
            });
            // It waits in this order.
            let waits = std::future::poll_fn(|context| {
                std::task::Poll::Ready(acquired.as_mut().poll(context).is_pending())
            });
            if waits.await {
                tokio::spawn(acquired);
            }
        }
        drop((held, said));
        let mut found = Vec::new();
        while let Some(tenant) = order.recv().await {
            found.push(tenant);
        }
        found
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let found = order(1, &["bomber", "bomber", "bomber", "ann", "bob", "ann"]).await;
        assert_eq!(found, ["bomber", "ann", "bob", "bomber", "ann", "bomber"]);
    }

    #[tokio::test]
    async fn one_tenant_leaves_a_compiler_to_others() {
        let turns = Turns::new(2);
        let _first = turns.acquire("bomber").await.expect("free");
        let second = turns.acquire("bomber");
        tokio::pin!(second);
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(waits.await, "one of a tenant where there are two");
        turns.acquire("ann").await.expect("hers");
    }

    #[tokio::test]
    async fn who_has_gone_takes_no_turn_and_closed_turns_are_given_to_nobody() {
        let turns = Turns::new(1);
        let held = turns.acquire("ann").await.expect("free");
        let mut gone = Box::pin(turns.acquire("bob"));
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(gone.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
        drop(held);
        drop(gone);
        drop(turns.acquire("cat").await.expect("free again"));
        turns.close();
        assert!(turns.acquire("ann").await.is_none());
    }
}
