//! What all requests share: caches and bounds, and how the grid is reached. It knows no request.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    bounds::Bounds, callers::Callers, clients::Clients, grid::Grid, hosts::Hosts, keys::Keys,
    metrics::HttpMetrics, ready::Ready, site::Site,
};

/// What all requests share.
pub struct State {
    /// How the grid is reached.
    pub grid: Arc<dyn Grid>,
    /// What pages say of the grid and the gateway.
    pub site: Site,
    /// By which names the gateway is known.
    pub hosts: Hosts,
    /// Which keys are good.
    pub keys: Keys,
    /// The clients of the grid.
    pub clients: Clients,
    /// Who calls functions.
    pub callers: Callers,
    /// What is open and held.
    pub bounds: Arc<Bounds>,
    /// What was counted.
    pub metrics: HttpMetrics,
    /// Whether the grid answers.
    pub ready: Ready,
    /// Ends all streams.
    pub stop: CancellationToken,
}

/// The same, as every handler has it.
pub type App = Arc<State>;

impl State {
    /// Of a gateway that is known by these names.
    pub fn new(hosts: Vec<String>, site: Site, grid: Arc<dyn Grid>) -> Self {
        Self {
            grid,
            site,
            hosts: Hosts::new(hosts),
            keys: Keys::default(),
            clients: Clients::default(),
            callers: Callers::default(),
            bounds: Arc::default(),
            metrics: HttpMetrics::default(),
            ready: Ready::default(),
            stop: CancellationToken::new(),
        }
    }
}
