//! How a gateway of this process reaches its grid: by links within the process, or over QUIC.

use std::{path::PathBuf, sync::Arc};

use wasmgrid_client::{Client, ClientLink};
use wasmgrid_gateway::{ActFor, Asked, CheckedKey, Grid, KeyText, client_config};
use wasmgrid_net::{Endpoint, Identity, NetError, in_process};
use wasmgrid_server::ServerHandle;

use super::interim::{self, Keys};
use crate::{
    cluster::{Cluster, scheduler::Scheduler},
    context::Contexts,
    parts,
};

/// A scheduler in this process.
pub struct InProcess {
    server: ServerHandle,
    scheduler: Identity,
    keys: Keys,
}

impl InProcess {
    /// That one.
    ///
    /// # Errors
    /// If the grid's name cannot stand in an identity, or its key cannot be kept.
    pub fn new(scheduler: &Scheduler) -> anyhow::Result<Self> {
        let keys = Keys::open(scheduler.folder().path(), interim::operator())?;
        let identity = parts::scheduler(scheduler.grid())?;
        Ok(Self { server: scheduler.server.handle(), scheduler: identity, keys })
    }

    /// A client with a link within the process, which acts so.
    fn dial(&self, act_for: ActFor) -> Asked<'_, Client> {
        let (server, scheduler) = (self.server.clone(), self.scheduler.clone());
        Box::pin(async move {
            let own = interim::identity(&scheduler, &act_for)?;
            let dial = move || {
                let (ours, theirs): (ClientLink, _) = in_process(own.clone(), scheduler.clone());
                server.client(theirs);
                async move { Ok::<_, NetError>(ours) }
            };
            Client::connect_with(client_config(), dial).await
        })
    }
}

impl Grid for InProcess {
    fn own(&self) -> Asked<'_, Client> {
        self.dial(interim::operator())
    }

    fn acting(&self, act_for: ActFor) -> Asked<'_, Client> {
        self.dial(act_for)
    }

    fn check_key(&self, key: KeyText) -> Asked<'_, Option<CheckedKey>> {
        let found = self.keys.check(&key);
        Box::pin(async move { Ok(found) })
    }
}

/// A grid that is reached by a context of this machine.
pub struct OverQuic {
    endpoint: Endpoint,
    addresses: Arc<[String]>,
    keys: Keys,
}

impl OverQuic {
    /// That one.
    ///
    /// # Errors
    /// If the context cannot be read, or its key cannot be kept.
    pub fn new(contexts: &Contexts, name: &str, cluster: &Cluster) -> anyhow::Result<Self> {
        let (description, credentials) = contexts.open(name)?;
        let folder: PathBuf = contexts.folder_of(name)?;
        let keys = Keys::open(&folder, interim::of_identity(credentials.identity()))?;
        let (endpoint, addresses) = (cluster.endpoint.clone(), description.addresses.into());
        Ok(Self { endpoint, addresses, keys })
    }

    /// A client with a link over QUIC. Until gateways may act for others, it acts as the context does.
    fn dial(&self, _act_for: Option<ActFor>) -> Asked<'_, Client> {
        let (endpoint, addresses) = (self.endpoint.clone(), Arc::clone(&self.addresses));
        let dial = move || {
            let (endpoint, addresses) = (endpoint.clone(), Arc::clone(&addresses));
            async move { endpoint.connect_client(&addresses).await }
        };
        Box::pin(Client::connect_with(client_config(), dial))
    }
}

impl Grid for OverQuic {
    fn own(&self) -> Asked<'_, Client> {
        self.dial(None)
    }

    fn acting(&self, act_for: ActFor) -> Asked<'_, Client> {
        self.dial(Some(act_for))
    }

    fn check_key(&self, key: KeyText) -> Asked<'_, Option<CheckedKey>> {
        let found = self.keys.check(&key);
        Box::pin(async move { Ok(found) })
    }
}
