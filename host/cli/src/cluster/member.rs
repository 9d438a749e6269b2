//! A machine as a worker of a grid: it joins once with a token, and afterwards comes back as who
//! it is.

use std::path::Path;

use anyhow::Context as _;
use wasmgrid_net::{
    Credentials, Endpoint, JoinToken, NetError, Role, enroll, enroll_again, enroll_by_key,
};
use wasmgrid_worker::{Dial, GaveUp, Keep, LinkState, Worker};

use super::{
    folder::lock,
    gateway,
    membership::{Belongs, Membership},
    token,
    up::setup,
};
use crate::{
    args::{Command, TokenSource},
    config::{GivenSettings, Memory},
    exit::{self, Exit, refused, usage},
    interrupt::Interrupt,
    notify,
    parts::{self, Machine},
    paths::Paths,
    table,
};

/// `wasmgrid join`: becomes a worker of the token's grid, and works until Ctrl-C. A machine that is
/// one already comes back as who it is. With a token for a gateway it becomes one, which serves later.
///
/// # Errors
/// Where the token is not whole, the grid cannot be reached or does not take it.
pub async fn join(
    command: &Command,
    source: &TokenSource,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let token = token::given(source)?;
    let (told, paths) = (GivenSettings::new(command)?, Paths::find()?);
    // Before the token is used: it may be good for one use alone.
    if token.role == Role::Gateway {
        return interrupt.ends(gateway::join(&paths, &token, told.place()?)).await;
    }
    if token.role != Role::Worker {
        return Err(refused(format!(
            "the token is for a {}; use it with `wasmgrid context add NAME TOKEN`",
            token.role
        )));
    }
    let (folder, name) = told.place()?;
    let before = match &folder {
        // Another worker of this folder would lose its identity to the new one.
        Some(folder) if folder.exists() => there(folder, &token).await?,
        Some(_) => None,
        None => Membership::of_grid(&paths, &token, name.as_deref()).await?,
    };
    let before = match before {
        Some(before) => returned(before, folder.as_deref(), &token).await?,
        None => None,
    };
    let at = before.as_ref().map(Membership::folder).or(folder.as_deref());
    let (settings, memory) = told.settle(at)?;
    let start = async || Machine::start_proven(setup(&settings, &paths)).await;
    let machine = start().await?;
    let (member, was_one) = match before {
        Some(before) => (again(before, &token).await?, true),
        None => {
            let wanted = name.unwrap_or_else(parts::machine_name);
            let credentials = enrolled(&token, &wanted).await?;
            (Membership::new(&paths, folder.as_deref(), &wanted, &token, credentials), false)
        }
    };
    member.save(&paths)?;
    match work(&member, machine, &memory, interrupt).await? {
        // Another machine has this identity, or an operator took it out of the grid.
        End::Refused(why) if was_one => {
            let why = exit::chain(&why.into());
            tracing::info!("{why}; this token would join the machine under another identity");
            let machine = start().await?;
            let credentials = enrolled(&token, member.name()).await?;
            let member = member.moved(&token).certified(credentials);
            member.save(&paths)?;
            work(&member, machine, &memory, interrupt).await?.exit()
        }
        end => end.exit(),
    }
}

/// What a token makes of this machine.
async fn enrolled(token: &JoinToken, wanted: &str) -> anyhow::Result<Credentials> {
    let credentials = enroll(token, wanted).await.map_err(unreached)?;
    tracing::info!(name = credentials.identity().name(), grid = token.grid, "joined the grid");
    Ok(credentials)
}

/// The worker of this grid in a folder that is there, if it has one.
async fn there(folder: &Path, token: &JoinToken) -> anyhow::Result<Option<(Membership, Belongs)>> {
    drop(lock(folder)?);
    let Ok(found) = Membership::load(folder) else { return Ok(None) };
    let belongs = found.belongs(token).await;
    if belongs != Belongs::No {
        return Ok(Some((found, belongs)));
    }
    Err(of_another_grid(&found))
}

fn of_another_grid(found: &Membership) -> anyhow::Error {
    usage(format!(
        "{} has the identity of worker {:?} of another grid, {:?}; choose another --state-dir",
        found.folder().display(),
        found.name(),
        found.grid()
    ))
}

/// Says what a worker is that runs on this machine, instead of which one would join.
fn runs(one: &Membership, belongs: Belongs) -> String {
    let (name, grid) = (one.name(), one.grid());
    match belongs {
        Belongs::Perhaps => format!(
            "it is worker {name:?} of a grid {grid:?} with another authority. If that is this grid, \
             whose authority was replaced, stop the worker and join again; if it is another grid of \
             that name, join with a --name of its own"
        ),
        _ => format!("this machine is worker {name:?} of that grid already"),
    }
}

/// A worker that has joined before: with the certificate that it has, as long as that is good, unless
/// the token gives it another one.
async fn again(before: Membership, token: &JoinToken) -> anyhow::Result<Membership> {
    let (name, grid) = (before.name().to_owned(), before.grid().to_owned());
    let is_good = before.credentials().validity().ends > table::now();
    let credentials = match enroll_again(token, before.credentials()).await {
        Ok(credentials) => credentials,
        Err(error) if is_good => {
            let why = exit::chain(&error.into());
            tracing::info!(
                name,
                grid,
                why,
                "this machine has joined before and is the same worker, with the labels that it had; \
                 the token is not used"
            );
            return Ok(before.moved(token));
        }
        Err(error) => return Err(unreached(error)),
    };
    let labels = credentials.labels();
    if !is_good {
        tracing::info!(name, grid, "joined again: the certificate had expired");
    } else if labels == before.credentials().labels() {
        tracing::info!(name, grid, "this machine has joined before and is the same worker");
    } else {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = labels.join(" ");
        tracing::info!(
            name,
            grid,
            labels,
            "this machine has joined before and is the same worker, with the labels of the token"
        );
    }
    Ok(before.moved(token).certified(credentials))
}

/// The worker that joins again, which does not run meanwhile. If its grid may be the token's, with an
/// authority that was replaced and retired, the scheduler is asked whether it knows its key; `None` if
/// it does not: the grid is another one of that name, or has forgotten it. In a `folder` that was named
/// nobody takes its place.
async fn returned(
    (before, belongs): (Membership, Belongs),
    folder: Option<&Path>,
    token: &JoinToken,
) -> anyhow::Result<Option<Membership>> {
    drop(lock(before.folder()).map_err(|error| exit::hinting(&error, runs(&before, belongs)))?);
    if belongs == Belongs::Yes {
        return Ok(Some(before));
    }
    let (name, grid) = (before.name().to_owned(), before.grid().to_owned());
    match enroll_by_key(token, before.credentials()).await {
        Ok(credentials) => {
            tracing::info!(
                name,
                grid,
                "joined again: the grid's authority was replaced, and the one that signed this \
                 worker's certificate retired"
            );
            Ok(Some(before.moved(token).certified(credentials)))
        }
        Err(NetError::Denied { .. }) if folder.is_some() => Err(of_another_grid(&before)),
        // If the token is no good, whoever uses it next is told so.
        Err(error @ NetError::Denied { .. }) => {
            let why = exit::chain(&error.into());
            tracing::warn!(
                name,
                grid,
                why,
                "this machine was a worker of a grid of that name, with another authority, and joins as \
                 another one; if it was this grid, `wasmgrid worker remove NAME` takes the old entry away"
            );
            Ok(None)
        }
        Err(error) => Err(unreached(error)),
    }
}

/// Says more of a scheduler that is said to be on this machine: its tokens are of no use elsewhere.
pub fn unreached(error: NetError) -> anyhow::Error {
    let is_here = |address: &str| {
        address.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
    };
    let is_silent =
        |one: &NetError| matches!(one, NetError::Unreachable { address, .. } if is_here(address));
    let is_here = error.each().iter().all(is_silent);
    let error = anyhow::Error::from(error);
    if !is_here {
        return error;
    }
    exit::hinting(
        &error,
        "the token belongs to a grid that only its own machine can reach; if that is another \
         machine, start the grid there \
         with `wasmgrid up --listen 0.0.0.0`, and make a token with `wasmgrid token create`",
    )
}

/// `wasmgrid worker`: comes back as the worker that joined before, and works until Ctrl-C.
///
/// # Errors
/// Where this machine has not joined, or the worker cannot be started.
pub async fn serve(command: &Command, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let (told, paths) = (GivenSettings::new(command)?, Paths::find()?);
    let (folder, name) = told.place()?;
    // One that has not joined needs no proof to be told so.
    let member = Membership::find(&paths, folder.as_deref(), name.as_deref())?;
    let (settings, memory) = told.settle(Some(member.folder()))?;
    let machine = Machine::start_proven(setup(&settings, &paths)).await?;
    work(&member, machine, &memory, interrupt).await?.exit()
}

/// How a worker ended.
enum End {
    /// As it was told to.
    Left,
    /// The scheduler has refused it before it was in the grid.
    Refused(GaveUp),
    /// It gave up on its scheduler.
    GaveUp(GaveUp),
}

impl End {
    fn exit(self) -> anyhow::Result<Exit> {
        match self {
            Self::Left => Ok(Exit::Ok),
            Self::Refused(why) | Self::GaveUp(why) => Err(why).context("the worker is stopping"),
        }
    }
}

async fn work(
    member: &Membership,
    machine: Machine,
    memory: &Memory,
    interrupt: &Interrupt,
) -> anyhow::Result<End> {
    let _lock = lock(member.folder())?;
    let endpoint = Endpoint::new(member.credentials());
    let kept = member.folder().to_owned();
    let renewed = Keep::new(move |credentials| credentials.save(&kept));
    let dial = Dial::Quic {
        endpoint: endpoint.clone(),
        addresses: member.addresses(),
        keep: Some(renewed),
    };
    let (worker, metrics) = machine.work(dial);
    let keep = || {
        if let Err(error) = memory.keep(member.folder()) {
            let error = exit::chain(&error);
            tracing::warn!("failed to save the flags for the next start: {error}");
        }
    };
    let ended = async {
        let joined = has_joined(&worker).await;
        // What the grid does not take is not kept.
        if joined {
            keep();
        }
        over(&worker).await.map(|why| match &why {
            GaveUp::Refused(_) if !joined => End::Refused(why),
            GaveUp::Unreachable(error) if !joined && is_refusal(error) => End::Refused(why),
            _ => End::GaveUp(why),
        })
    };
    let gave_up = tokio::select! {
        () = interrupt.asked() => {
            // It may have joined a moment ago.
            if matches!(*worker.status().borrow(), LinkState::Joined { .. }) {
                keep();
            }
            None
        }
        gave_up = ended => gave_up,
        never = notify::worker(member.grid(), worker.status()) => match never {},
    };
    notify::stopping().await;
    if let Some(metrics) = metrics {
        metrics.stop().await;
    }
    if let Some(end) = gave_up {
        worker.stop().await;
        endpoint.close().await;
        return Ok(end);
    }
    tracing::info!("leaving: running tasks are finished first; Ctrl-C again stops at once");
    worker.drain_and_stop().await;
    endpoint.close().await;
    Ok(End::Left)
}

/// Whether a scheduler does not accept the certificate.
fn is_refusal(error: &NetError) -> bool {
    matches!(error.telling(), NetError::Refused { .. })
}

/// Waits until a worker is in its grid, or never will be.
async fn has_joined(worker: &Worker) -> bool {
    let is_known = |state: &LinkState| !matches!(state, LinkState::Linking { .. });
    let mut status = worker.status();
    matches!(status.wait_for(is_known).await.as_deref(), Ok(LinkState::Joined { .. }))
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
