//! The `wasmgrid` command: CLI, scheduler and worker in one binary. Reads the command line, starts
//! the runtime, and turns the result into messages on stderr and an exit code.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod args;
mod cluster;
mod completion;
mod config;
mod context;
mod escape;
mod exit;
mod inspect;
mod interrupt;
mod local;
mod log;
mod man;
mod metrics;
mod module;
mod new;
mod notify;
mod parts;
mod paths;
mod print;
mod private;
#[cfg(test)]
mod reference;
mod run;
mod settings;
mod table;
mod top;
mod unable;
mod version;
mod words;

use std::{env, ffi::OsStr, num::NonZero, process::ExitCode, thread, time::Duration};

use anyhow::Context as _;
use tokio::runtime;
use wasmgrid_worker::sandbox;

use args::{Cli, Command, Talk, WorkerCommand};
use exit::Exit;
use interrupt::Interrupt;
use print::message;

/// For how long the end waits for threads that sit in a read of stdin or a file: they have nothing
/// left to do.
const LAST_READS: Duration = Duration::from_millis(100);

/// Threads beside the runtime's that read and write files; more are used where they can be had.
const READING_THREADS: usize = 2;

fn main() -> ExitCode {
    sandbox::give_memory_back();
    // These are other programs in the same file, which a worker or a scheduler starts: with neither
    // runtime nor logging nor flags of ours.
    match env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
        Some("runner") => return sandbox::runner_main(),
        Some("compiler") => return sandbox::compiler_main(),
        Some("admission") => return sandbox::admission_main(),
        _ => {}
    }
    wasmgrid_failpoints::start();
    print::watch_for_panics();
    let done = args::parse_from(env::args_os()).map_or_else(|said| print::parsed(&said), start);
    let exit = done.unwrap_or_else(|error| {
        if print::is_enough(&error) {
            return Exit::Ok;
        }
        message!("{}", exit::chain(&error));
        exit::of(&error)
    });
    print::finish();
    exit.into()
}

fn start(cli: Cli) -> anyhow::Result<Exit> {
    log::start(&cli.command, cli.talk)?;
    unable::check_threads(runtime_threads() + READING_THREADS, cli.command.runs_tasks())?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(runtime_threads())
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let done = runtime.block_on(dispatch(cli.command, cli.talk));
    runtime.shutdown_timeout(LAST_READS);
    done
}

/// Half of the cores: what a grid's parts say to each other is little work in many steps, and each
/// step that goes from one thread to another costs more than the work. Measured on two cores: 15.5 µs
/// of all parts' time a task with two threads, 12.9 µs with one.
fn runtime_threads() -> usize {
    (thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

async fn dispatch(command: Command, talk: Talk) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::watch().context("failed to listen for signals")?;
    let until = &interrupt;
    match command {
        Command::Run(args) => run::run(*args, talk, until).await,
        Command::Up(_) | Command::Server(_) => cluster::up::up(&command, until).await,
        Command::Gateway(args) => cluster::gateway::gateway(&args, until).await,
        Command::Join(ref args) => cluster::join(&command, &args.token, until).await,
        Command::Worker(WorkerCommand { noun: None, .. }) => {
            cluster::serve_worker(&command, until).await
        }
        Command::Worker(WorkerCommand { noun: Some(noun), .. }) => {
            until.ends(cluster::worker::worker(noun)).await
        }
        Command::Submit(args) => until.ends(run::submit(*args, talk)).await,
        Command::Job(command) => cluster::job::job(command, talk, until).await,
        Command::Status(args) => until.ends(cluster::status::status(args)).await,
        Command::Top(args) => top::top(args, until).await,
        Command::Token(command) => until.ends(cluster::token::token(command)).await,
        Command::Client(command) => until.ends(cluster::client::client(command)).await,
        Command::Key(command) => until.ends(cluster::key::key(command)).await,
        Command::Ui(args) => until.ends(cluster::ui::ui(args)).await,
        Command::Audit(args) => until.ends(cluster::audit::audit(args)).await,
        Command::Function(command) => until.ends(cluster::function::function(command, talk)).await,
        Command::Module(command) => until.ends(cluster::module::module(command)).await,
        Command::Tenant(command) => until.ends(cluster::tenant::tenant(command)).await,
        Command::Authority(command) => until.ends(cluster::authority::authority(command)).await,
        Command::Context(command) => until.ends(cluster::context::context(command)).await,
        Command::New(args) => new::new(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Completion(args) => completion::completion(&args),
        Command::Man(args) => man::man(&args),
    }
}
