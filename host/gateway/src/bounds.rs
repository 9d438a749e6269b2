//! How much a gateway does and holds at the same time: open answers and uploads of each key and tenant, and
//! bytes of bodies and answers.

mod bodies;
pub mod shares;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

pub use self::bodies::Held;
use self::{
    bodies::Bodies,
    shares::{Share, Shares},
};
use crate::{answer::ANSWERS, problem::Problem};

/// Open streams of one key: results, events and uploads. A link to the scheduler has no more watches.
const STREAMS_MAX: usize = 1_000;

/// Pages of one key that are open: each asks the scheduler several things a second.
const PAGES_MAX: usize = 64;

/// The same of all keys of one tenant: half of a gateway's connections.
const TENANT_STREAMS_MAX: usize = 2_048;

fn of_tenant(tenant: &str) -> (String, usize, &'static str) {
    (format!("tenant {tenant}"), TENANT_STREAMS_MAX, "streams of this tenant")
}

/// What is open and held.
pub struct Bounds {
    streams: Mutex<BTreeMap<String, usize>>,
    bodies: Arc<Bodies>,
    answers: Arc<Shares>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { streams: Mutex::default(), bodies: Arc::default(), answers: Shares::new(ANSWERS) }
    }
}

/// A stream that is open.
pub struct OpenStream {
    bounds: Arc<Bounds>,
    counted: Vec<String>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.bounds.lock();
        for name in &self.counted {
            if let Some(count) = streams.get_mut(name) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    streams.remove(name);
                }
            }
        }
    }
}

impl Bounds {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more stream of a key, and of its tenant.
    ///
    /// # Errors
    /// If one of them has as many as it may.
    pub fn open(self: &Arc<Self>, key: &str, tenant: &str) -> Result<OpenStream, Problem> {
        let of_key = (format!("key {key}"), STREAMS_MAX, "streams of this key");
        self.count([of_key, of_tenant(tenant)])
    }

    /// Counts one more page of a key that goes on by itself.
    ///
    /// # Errors
    /// If it has as many as it may.
    pub fn open_page(self: &Arc<Self>, key: &str, tenant: &str) -> Result<OpenStream, Problem> {
        let of_key = (format!("pages {key}"), PAGES_MAX, "pages of this key");
        self.count([of_key, of_tenant(tenant)])
    }

    fn count(self: &Arc<Self>, all: [(String, usize, &str); 2]) -> Result<OpenStream, Problem> {
        let mut streams = self.lock();
        for (name, most, what) in &all {
            if streams.get(name).is_some_and(|count| count >= most) {
                let detail = format!("{most} {what} are open; end one first");
                return Err(Problem::busy("too_many_streams", detail));
            }
        }
        let counted: Vec<String> = all.into_iter().map(|(name, ..)| name).collect();
        for name in &counted {
            *streams.entry(name.clone()).or_default() += 1;
        }
        Ok(OpenStream { bounds: Arc::clone(self), counted })
    }

    /// What a tenant may hold of answers that are on their way.
    pub fn answers(&self, tenant: &str) -> Share {
        self.answers.of(tenant)
    }

    /// Room for bytes of a tenant's bodies, of which there are none yet.
    pub fn held(&self, tenant: &str) -> Held {
        self.bodies.held(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_streams_and_no_more() {
        let bounds = Arc::new(Bounds::default());
        let open = |key| bounds.open(key, "ada");
        let streams: Vec<_> = (0..STREAMS_MAX).map(|_| open("a").expect("few")).collect();
        assert!(open("a").is_err());
        assert!(open("b").is_ok());
        let page = || bounds.open_page("a", "ada");
        let pages: Vec<_> = (0..PAGES_MAX).map(|_| page().expect("few")).collect();
        assert!(page().is_err());
        drop((streams, pages));
        assert!(open("a").is_ok());
        assert!(bounds.lock().is_empty());
    }

    #[test]
    fn the_keys_of_a_tenant_have_so_many_streams_together() {
        let bounds = Arc::new(Bounds::default());
        let open = |at: usize| bounds.open(&(at % 7).to_string(), "ada");
        let streams: Vec<_> = (0..TENANT_STREAMS_MAX).map(|at| open(at).expect("few")).collect();
        assert!(open(0).is_err() && bounds.open_page("8", "ada").is_err());
        assert!(bounds.open("0", "ben").is_ok(), "another tenant has its own");
        drop(streams);
        assert!(bounds.lock().is_empty());
    }
}
