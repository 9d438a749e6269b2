//! The scheduler of a grid on this machine: its authority, its durable state and its listener,
//! kept in one folder so that a second start goes on where the first stopped.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustix::fs::StatVfs;
use wasmgrid_client::ClientError;
use wasmgrid_net::{Authority, Credentials, Listener, ListenerConfig, Role};
use wasmgrid_proto::{ByteCount, Resource};
use wasmgrid_server::{Enrollment, Server, ServerConfig, Space};
use wasmgrid_store::SqliteStore;
use wasmgrid_worker::sandbox::{
    Caps, SandboxError,
    admission::{Admission, AdmissionConfig},
};

use super::{
    addresses::Reached,
    folder::{Folder, STORE, store_files},
};
use crate::{
    args::CertificateLife, interrupt::Interrupt, module, notify, parts, settings::Settings,
    unable::unable_to,
};

/// The most that is reserved of the disk unless an operator says otherwise: more than results that
/// are under way take in most grids.
const RESERVE_MAX: u64 = 1 << 30;

/// A scheduler that runs in this process.
pub struct Scheduler {
    /// Drives the core.
    pub server: Server,
    /// Where it is reached.
    pub reached: Reached,
    folder: Folder,
}

impl Scheduler {
    /// Starts it on what the state folder has; makes the grid where that is empty, once all that can
    /// be checked before is.
    ///
    /// # Errors
    /// Where the address is taken, or the state is damaged.
    pub fn start(
        settings: &Settings,
        folder: Folder,
        admission: &Admission,
    ) -> anyhow::Result<Self> {
        let authority = folder.authority();
        let life = settings.certificate_life.map(CertificateLife::duration);
        let validity = life.unwrap_or(Authority::MEMBER_VALIDITY);
        let credentials = authority.issue(Role::Scheduler, parts::SCHEDULER, validity)?;
        let listen = settings.listen.unwrap_or_default();
        let listener = Listener::bind(listen.0, &credentials, ListenerConfig::default())
            .with_context(|| {
                format!("failed to listen on {listen}; choose another address with --listen")
            })?;
        let (at, told) = (listener.local_addr(), &settings.advertise);
        if at.ip().is_loopback() && !told.is_empty() {
            tracing::warn!(
                "{} is advertised, but the grid listens at {at}, which only this machine can \
                 reach; use --listen 0.0.0.0",
                told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            );
        }
        let reached = Reached::new(told, at);
        let store = SqliteStore::open(folder.path().join(STORE)).with_context(|| {
            format!("failed to open the grid's state in {}", folder.path().display())
        })?;
        folder.make()?;
        let config = config(settings, &folder, &reached, validity);
        let server = Server::start(config, Box::new(store), module::admission_apart(admission))
            .context("failed to start the scheduler")?;
        server.handle().serve(listener);
        let (grid, state) = (folder.grid(), folder.path().display());
        tracing::info!(grid, addresses = ?reached.addresses, %state, "the scheduler listens");
        Ok(Self { server, reached, folder })
    }

    /// The grid's name.
    pub fn grid(&self) -> &str {
        self.folder.grid()
    }

    /// The folder with its state.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A grid that was made by this start stays.
    pub fn keep(&mut self) {
        self.folder.keep();
    }

    /// Credentials of this machine's operator.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub async fn operator(&self) -> anyhow::Result<Credentials> {
        let issued = self.server.handle().issue(Role::Operator, &parts::machine_name()).await;
        issued.map_err(ClientError::Api).context("failed to create this machine's operator")
    }

    /// Waits for Ctrl-C or for the scheduler to fail; a service manager is told meanwhile.
    ///
    /// # Errors
    /// Where it failed, or the last commit does.
    pub async fn wait(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let addresses = self.reached.addresses.join(", ");
        let status = format!("grid {} listens at {addresses}", self.grid());
        let waited = tokio::select! {
            () = interrupt.asked() => {
                tracing::info!("stopping; Ctrl-C again stops at once");
                Ok(())
            }
            error = self.server.failed() => Err(error).context("the scheduler failed"),
            never = notify::serves(status) => match never {},
        };
        notify::stopping().await;
        waited
    }
}

fn config(
    settings: &Settings,
    folder: &Folder,
    reached: &Reached,
    validity: Duration,
) -> ServerConfig {
    let mut config = ServerConfig::new(folder.grid().to_owned());
    let weights = settings.tenant_weights.iter();
    config.grid.tenant_weights = weights.map(|one| (one.name.clone(), one.weight)).collect();
    match rustix::fs::statvfs(folder.path()) {
        Ok(disk) => {
            config.grid.quotas.insert(Resource::Bytes, half_of_the_disk(folder.path(), &disk));
            config.space = Some(space(folder.path(), settings.disk_reserve, &disk));
        }
        Err(error) => {
            tracing::warn!(%error, "failed to read the size of the disk: tenants can fill it");
        }
    }
    config.grid.keep_results = settings.keep_results.or(config.grid.keep_results);
    config.grid.keep_inputs = settings.keep_inputs.map_or(config.grid.keep_inputs, |most| most.0);
    config.grid.keep_jobs = settings.keep_jobs.or(config.grid.keep_jobs);
    config.keep_bytes = settings.keep_bytes;
    config.keep_open_bytes = settings.keep_open_bytes;
    config.audit_retention = settings.audit_retention.unwrap_or(config.audit_retention);
    config.producer_grace = settings.producer_grace.unwrap_or(config.producer_grace);
    config.enrollment = Some(Enrollment {
        authority: Arc::clone(folder.authority()),
        addresses: reached.addresses.clone(),
        validity,
    });
    config
}

/// What looks at modules, once its first process has said which jail it is in.
///
/// # Errors
/// Refuses a machine that cannot look at modules, or not in the jail that is required.
pub async fn admission(settings: &Settings) -> anyhow::Result<Admission> {
    let config = AdmissionConfig {
        require_jail: settings.require_jail.unwrap_or_default(),
        ..AdmissionConfig::new(Caps::with(&settings.caps))
    };
    let proven = async {
        let admission = Admission::start(config).await?;
        admission.proven().await?;
        Ok::<_, SandboxError>(admission)
    };
    proven.await.map_err(|why| unable_to("look at modules", &why.into()))
}

/// What one tenant may have of the disk unless an operator says otherwise: half of what the grid has
/// of it or could have, so that the others always find room.
fn half_of_the_disk(folder: &Path, disk: &StatVfs) -> u64 {
    let free = free(disk);
    let taken = store_files(folder).into_iter().filter_map(|path| fs::metadata(path).ok());
    free.saturating_add(taken.map(|file| file.len()).sum()) / 2
}

/// The space on the disk, and how much of it is for work in progress alone.
fn space(folder: &Path, reserve: Option<ByteCount>, disk: &StatVfs) -> Space {
    let size = disk.f_blocks.saturating_mul(disk.f_frsize);
    let reserve = reserve.unwrap_or(ByteCount((size / 10).min(RESERVE_MAX)));
    let folder = folder.to_path_buf();
    Space { reserve, free: Arc::new(move || Ok(free(&rustix::fs::statvfs(&folder)?))) }
}

/// What the system gives to programs that are not root.
const fn free(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}
