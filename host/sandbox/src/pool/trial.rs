//! The proof that tasks can be run here: a task that does nothing, compiled and run by the same
//! processes as any other.

use std::time::Duration;

use tokio::time::timeout;
use wasmgrid_proto::{InputBlock, JobId, LeaseId, Outcome, TaskSpec, WorkerId};

use super::launch::Runner;
use crate::{
    Prepared, SandboxError,
    compile::Compiler,
    program,
    runner::message::{FromRunner, RunBatch, ToRunner},
};

/// A preview 1 command: a memory of one page, and a `_start` that returns. Its last section is a name,
/// so that it is nobody else's module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\
    \x0a\x04\x01\x02\0\x0b\
    \0\x09\x08wasmgrid";

/// For a task that takes microseconds, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows that `runner` and the compilers do their work; the module is compiled `anew`, or taken
/// from where compiled code is kept.
///
/// # Errors
/// What this machine lacks.
pub(super) async fn pass(
    runner: &mut Runner,
    compiler: &Compiler,
    anew: bool,
) -> Result<(), SandboxError> {
    let (prepared, ready) = tokio::join!(compiler.trial(MODULE, anew), runner.ready());
    // Where neither can be had the runner is what is told, whichever ended first.
    ready?;
    match prepared? {
        Some(prepared) => run(runner, &prepared).await,
        None => Ok(()),
    }
}

async fn run(runner: &mut Runner, prepared: &Prepared) -> Result<(), SandboxError> {
    let spec = TaskSpec::new(prepared.digest(), prepared.kind()).into();
    // The numbers of batches that slots send begin at 1.
    let run = ToRunner::Run(Box::new(RunBatch {
        batch: 0,
        job: JobId(0),
        lease: LeaseId(0),
        attempt: 1,
        worker: WorkerId(0),
        spec,
        first: 0,
        inputs: InputBlock::Packed(vec![0]),
    }));
    let answered = timeout(PATIENCE, async {
        // Where it does not listen any more, it does not answer either.
        let _ = runner.send_with(run.into(), &[prepared.code()]).await;
        loop {
            match runner.receive().await {
                Ok(Some(envelope)) => {
                    if let FromRunner::Results(mut results) = envelope.message {
                        return results.block.results.pop().map(|result| result.outcome);
                    }
                }
                Ok(None) | Err(_) => return None,
            }
        }
    });
    match answered.await {
        Ok(Some(Outcome::Ok)) => Ok(()),
        Ok(Some(outcome)) => Err(SandboxError::Trial { outcome }),
        Ok(None) => Err(runner.unfit().await),
        Err(_) => {
            runner.kill();
            let reason = format!("it did not run a task that does nothing within {PATIENCE:?}");
            Err(SandboxError::Child { role: program::RUNNER, reason })
        }
    }
}
