//! The scheduler of a grid on this machine: its authority, its durable state and its listener,
//! kept in one folder so that a second start goes on where the first stopped.

use std::{
    fs::{self, File, TryLockError},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use wasmgrid_client::ClientError;
use wasmgrid_net::{Authority, Credentials, Listener, ListenerConfig, Role};
use wasmgrid_proto::Resource;
use wasmgrid_server::{Enrollment, Server, ServerConfig};
use wasmgrid_store::SqliteStore;
use wasmgrid_worker::sandbox::{
    Caps, SandboxError,
    admission::{Admission, AdmissionConfig},
};

use crate::{
    args::CertificateLife,
    config::{self, LISTEN, ServerSettings},
    exit::{Exit, WithExit as _, usage},
    interrupt::Interrupt,
    module, notify, parts,
    paths::Paths,
    private,
    unable::unable_to,
};

/// A scheduler that runs in this process.
pub struct Scheduler {
    /// Drives the core.
    pub server: Server,
    /// The grid's name.
    pub grid: String,
    /// Where others reach it, `HOST:PORT` each.
    pub addresses: Vec<String>,
    _lock: File,
}

impl Scheduler {
    /// Starts it on what the state folder has; makes the grid where that is empty.
    ///
    /// # Errors
    /// Where another process has the folder, the address is taken, or the state is damaged.
    pub async fn start(settings: ServerSettings, paths: &Paths) -> anyhow::Result<Self> {
        let apart = admission(&settings).await?;
        let folder = settings.state_dir.unwrap_or_else(|| paths.server());
        let lock = lock(&folder)?;
        let authority = Arc::new(authority(&folder, settings.name)?);
        let grid = authority.grid().to_owned();
        let life = settings.certificate_life.map(CertificateLife::duration);
        let validity = life.unwrap_or(Authority::MEMBER_VALIDITY);
        let credentials = authority.issue(Role::Scheduler, parts::SCHEDULER, validity)?;
        let listen = settings.listen.unwrap_or(LISTEN);
        let listener = Listener::bind(listen, &credentials, ListenerConfig::default())
            .with_context(|| {
                format!("failed to listen on {listen}; --listen takes another address")
            })?;
        let addresses = advertised(settings.advertise, listener.local_addr())?;
        let store = SqliteStore::open(folder.join("grid.sqlite"))
            .with_context(|| format!("failed to open the grid's state in {}", folder.display()))?;
        let mut config = ServerConfig::new(grid.clone());
        let weights = settings.tenant_weights.into_iter();
        config.grid.tenant_weights = weights.map(|one| (one.name, one.weight)).collect();
        if let Some(bytes) = half_of_the_disk(&folder) {
            config.grid.quotas.insert(Resource::Bytes, bytes);
        }
        config.grid.keep_results = settings.keep.keep_results.or(config.grid.keep_results);
        config.grid.keep_jobs = settings.keep.keep_jobs.or(config.grid.keep_jobs);
        config.keep_bytes = settings.keep.keep_bytes;
        config.keep_open_bytes = settings.keep.keep_open_bytes;
        config.producer_grace = settings.producer_grace.unwrap_or(config.producer_grace);
        config.enrollment = Some(Enrollment { authority, addresses: addresses.clone(), validity });
        let server = Server::start(config, Box::new(store), module::admission_apart(&apart))
            .context("failed to start the scheduler")?;
        server.handle().serve(listener);
        tracing::info!(grid, ?addresses, state = %folder.display(), "the scheduler listens");
        Ok(Self { server, grid, addresses, _lock: lock })
    }

    /// Credentials of this machine's operator.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub async fn operator(&self) -> anyhow::Result<Credentials> {
        let issued = self.server.handle().issue(Role::Operator, &parts::machine_name()).await;
        issued.map_err(ClientError::Api).context("failed to make this machine's operator")
    }

    /// Waits for Ctrl-C or for the scheduler to fail; a service manager is told meanwhile.
    ///
    /// # Errors
    /// Where it failed, or the last commit does.
    pub async fn wait(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let status = format!("grid {} listens at {}", self.grid, self.addresses.join(", "));
        let waited = tokio::select! {
            () = interrupt.asked() => {
                tracing::info!("stopping; Ctrl-C again stops at once");
                Ok(())
            }
            error = self.server.failed() => Err(error).context("the scheduler failed"),
            never = notify::scheduler(status) => match never {},
        };
        notify::stopping().await;
        waited
    }
}

/// `wasmgrid server`: runs a scheduler until Ctrl-C.
///
/// # Errors
/// As [`Scheduler::start`] and [`Scheduler::wait`].
pub async fn serve(args: &crate::args::ServerArgs, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let settings = config::server(args)?;
    let scheduler = Scheduler::start(settings, &Paths::find()?).await?;
    let waited = scheduler.wait(interrupt).await;
    let stopped = scheduler.server.shutdown().await.context("failed to stop the scheduler");
    waited.and(stopped).map(|()| Exit::Ok)
}

/// What looks at modules, once its first process has said which jail it is in.
///
/// # Errors
/// Refuses a machine that cannot look at modules, or not in the jail that is required.
async fn admission(settings: &ServerSettings) -> anyhow::Result<Admission> {
    let config = AdmissionConfig {
        require_jail: settings.require_jail,
        ..AdmissionConfig::new(Caps::with(&settings.caps))
    };
    let proven = async {
        let admission = Admission::start(config)?;
        admission.proven().await?;
        Ok::<_, SandboxError>(admission)
    };
    proven.await.map_err(|why| unable_to("look at modules", &why.into()))
}

/// What one tenant may have of the disk unless an operator says otherwise: half of what the grid has
/// of it or could have, so that the others always find room. `None` where the system does not tell.
fn half_of_the_disk(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder);
    let disk = told.inspect_err(|error| {
        tracing::warn!(%error, "cannot tell how large the disk is: tenants may fill it");
    });
    let disk = disk.ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let files = ["grid.sqlite", "grid.sqlite-wal"].map(|name| folder.join(name));
    let taken = files.iter().filter_map(|path| fs::metadata(path).ok());
    Some(free.saturating_add(taken.map(|file| file.len()).sum()) / 2)
}

/// The grid's authority; made with the grid's name where there is none.
fn authority(folder: &Path, name: Option<String>) -> anyhow::Result<Authority> {
    let path = folder.join("ca");
    if !path.exists() {
        let name = name.unwrap_or_else(parts::machine_name);
        return Authority::create(&name, &path)
            .with_context(|| format!("failed to make the grid {name:?} in {}", folder.display()))
            .exit(Exit::Usage);
    }
    let authority = Authority::load(&path)
        .with_context(|| format!("failed to read the grid's authority in {}", path.display()))?;
    match name {
        Some(name) if name != authority.grid() => Err(usage(format!(
            "the grid in {} is called {:?}; a grid keeps its name, and another one needs another \
             --state-dir",
            folder.display(),
            authority.grid()
        ))),
        _ => Ok(authority),
    }
}

/// Takes a folder for this process alone, for as long as the file lives.
///
/// # Errors
/// A usage error where another process has it.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let path: PathBuf = folder.join("lock");
    let file = private::folder(folder)
        .and_then(|()| private::lock_file(&path))
        .with_context(|| format!("failed to use {}", folder.display()))
        .exit(Exit::Usage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(usage(format!(
            "another wasmgrid runs on {}; stop it, or choose another --state-dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}

/// Where others reach a listener: as the user says, else where it listens.
fn advertised(said: Vec<String>, listening: SocketAddr) -> anyhow::Result<Vec<String>> {
    for address in &said {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(usage(format!("{address:?} is no HOST:PORT to advertise")));
        }
    }
    if !said.is_empty() {
        return Ok(said);
    }
    let ip = if listening.ip().is_unspecified() { outward(listening.ip()) } else { listening.ip() };
    Ok(vec![SocketAddr::new(ip, listening.port()).to_string()])
}

/// This machine's address towards others: the one a packet to elsewhere would bear. None is sent.
fn outward(unspecified: IpAddr) -> IpAddr {
    // Addresses that are kept for documentation, so that nobody is ever meant.
    let (any, elsewhere, loopback): (SocketAddr, SocketAddr, IpAddr) = match unspecified {
        IpAddr::V4(any) => {
            ((any, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into(), Ipv4Addr::LOCALHOST.into())
        }
        IpAddr::V6(any) => (
            (any, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
            Ipv6Addr::LOCALHOST.into(),
        ),
    };
    let seen = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(elsewhere)?;
        socket.local_addr()
    });
    seen.map_or(loopback, |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_not_advertised_as_such() {
        let said = advertised(Vec::new(), "0.0.0.0:7433".parse().expect("an address"));
        let said = said.expect("found");
        assert!(said.len() == 1 && !said[0].starts_with("0.0.0.0"), "{said:?}");
        let said = advertised(Vec::new(), "127.0.0.1:9".parse().expect("an address"));
        assert_eq!(said.expect("found"), ["127.0.0.1:9"]);
    }

    #[test]
    fn what_the_user_advertises_is_checked_and_kept() {
        let listening = "127.0.0.1:9".parse().expect("an address");
        let said = advertised(vec!["grid.example:7433".into()], listening);
        assert_eq!(said.expect("fits"), ["grid.example:7433"]);
        assert!(advertised(vec!["grid.example".into()], listening).is_err());
    }

    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = lock(folder.path()).expect("free");
        let error = lock(folder.path()).expect_err("taken");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        drop(first);
        lock(folder.path()).expect("free again");
    }
}
