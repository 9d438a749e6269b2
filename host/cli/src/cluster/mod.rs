//! The commands that make, run and ask clusters.

mod addresses;
pub mod audit;
pub mod authority;
pub mod client;
pub mod context;
mod counted;
mod explain;
mod folder;
pub mod function;
pub mod gateway;
pub mod job;
pub mod key;
mod logs;
mod member;
mod membership;
pub mod module;
mod renewal;
mod scheduler;
pub mod status;
mod task;
pub mod tenant;
pub mod token;
pub mod ui;
pub mod up;
pub mod view;
pub mod worker;

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use wasmgrid_client::Client;
use wasmgrid_net::{Endpoint, Release};

use renewal::Renewing;

use crate::{args::GridArgs, context::Contexts, exit::usage, paths::Paths};

pub use counted::{rate, took};
pub use member::{join, serve as serve_worker};
pub use token::VARIABLE as TOKEN_VARIABLE;

/// A cluster that was reached.
pub struct Cluster {
    /// Asks it.
    pub client: Client,
    endpoint: Endpoint,
    renewing: Renewing,
    /// What the scheduler said at the first link.
    release: Arc<OnceLock<Release>>,
}

impl Cluster {
    /// Reaches the cluster of a context.
    ///
    /// # Errors
    /// Where there is no such context, or its cluster cannot be reached.
    pub async fn open(contexts: &Contexts, name: &str) -> anyhow::Result<Self> {
        let (description, credentials) = contexts.open(name)?;
        let endpoint = Endpoint::new(&credentials);
        let (dialled, addresses) = (endpoint.clone(), description.addresses);
        let release = Arc::<OnceLock<Release>>::default();
        let said = Arc::clone(&release);
        let client = Client::connect(move || {
            let (endpoint, addresses) = (dialled.clone(), addresses.clone());
            let said = Arc::clone(&said);
            async move {
                let link = endpoint.connect_client(&addresses).await?;
                said.get_or_init(|| link.peer.release());
                Ok(link)
            }
        });
        let client = client.await.with_context(|| format!("context {name:?}"))?;
        let folder = contexts.folder_of(name)?;
        let renewing = Renewing::start(name, folder, client.clone(), endpoint.clone());
        Ok(Self { client, endpoint, renewing, release })
    }

    /// The scheduler's release.
    pub fn release(&self) -> Release {
        self.release.get().cloned().unwrap_or_default()
    }

    /// Renews the certificate with which it is asked, at once.
    ///
    /// # Errors
    /// Where the cluster gives none.
    pub async fn renew(&self) -> anyhow::Result<()> {
        self.renewing.now().await
    }

    /// True where that certificate should be renewed.
    pub fn is_due(&self) -> bool {
        self.renewing.is_due()
    }

    /// Takes leave, so that the scheduler need not wait for a silence to mean it.
    pub async fn close(self) {
        self.renewing.end().await;
        self.client.shutdown().await;
        self.endpoint.close().await;
    }
}

/// Asks the cluster that the flags, the environment or the selected context name.
///
/// # Errors
/// A usage error where none is named; else where it cannot be reached, and as `ask` does.
pub async fn with<T>(
    args: &GridArgs,
    ask: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_cluster(args, async |cluster| ask(&cluster.client).await).await
}

/// As [`with`], for who needs more of it than its client.
///
/// # Errors
/// As [`with`].
pub async fn with_cluster<T>(
    args: &GridArgs,
    ask: impl AsyncFnOnce(&Cluster) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let contexts = Contexts::new(&Paths::find()?);
    let name = chosen(&contexts, args)?;
    let cluster = Cluster::open(&contexts, &name).await?;
    let answer = ask(&cluster).await;
    cluster.close().await;
    answer
}

/// As [`with`], for who needs the context's name too.
///
/// # Errors
/// As [`with`].
pub async fn with_context<T>(
    args: &GridArgs,
    ask: impl AsyncFnOnce(&str, &Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let contexts = Contexts::new(&Paths::find()?);
    let name = chosen(&contexts, args)?;
    let cluster = Cluster::open(&contexts, &name).await?;
    let answer = ask(&name, &cluster.client).await;
    cluster.close().await;
    answer
}

/// The context to ask.
///
/// # Errors
/// A usage error where none is named or selected.
fn chosen(contexts: &Contexts, args: &GridArgs) -> anyhow::Result<String> {
    contexts.choose(args)?.ok_or_else(|| {
        usage(
            "this command needs a cluster, and no context is selected; create a cluster with \
             `wasmgrid up`, or select a context with `wasmgrid context use NAME`",
        )
    })
}
