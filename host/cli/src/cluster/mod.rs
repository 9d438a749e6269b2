//! The commands that make, run and ask clusters.

pub mod context;
pub mod job;
mod member;
mod scheduler;
pub mod token;
pub mod up;
pub mod view;
pub mod worker;

use wasmgrid_client::Client;
use wasmgrid_net::Endpoint;

use crate::{args::GridArgs, context::Contexts, exit::usage, paths::Paths};

pub use member::{join, serve as serve_worker};
pub use scheduler::serve as serve_scheduler;

/// Reaches the cluster that the flags, the environment or the selected context name.
///
/// # Errors
/// A usage error where none is named; else where it cannot be reached.
pub async fn connect(args: &GridArgs) -> anyhow::Result<Client> {
    let contexts = Contexts::new(&Paths::find()?);
    let name = contexts.choose(args)?.ok_or_else(|| {
        usage(
            "this asks a cluster, and no context is selected; `wasmgrid up` makes a cluster and \
             its context, `wasmgrid context use NAME` selects one",
        )
    })?;
    dial(&contexts, &name).await
}

/// Reaches the cluster of a context.
///
/// # Errors
/// Where there is no such context, or its cluster cannot be reached.
pub async fn dial(contexts: &Contexts, name: &str) -> anyhow::Result<Client> {
    let (description, credentials) = contexts.open(name)?;
    let endpoint = Endpoint::new(&credentials)?;
    let addresses = description.addresses;
    let client = Client::connect(move || {
        let (endpoint, addresses) = (endpoint.clone(), addresses.clone());
        async move { endpoint.connect_client(&addresses).await }
    });
    client.await.map_err(|error| anyhow::Error::from(error).context(format!("context {name:?}")))
}
