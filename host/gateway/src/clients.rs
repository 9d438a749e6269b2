//! The gateway's clients of the grid: one for each tenant, role and key that it speaks for, opened
//! when it is needed and let go of when it was not used for some time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use wasmgrid_client::{Client, ClientError};

use crate::grid::{ActFor, Grid};

/// A client that nobody has used for so long is let go of. Open answers keep theirs.
const IDLE: Duration = Duration::from_secs(300);

/// Clients that are kept for later at most.
const CLIENTS_MAX: usize = 4_096;

/// One client; one asker at a time opens it.
#[derive(Clone)]
struct Place {
    client: Arc<tokio::sync::Mutex<Option<Client>>>,
    used: Instant,
}

/// The clients that are open. The one that acts for nobody is under `None`.
#[derive(Default)]
pub struct Clients(Mutex<BTreeMap<Option<ActFor>, Place>>);

impl Clients {
    /// The client that acts so.
    ///
    /// # Errors
    /// If the grid cannot be reached.
    pub async fn get(
        &self,
        grid: &dyn Grid,
        act_for: Option<&ActFor>,
    ) -> Result<Client, ClientError> {
        let place = self.place(act_for);
        let mut client = place.lock().await;
        if let Some(open) = client.as_ref().filter(|client| !client.is_over()) {
            return Ok(open.clone());
        }
        let opened = match act_for {
            Some(act_for) => grid.acting(act_for.clone()).await?,
            None => grid.own().await?,
        };
        *client = Some(opened.clone());
        Ok(opened)
    }

    fn place(&self, act_for: Option<&ActFor>) -> Arc<tokio::sync::Mutex<Option<Client>>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        places.retain(|_, place| now.duration_since(place.used) < IDLE);
        let name = act_for.cloned();
        if places.len() >= CLIENTS_MAX && !places.contains_key(&name) {
            let oldest = places.iter().min_by_key(|(_, place)| place.used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| places.remove(&name));
        }
        let fresh = || Place { client: Arc::default(), used: now };
        let place = places.entry(name).or_insert_with(fresh);
        place.used = now;
        Arc::clone(&place.client)
    }
}
