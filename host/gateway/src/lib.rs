//! The HTTP interface of a grid. A gateway is a client of the grid and nothing else: it holds no state
//! that matters, so that any number of them beside each other behave as one.
//!
//! Whoever makes one says how it reaches its grid ([`Grid`]) and on which socket it serves
//! ([`Gateway::serve`]). This crate knows neither QUIC nor the scheduler, prints nothing, and reads no
//! configuration.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod access;
mod answer;
mod api;
mod app;
mod body;
mod bounds;
mod callers;
mod clients;
mod clock;
mod connections;
mod counted;
mod extract;
mod grid;
mod guard;
mod guarded;
mod hosts;
mod keys;
mod metrics;
mod openapi;
mod pages;
mod picture;
mod problem;
mod ready;
mod schemas;
mod serve;
mod site;
mod trace;
mod worker_metrics;

use std::sync::Arc;

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use grid::{ActFor, Asked, CheckedKey, Grid, KeyText, client_config};
pub use openapi::document;
pub use serve::{Handshake, Stream, Tls};
pub use site::Site;
pub use worker_metrics::{CountsToCome, WorkerSource, serve_worker_metrics};

use app::{App, State};

/// How a gateway behaves.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// The names by which it is known, without ports. It is known by its addresses, and on its own
    /// machine as `localhost`, in any case.
    pub hosts: Vec<String>,
    /// What its pages say.
    pub site: Site,
}

/// A gateway.
pub struct Gateway {
    state: App,
}

impl Gateway {
    /// Of a grid.
    #[must_use]
    pub fn new(config: GatewayConfig, grid: Arc<dyn Grid>) -> Self {
        Self { state: Arc::new(State::new(config.hosts, config.site, grid)) }
    }

    /// Serves on a socket until `stop`; open answers end then. With `tls` it is HTTPS.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Arc<dyn Tls>>,
        stop: CancellationToken,
    ) {
        let app = Arc::clone(&self.state);
        let watch = async {
            stop.cancelled().await;
            app.stop.cancel();
        };
        let served = serve::serve(self.router(), listener, tls, stop.clone());
        tokio::join!(watch, served);
    }

    fn router(&self) -> Router {
        let app = Arc::clone(&self.state);
        api::routes()
            .merge(pages::routes())
            .fallback(pages::nowhere)
            .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::protect))
            .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::count))
            .with_state(app)
    }
}
