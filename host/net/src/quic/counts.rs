//! How many links each member has: renewed certificates give it no more of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::identity::Account;

/// How many links each account has.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    links: Arc<Mutex<BTreeMap<Account, usize>>>,
}

/// One link of an account.
pub(super) struct Count {
    account: Account,
    counts: Counts,
    /// Those that there were when it began.
    pub(super) before: usize,
}

impl Counts {
    /// Counts one more.
    ///
    /// # Errors
    /// Why not, where there are so many already.
    pub(super) fn enter(&self, account: &Account, allowed: usize) -> Result<Count, String> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let count = links.entry(account.clone()).or_default();
        if *count >= allowed {
            return Err(format!("its identity has {allowed} links already"));
        }
        let before = *count;
        *count += 1;
        Ok(Count { account: account.clone(), counts: self.clone(), before })
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let mut links = self.counts.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = links.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                links.remove(&self.account);
            }
        }
    }
}
