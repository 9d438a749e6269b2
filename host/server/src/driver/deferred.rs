//! What waits until there is room for it: a queue for each tenant, which take turns, so that one whose
//! results fill the memory while nothing is committed holds up only itself after that. It does
//! nothing itself.

use std::collections::{BTreeMap, VecDeque};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Deferred<T> {
    /// By tenant; none is empty.
    queues: BTreeMap<String, VecDeque<T>>,
    /// The tenants that have a queue. Whose turn it is is first.
    turns: VecDeque<String>,
    len: usize,
}

impl<T> Default for Deferred<T> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<T> Deferred<T> {
    /// Has something wait behind its tenant's others.
    pub(super) fn push(&mut self, tenant: &str, item: T) {
        self.len += 1;
        if let Some(queue) = self.queues.get_mut(tenant) {
            return queue.push_back(item);
        }
        self.queues.insert(tenant.to_owned(), VecDeque::from([item]));
        self.turns.push_back(tenant.to_owned());
    }

    /// The first of the tenant whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let tenant = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&tenant)?;
        let item = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        Some(item)
    }

    /// How many wait, of all tenants.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// True if nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_and_what_each_has_keeps_its_order() {
        let mut deferred = Deferred::default();
        (1..=4).for_each(|number| deferred.push("eve", number));
        (10..12).for_each(|number| deferred.push("ann", number));
        assert_eq!(deferred.pop(), Some(1));
        deferred.push("bob", 20);
        assert_eq!(deferred.len(), 6);
        let rest: Vec<_> = std::iter::from_fn(|| deferred.pop()).collect();
        assert_eq!(rest, [10, 2, 20, 11, 3, 4]);
        assert!(deferred.is_empty());
    }
}
