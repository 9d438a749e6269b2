//! A machine as a worker of a grid: it joins once with a token, and afterwards comes back as who
//! it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use wasmgrid_net::{Credentials, Endpoint, JoinToken, Role, enroll, enroll_again};
use wasmgrid_worker::{Dial, GaveUp, Keep, LinkState, Worker};

use super::{scheduler::lock, token};
use crate::{
    args::{JoinArgs, WorkerArgs},
    config,
    exit::{Exit, WithExit as _, refused, usage},
    interrupt::Interrupt,
    notify,
    parts::{self, Machine, WorkerSetup},
    paths::Paths,
    private, table,
};

const DESCRIPTION: &str = "worker.toml";

/// Where a worker's grid is, as it stands in a file beside its credentials.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    grid: String,
    addresses: Vec<String>,
}

/// `wasmgrid join`: becomes a worker of the token's grid, and works until Ctrl-C.
///
/// # Errors
/// Where the token is not whole, the grid cannot be reached or does not take it.
pub async fn join(args: JoinArgs, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let token = token::given(&args.token)?;
    let settings = config::worker(&args.worker, None)?;
    let paths = Paths::find()?;
    // Before the token is used: it may be good for one use alone.
    if token.role != Role::Worker {
        return Err(refused(format!(
            "the token is for a {}: `wasmgrid context add NAME TOKEN` takes it",
            token.role
        )));
    }
    // Another worker of this folder would lose its identity to the new one.
    let taken = settings.state_dir.as_deref().map(lock).transpose()?;
    let machine = Machine::start_proven(setup(&settings, &paths)).await?;
    let wanted = settings.name.clone().unwrap_or_else(parts::machine_name);
    let before = settings.state_dir.clone().unwrap_or_else(|| paths.workers().join(&wanted));
    let credentials = match lapsed(&before, &token) {
        Some(before) => enroll_again(&token, &before).await?,
        None => enroll(&token, &wanted).await?,
    };
    let identity = credentials.identity();
    let folder =
        settings.state_dir.clone().unwrap_or_else(|| paths.workers().join(identity.name()));
    let membership = Membership { grid: token.grid, addresses: token.addresses };
    save(&folder, &membership, &credentials)
        .with_context(|| format!("failed to keep the worker's identity in {}", folder.display()))?;
    tracing::info!(name = identity.name(), grid = membership.grid, "joined the grid");
    drop(taken);
    work(&folder, machine, interrupt).await
}

/// The identity in a folder that is of the token's grid and good no more, since its certificate has
/// ended or its authority was replaced: it is had again.
fn lapsed(folder: &Path, token: &JoinToken) -> Option<Credentials> {
    let (_, before) = load(folder).ok()?;
    let has_lapsed = before.validity().ends <= table::now() || before.ca_hash() != token.ca_hash;
    (has_lapsed && before.identity().grid() == token.grid).then_some(before)
}

/// `wasmgrid worker`: comes back as the worker that joined before, and works until Ctrl-C.
///
/// # Errors
/// Where this machine has not joined, or the worker cannot be started.
pub async fn serve(
    args: &WorkerArgs,
    config: Option<&Path>,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let settings = config::worker(args, config)?;
    let paths = Paths::find()?;
    let folder = match (&settings.state_dir, &settings.name) {
        (Some(folder), _) => folder.clone(),
        (None, Some(name)) => paths.workers().join(name),
        (None, None) => only_one(&paths.workers())?,
    };
    // One that has not joined needs no proof to be told so.
    load(&folder)?;
    let machine = Machine::start_proven(setup(&settings, &paths)).await?;
    work(&folder, machine, interrupt).await
}

async fn work(folder: &Path, machine: Machine, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let (membership, credentials) = load(folder)?;
    let _lock = lock(folder)?;
    let endpoint = Endpoint::new(&credentials);
    let kept = folder.to_owned();
    let keep = Keep::new(move |credentials| credentials.save(&kept));
    let dial = Dial::Quic {
        endpoint: endpoint.clone(),
        addresses: membership.addresses,
        keep: Some(keep),
    };
    let worker = machine.work(dial);
    let gave_up = tokio::select! {
        () = interrupt.asked() => None,
        gave_up = over(&worker) => gave_up,
        never = notify::worker(&membership.grid, worker.status()) => match never {},
    };
    notify::stopping().await;
    if let Some(why) = gave_up {
        worker.stop().await;
        endpoint.close().await;
        return Err(why).context("the worker ends").exit(Exit::Unreachable);
    }
    tracing::info!("leaving: running tasks are finished first; Ctrl-C again stops at once");
    worker.drain_and_stop().await;
    endpoint.close().await;
    Ok(Exit::Ok)
}

/// Waits until a worker ends by itself; why, where it gave up on its scheduler.
pub async fn over(worker: &Worker) -> Option<GaveUp> {
    let is_over = |state: &LinkState| matches!(state, LinkState::GaveUp { .. } | LinkState::Ended);
    let mut status = worker.status();
    // Where nobody says how it stands any more it has ended.
    match status.wait_for(is_over).await.as_deref() {
        Ok(LinkState::GaveUp { why }) => Some(why.clone()),
        _ => None,
    }
}

/// What the worker's sandbox is to be.
fn setup(settings: &WorkerArgs, paths: &Paths) -> WorkerSetup {
    WorkerSetup {
        slots: settings.slots,
        memory: settings.memory,
        labels: settings.labels.clone(),
        isolation: settings.isolation.unwrap_or_default(),
        allow_dirs: settings.allow_dirs.clone(),
        max: settings.max.clone(),
        sandbox: settings.sandbox.clone(),
        cache_dir: settings.cache_dir.clone().unwrap_or_else(|| paths.modules()),
        caps: settings.caps.caps(),
    }
}

fn save(folder: &Path, membership: &Membership, credentials: &Credentials) -> anyhow::Result<()> {
    private::folder(folder)?;
    credentials.save(folder)?;
    Ok(private::write(&folder.join(DESCRIPTION), &toml::to_string(membership)?)?)
}

fn load(folder: &Path) -> anyhow::Result<(Membership, Credentials)> {
    let path = folder.join(DESCRIPTION);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_joined(folder),
        _ => usage(format!("failed to read {}: {error}", path.display())),
    })?;
    let membership =
        toml::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
    let credentials = Credentials::load(folder)
        .with_context(|| format!("failed to read the worker's identity in {}", folder.display()))?;
    Ok((membership, credentials))
}

/// The folder of the one worker that joined from this machine.
fn only_one(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder).map_err(|_| not_joined(folder))?;
    let mut workers: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    workers.sort_unstable();
    match workers.as_slice() {
        [] => Err(not_joined(folder)),
        [one] => Ok(one.clone()),
        several => {
            let names = several.iter().filter_map(|path| path.file_name()?.to_str());
            Err(usage(format!(
                "several workers joined from this machine; say which by --name: {}",
                names.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

fn not_joined(folder: &Path) -> anyhow::Error {
    usage(format!(
        "no worker has joined a grid with its identity in {}; `wasmgrid join TOKEN` does, with a \
         token of `wasmgrid up` or `wasmgrid token create`",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_worker_of_a_machine_needs_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = only_one(folder.path()).expect_err("none");
        assert!(none.to_string().contains("wasmgrid join"), "{none}");
        fs::create_dir(folder.path().join("a")).expect("made");
        assert_eq!(only_one(folder.path()).expect("one"), folder.path().join("a"));
        fs::create_dir(folder.path().join("b")).expect("made");
        let several = only_one(folder.path()).expect_err("two");
        assert!(several.to_string().contains("a, b"), "{several}");
    }
}
