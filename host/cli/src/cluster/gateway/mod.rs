//! A grid's HTTP interface: beside the scheduler in the process of `up` and `server`, and alone as
//! `wasmgrid gateway`.

mod joined;
mod reach;
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgrid_gateway::{Gateway, GatewayConfig, Grid, Site, Tls};
use wasmgrid_net::{Authority, Endpoint};

use super::{renewal::Renewing, scheduler::Scheduler};
use crate::{
    args::{GatewayArgs, HttpListen},
    exit::{Exit, usage},
    interrupt::Interrupt,
    notify, parts,
    paths::Paths,
    print::data,
    settings::Settings,
};

use joined::Joined;
use reach::{InProcess, OverQuic};

pub use joined::join;
use tls::Https;

/// An HTTP interface that is served.
pub struct Http {
    address: SocketAddr,
    is_https: bool,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Http {
    /// That of a scheduler in this process; `None` if it is off.
    ///
    /// # Errors
    /// If the address cannot be had, or may not be used so.
    pub async fn beside(
        scheduler: &Scheduler,
        settings: &Settings,
    ) -> anyhow::Result<Option<Self>> {
        let addresses = &scheduler.reached.addresses;
        let names = addresses.iter().filter_map(|address| host(address)).map(str::to_owned);
        let authority = Arc::clone(scheduler.folder().authority());
        let grid = InProcess::new(scheduler)?;
        let site = Site { grid: scheduler.grid().into(), ..Site::default() };
        Self::start(settings, Arc::new(grid), site, names.collect(), Some(authority)).await
    }

    /// Serves a grid, known by these names.
    async fn start(
        settings: &Settings,
        grid: Arc<dyn Grid>,
        site: Site,
        mut names: Vec<String>,
        authority: Option<Arc<Authority>>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(listener) = listen(settings.http).await? else { return Ok(None) };
        let address = listener.local_addr().context("failed to read the address of HTTP")?;
        names.extend(settings.http_hosts.iter().cloned());
        names.push(parts::machine_name());
        let tls = tls(settings, address, &names, authority)?;
        let is_https = tls.is_some();
        let is_plain = !is_https && address.ip().is_loopback();
        let site = Site { base: url(address, is_https), is_plain, ..site };
        let gateway = Gateway::new(GatewayConfig { hosts: names, site }, grid);
        let stop = CancellationToken::new();
        let until = stop.clone();
        let serving = tokio::spawn(async move { gateway.serve(listener, tls, until).await });
        let _stop_on_drop = stop.clone().drop_guard();
        tracing::info!(%address, is_https, "HTTP is served");
        Ok(Some(Self { address, is_https, serving, stop, _stop_on_drop }))
    }

    /// Where it is, for people and programs on this machine.
    pub fn url(&self) -> String {
        url(self.address, self.is_https)
    }

    /// Ends it: open answers end first.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.serving.await {
            tracing::warn!(%error, "HTTP ended early");
        }
    }

    /// Resolves if it ends by itself, which it does not.
    async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.serving).await {
            Ok(()) => anyhow::anyhow!("HTTP is served no more"),
            Err(error) => anyhow::Error::from(error).context("HTTP is served no more"),
        }
    }
}

/// Where an address is, for who is on this machine.
fn url(mut address: SocketAddr, is_https: bool) -> String {
    let scheme = if is_https { "https" } else { "http" };
    if address.ip().is_unspecified() {
        let loopback = |ip: IpAddr| if ip.is_ipv4() { "127.0.0.1" } else { "::1" };
        address.set_ip(loopback(address.ip()).parse().unwrap_or(address.ip()));
    }
    format!("{scheme}://{address}")
}

/// Serves a grid's HTTP interface on this machine, until Ctrl-C.
///
/// # Errors
/// If the grid cannot be reached at the start, or the address cannot be had.
pub async fn gateway(args: &GatewayArgs, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    if args.settings.http == Some(HttpListen::Off) {
        return Err(usage("a gateway serves HTTP; give it an address with --http"));
    }
    let joined = Joined::find(&Paths::find()?, args.name.as_deref(), args.state_dir.as_deref())?;
    let endpoint = Endpoint::new(&joined.credentials);
    let scheduler = joined.addresses.join(", ");
    let grid = OverQuic::new(endpoint.clone(), joined.addresses);
    let own = tokio::select! {
        own = grid.own() => own.context("failed to reach the grid")?,
        () = interrupt.asked() => return Ok(Exit::Interrupted),
    };
    let identity = joined.credentials.identity();
    let (name, grid_name) = (identity.name().to_owned(), identity.grid().to_owned());
    let renewing = Renewing::start(&name, joined.folder, own.clone(), endpoint.clone());
    let site = Site { grid: grid_name.clone(), scheduler, ..Site::default() };
    let http = Http::start(&args.settings, Arc::new(grid), site, Vec::new(), None).await?;
    let mut http = http.with_context(|| {
        format!(
            "failed to serve HTTP on {}; choose another address with --http",
            HttpListen::default()
        )
    })?;
    let url = http.url();
    data!("HTTP for the grid {grid_name} is served at {url}")?;
    let waited = tokio::select! {
        () = interrupt.asked() => Ok(()),
        error = http.ended() => Err(error),
        never = notify::serves(format!("HTTP for {grid_name} at {url}")) => match never {},
    };
    notify::stopping().await;
    if waited.is_ok() {
        http.stop().await;
    }
    renewing.end().await;
    own.shutdown().await;
    endpoint.close().await;
    waited.map(|()| Exit::Ok)
}

/// The socket; `None` if there is to be none, or if nobody chose the address and it is taken.
async fn listen(http: Option<HttpListen>) -> anyhow::Result<Option<TcpListener>> {
    let HttpListen::At(address) = http.unwrap_or_default() else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if http.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(
                "{address} is in use, so HTTP is not served; choose another address with --http"
            );
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| {
            format!("failed to serve HTTP on {address}; choose another address with --http")
        }),
    }
}

/// How connections are protected; refuses an address that others reach without that.
fn tls(
    settings: &Settings,
    address: SocketAddr,
    names: &[String],
    authority: Option<Arc<Authority>>,
) -> anyhow::Result<Option<Arc<dyn Tls>>> {
    let plain = settings.http_plain.unwrap_or_default();
    let https = match (&settings.http_cert, &settings.http_key) {
        (Some(_), Some(_)) if plain => {
            return Err(usage("--http-plain and --http-cert exclude each other; leave one out"));
        }
        (Some(certificate), Some(key)) => Some(Https::from_files(certificate, key)?),
        (None, None) if address.ip().is_loopback() => None,
        (None, None) if plain => {
            tracing::warn!(
                "HTTP is served without TLS at {address}: only a proxy that ends TLS may reach it"
            );
            None
        }
        (None, None) => match authority {
            Some(authority) => {
                let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
                Some(Https::of_authority(authority, names.iter().cloned().chain(own).collect())?)
            }
            None => {
                return Err(usage(format!(
                    "other machines can reach {address}, where HTTP needs TLS; give a certificate \
                     with --http-cert and --http-key, or use --http-plain behind a proxy that ends TLS"
                )));
            }
        },
        _ => return Err(usage("--http-cert and --http-key are given together")),
    };
    Ok(https.map(|https| Arc::new(https) as Arc<dyn Tls>))
}

/// The host of `HOST:PORT`; none of a service, whose hosts DNS knows.
fn host(address: &str) -> Option<&str> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    (host != "srv").then(|| host.trim_start_matches('[').trim_end_matches(']'))
}
