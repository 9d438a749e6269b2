//! How a gateway of this process reaches its grid: by links within the process, or over QUIC.

use std::sync::Arc;

use tokio::sync::Mutex;
use wasmgrid_client::{Client, ClientError, ClientLink};
use wasmgrid_gateway::{ActFor, Asked, CheckedKey, Grid, KeyText, client_config};
use wasmgrid_net::{Endpoint, Identity, NetError, Role, in_process_for};
use wasmgrid_proto::{ApiKey, Reason};
use wasmgrid_server::ServerHandle;

use crate::{cluster::scheduler::Scheduler, parts};

/// The name of the gateway that is in the scheduler's process.
const NAME: &str = "scheduler";

/// A scheduler in this process.
pub struct InProcess {
    server: ServerHandle,
    scheduler: Identity,
    gateway: Identity,
    own: Own,
}

impl InProcess {
    /// That one.
    ///
    /// # Errors
    /// If the grid's name cannot stand in an identity.
    pub fn new(scheduler: &Scheduler) -> anyhow::Result<Self> {
        let identity = parts::scheduler(scheduler.grid())?;
        let gateway = Identity::new(identity.grid(), Role::Gateway, NAME)?;
        let server = scheduler.server.handle();
        Ok(Self { server, scheduler: identity, gateway, own: Own::default() })
    }

    /// A client with a link within the process, which acts for somebody, or for nobody.
    fn dial(&self, act_for: Option<ActFor>) -> Asked<'_, Client> {
        let server = self.server.clone();
        let (gateway, scheduler) = (self.gateway.clone(), self.scheduler.clone());
        let dial = move || {
            let (own, scheduler) = (gateway.clone(), scheduler.clone());
            let (ours, theirs): (ClientLink, _) = in_process_for(own, scheduler, act_for.clone());
            server.client(theirs);
            async move { Ok::<_, NetError>(ours) }
        };
        Box::pin(Client::connect_with(client_config(), dial))
    }
}

impl Grid for InProcess {
    fn own(&self) -> Asked<'_, Client> {
        self.dial(None)
    }

    fn acting(&self, act_for: ActFor) -> Asked<'_, Client> {
        self.dial(Some(act_for))
    }

    fn check_key(&self, key: KeyText) -> Asked<'_, Option<CheckedKey>> {
        Box::pin(async move { self.own.check(self, &key).await })
    }
}

/// A grid that this machine has joined as a gateway.
pub struct OverQuic {
    endpoint: Endpoint,
    addresses: Arc<[String]>,
    own: Own,
}

impl OverQuic {
    /// That one, at these addresses.
    pub fn new(endpoint: Endpoint, addresses: Vec<String>) -> Self {
        Self { endpoint, addresses: addresses.into(), own: Own::default() }
    }

    /// A client with a link over QUIC, which acts for somebody, or for nobody.
    fn dial(&self, act_for: Option<ActFor>) -> Asked<'_, Client> {
        let (endpoint, addresses) = (self.endpoint.clone(), Arc::clone(&self.addresses));
        let act_for = act_for.map(Arc::new);
        let dial = move || {
            let (endpoint, addresses) = (endpoint.clone(), Arc::clone(&addresses));
            let act_for = act_for.clone();
            async move { endpoint.connect_gateway(&addresses, act_for.as_deref()).await }
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
        Box::pin(async move { self.own.check(self, &key).await })
    }
}

/// The link on which keys are checked, opened when it is needed.
#[derive(Default)]
struct Own(Mutex<Option<Client>>);

impl Own {
    /// Whose key this is; `None` if it is nobody's.
    async fn check(
        &self,
        grid: &impl Grid,
        key: &KeyText,
    ) -> Result<Option<CheckedKey>, ClientError> {
        let KeyText { id, secret } = key;
        // What has not the form of a key is none.
        let Ok(key) = format!("wgk1_{id}_{secret}").parse::<ApiKey>() else { return Ok(None) };
        match self.client(grid).await?.check_key(&key).await {
            Ok(status) => Ok(Some(CheckedKey {
                id: status.id.to_string(),
                act_for: ActFor { tenant: status.tenant, role: status.role, name: status.name },
                expires: status.expires,
            })),
            Err(ClientError::Api(error)) if matches!(*error.reason, Reason::BadKey) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn client(&self, grid: &impl Grid) -> Result<Client, ClientError> {
        let mut own = self.0.lock().await;
        if let Some(client) = own.as_ref().filter(|client| !client.is_over()) {
            return Ok(client.clone());
        }
        let client = grid.own().await?;
        *own = Some(client.clone());
        Ok(client)
    }
}
