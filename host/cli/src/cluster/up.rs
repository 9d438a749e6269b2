//! `wasmgrid up`: a grid on this machine, with a worker and a context, and the command with which
//! other machines join. `wasmgrid server` is the same without the worker.

use std::{convert::Infallible, ops::RangeInclusive, time::Duration};

use anyhow::Context as _;
use wasmgrid_net::Role;
use wasmgrid_proto::{Millis, TokenGives, wire::TokenRequest};
use wasmgrid_worker::Worker;

use super::{
    folder::{self, Folder},
    gateway::Http,
    member,
    scheduler::{self, Scheduler},
};
use crate::{
    args::{Command, PrintArgs},
    config::GivenSettings,
    context::{Contexts, Description},
    escape::Lines,
    exit::{self, Exit, WithExit as _, usage},
    interrupt::Interrupt,
    metrics::Served,
    parts::{self, Cache, Machine, WorkerSetup},
    paths::Paths,
    print::{self, message},
    settings::Settings,
    table,
};

/// How long a printed token is good for, unless said otherwise.
const TOKEN_TTL: Millis = Millis(3_600_000);

/// The time between two looks at the certificate of this machine's context.
const LOOK_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Makes the grid or starts it again, and runs it until Ctrl-C: for `up` and `server`.
///
/// # Errors
/// Where the scheduler or the worker cannot be started, or fails.
pub async fn up(command: &Command, interrupt: &Interrupt) -> anyhow::Result<Exit> {
    let (print, is_up) = match command {
        Command::Up(args) => (args.token, true),
        Command::Server(args) => (args.token, false),
        _ => return Err(usage("this command does not create a grid")),
    };
    let (paths, told) = (Paths::find()?, GivenSettings::new(command)?);
    let contexts = Contexts::new(&paths);
    let (state_dir, name) = told.place()?;
    let place = state_dir.clone().map_or_else(|| folder::standard(&paths), Ok)?;
    let (settings, memory) = told.settle(Some(&place))?;
    let has_worker = is_up && !settings.no_worker.unwrap_or_default();
    if let Some(flag) = told.of_worker().filter(|_| !has_worker) {
        return Err(usage(format!(
            "--{flag} is a setting of workers, and this machine runs none; use --no-worker=false"
        )));
    }
    // Before there is a grid: one that was made on a machine that cannot run it helps nobody.
    let machine = match has_worker {
        true => Some(Machine::start_proven(setup(&settings, &paths)).await?),
        false => None,
    };
    let admission = scheduler::admission(&settings).await?;
    let selected = contexts.selected()?;
    let folder = Folder::open(place.clone(), name, &contexts)?;
    let mut scheduler = Scheduler::start(&settings, folder, &admission)?;
    let begun = async {
        let worker = machine.map(|machine| start_worker(&scheduler, machine)).transpose()?;
        let goes_to_it = own_context(&scheduler, &contexts, is_up).await?;
        let token = token(&scheduler, print, is_up).await?;
        let http = Http::beside(&scheduler, &settings).await?;
        memory.keep(&place)?;
        say(&scheduler, http.as_ref(), is_up, goes_to_it, token)?;
        Ok::<_, anyhow::Error>((worker, http))
    };
    let (worker, http, waited) = match begun.await {
        Ok((worker, http)) => {
            scheduler.keep();
            // Only now: of a grid that was not made there is nothing to be found.
            let found = state_dir.map_or(Ok(()), |_| folder::remember(&paths.server(), &place));
            if let Err(error) = found {
                tracing::warn!("later starts need --state-dir as well: {}", exit::chain(&error));
            }
            let waited = tokio::select! {
                waited = scheduler.wait(interrupt) => waited,
                never = keep_context(&scheduler, &contexts) => match never {},
                never = stands_by(worker.as_ref().map(|(worker, _)| worker)) => match never {},
            };
            (worker, http, waited)
        }
        Err(error) => {
            if scheduler.folder().is_new() {
                contexts.unmake(scheduler.grid(), selected.as_deref());
            }
            (None, None, Err(error))
        }
    };
    if let Some(http) = http {
        http.stop().await;
    }
    if let Some((worker, metrics)) = worker {
        if let Some(metrics) = metrics {
            metrics.stop().await;
        }
        worker.drain_and_stop().await;
    }
    let stopped = scheduler.server.shutdown().await.context("failed to stop the scheduler");
    waited.and(stopped).map(|()| Exit::Ok)
}

/// Says where this machine's worker gives up; the grid goes on without it.
async fn stands_by(worker: Option<&Worker>) -> Infallible {
    if let Some(worker) = worker
        && let Some(why) = member::over(worker).await
    {
        tracing::error!("{}; the grid continues without it", exit::chain(&why.into()));
    }
    std::future::pending().await
}

/// Makes the certificate of this machine's operator anew as time passes: nobody may use its context
/// for long.
async fn keep_context(scheduler: &Scheduler, contexts: &Contexts) -> Infallible {
    let grid = scheduler.grid();
    loop {
        // One that cannot be read was taken away, or whoever uses it is told.
        let own = contexts.open(grid).ok().filter(|(description, _)| {
            description.state_dir.as_deref() == Some(scheduler.folder().path())
        });
        let operator = own.map(|(_, credentials)| credentials);
        let operator = operator.filter(|one| one.identity().role() == Role::Operator);
        let left = operator.map(|one| one.validity().renew_at().since(table::now()).duration());
        if left == Some(Duration::ZERO) {
            let renewed = scheduler.operator().await;
            let kept = renewed.and_then(|new| contexts.renew(grid, &new));
            if let Err(error) = kept {
                let why = exit::chain(&error);
                tracing::warn!(why, "the certificate of this machine's context was not renewed");
            }
        }
        let (least, most) = (*LOOK_EVERY.start(), *LOOK_EVERY.end());
        tokio::time::sleep(left.unwrap_or(most).clamp(least, most)).await;
    }
}

fn start_worker(
    scheduler: &Scheduler,
    machine: Machine,
) -> anyhow::Result<(Worker, Option<Served>)> {
    let name = parts::machine_name();
    let dial = parts::worker_dial(scheduler.server.handle(), scheduler.grid(), &name)?;
    Ok(machine.work(dial))
}

/// Keeps the context of this machine's operator, and selects it: `up` each time, `server` where none
/// is selected. Whether `wasmgrid run` goes to the grid.
async fn own_context(
    scheduler: &Scheduler,
    contexts: &Contexts,
    is_up: bool,
) -> anyhow::Result<bool> {
    let (grid, folder) = (scheduler.grid(), scheduler.folder());
    if !contexts.is_free_for(grid, folder.path(), &folder.authority().ca_hash()) {
        message!(
            "the context {grid:?} belongs to another grid, so this grid gets no context on \
             this machine"
        );
        return Ok(false);
    }
    let description = Description {
        grid: grid.to_owned(),
        addresses: scheduler.reached.seen_here(),
        state_dir: Some(folder.path().to_owned()),
    };
    contexts.save(grid, &description, &scheduler.operator().await?)?;
    let selected = contexts.selected()?;
    if is_up || selected.is_none() {
        contexts.select(grid)?;
        return Ok(true);
    }
    Ok(selected.is_some_and(|selected| selected == grid))
}

/// A token that is printed, and for whom it is good.
struct Token {
    text: String,
    uses: u32,
    ttl: Millis,
}

/// The token to print, where one is: that was asked for, or of a grid that `up` has just made. What a
/// service prints is kept in logs, so `server` prints none by itself.
async fn token(
    scheduler: &Scheduler,
    asked: PrintArgs,
    is_up: bool,
) -> anyhow::Result<Option<Token>> {
    let PrintArgs { token_ttl, token_uses } = asked;
    let is_due = is_up && scheduler.folder().is_new();
    if !is_due && token_ttl.is_none() && token_uses.is_none() {
        return Ok(None);
    }
    let (ttl, uses) = (token_ttl.unwrap_or(TOKEN_TTL), token_uses.unwrap_or(1));
    let client = parts::client(scheduler.server.handle(), scheduler.grid()).await?;
    let request = TokenRequest { role: Role::Worker, ttl, uses };
    let text = client.create_token(request, TokenGives::default()).await?;
    client.shutdown().await;
    Ok(Some(Token { text, uses, ttl }))
}

/// Says how to go on.
fn say(
    scheduler: &Scheduler,
    http: Option<&Http>,
    is_up: bool,
    goes_to_it: bool,
    token: Option<Token>,
) -> anyhow::Result<()> {
    let (grid, reached) = (scheduler.grid(), &scheduler.reached);
    let command = if is_up { "up" } else { "server" };
    let mut said = Lines::default();
    said.push(format_args!("grid {grid} is up at {}", reached.addresses.join(", ")));
    if reached.is_here_alone {
        said.push(format_args!(
            "only this machine can reach it; start it with `wasmgrid {command} --listen 0.0.0.0` \
             to let other machines connect"
        ));
    }
    if let Some(http) = http {
        said.push(format_args!("it serves HTTP at {}", http.url()));
    }
    said.push(if goes_to_it {
        "`wasmgrid run` on this machine now uses it; `wasmgrid context use local` switches \
         back"
            .to_owned()
    } else {
        format!("`wasmgrid context use {grid}` makes `wasmgrid run` on this machine use it")
    });
    match &token {
        Some(Token { text, uses, ttl }) => {
            let (whom, there) = match (*uses, reached.is_here_alone) {
                (1, false) => ("one machine".into(), "there"),
                (uses, false) => (format!("up to {uses} machines"), "there"),
                (1, true) => ("one more worker of this machine".into(), "here"),
                (uses, true) => (format!("up to {uses} more workers of this machine"), "here"),
            };
            said.push(format_args!(
                "to add {whom} within {ttl}, run this {there}, and paste the token:"
            ));
            said.push("");
            said.push("  wasmgrid join --token-file -");
            said.push("");
            said.push(format_args!("  {text}"));
            said.push("");
        }
        None => said.push(
            "`wasmgrid token create` here makes a token, with which `wasmgrid join --token-file -` \
             adds a machine",
        ),
    }
    said.push("Ctrl-C stops the grid; its jobs and results are kept");
    // At once: a reader that takes the first line alone has not closed the output before the rest.
    let printed = print::lines(&said);
    if token.is_some() {
        printed
            .context("the token for joining machines could not be printed")
            .exit(Exit::Failed)?;
    }
    Ok(())
}

/// What this machine's worker is to be.
pub fn setup(settings: &Settings, paths: &Paths) -> WorkerSetup {
    WorkerSetup {
        settings: settings.clone(),
        cache: Cache::Needed(settings.cache_dir.clone().unwrap_or_else(|| paths.modules())),
    }
}
