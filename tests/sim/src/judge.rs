//! The last word: what clients have in the end, against what they gave and what is in the store.

use wasmgrid_proto::{AuditAction, AuditRecord, JobState, OutcomeClass, Record};

use crate::{
    book::{Book, Violation, hold},
    client::{Client, Run},
    disk::Disk,
    message::{Shown, Summary},
    plan::Plan,
    task::{Manners, Task},
};

/// Holds where every client has all it waits for.
///
/// # Errors
/// Otherwise, with who waits for what.
pub fn stuck<'a>(
    is_done: bool,
    plan: &Plan,
    clients: impl Iterator<Item = &'a Option<Client>>,
) -> Result<(), Violation> {
    let waits = |run: &Run| {
        format!(
            "{}: job {:?}, {} chunks of {}, closed: {}, ends: {:?}",
            run.plan.key,
            run.job,
            run.appended.len(),
            run.plan.chunks.len(),
            run.closed,
            run.readers.iter().map(|reader| reader.end).collect::<Vec<_>>()
        )
    };
    hold(is_done, "with faults off every task ends and every client gets its end", || {
        let runs = clients.flatten().flat_map(|client| &client.runs);
        format!("seed {}: {:#?}", plan.seed, runs.map(waits).collect::<Vec<_>>())
    })
}

/// Holds if each drain that is in the journal is in the audit log, once, and no other is: whatever
/// died, the two were durable together.
///
/// # Errors
/// Otherwise.
pub fn audit(journal: &[Record], entries: &[AuditRecord]) -> Result<(), Violation> {
    let is_drain =
        |record: &&Record| matches!(record, Record::WorkerDrained { process: Some(_), .. });
    let drains = journal.iter().filter(is_drain).count();
    let name = AuditAction::DrainWorker.name();
    let entered = entries.iter().filter(|entry| entry.is_done() && &*entry.act.action == name);
    let entered: u64 = entered.map(|entry| entry.count).sum();
    hold(drains as u64 == entered, "each act of an operator is in the audit log once", || {
        format!("{drains} drains in the journal, {entered} in the audit log: {entries:?}")
    })
}

/// Compares what a client has with what it should have.
///
/// # Errors
/// Where it has something else.
pub fn client(
    plan: &Plan,
    number: usize,
    client: &Client,
    disk: &Disk,
    book: &Book,
) -> Result<(), Violation> {
    for run in &client.runs {
        let (Some(job), Some(end)) = (run.job, run.readers.first().and_then(|first| first.end))
        else {
            continue;
        };
        let log = log_of(disk, end)?;
        for reader in &run.readers {
            let from = usize::try_from(reader.from).unwrap_or(usize::MAX).min(log.len());
            let expected = log.get(from..).unwrap_or_default();
            hold(
                reader.read == expected && reader.end.is_some_and(|other| other == end),
                "a stream is the committed log, without gap and without repeat",
                || {
                    format!(
                        "client {number}, job {job}, from {}: it has {:?}, the log {expected:?}",
                        reader.from, reader.read
                    )
                },
            )?;
        }
        let (total, ended) = book.progress(job);
        hold(total == ended, "every task ends", || format!("{ended} of {total} of job {job}"))?;
        let of = run.plan.retry_of.and_then(|of| client.runs.get(of)).unwrap_or(run);
        check_run(of, run, end, &log, book)?;
    }
    let _ = plan;
    Ok(())
}

fn log_of(disk: &Disk, end: Summary) -> Result<Vec<Shown>, Violation> {
    let mut log: Vec<Shown> = Vec::new();
    while (log.len() as u64) < end.results {
        let more = disk.results(end.job, log.len() as u64);
        let more: Vec<Shown> = more.map_err(|damage| Violation {
            invariant: "the store gives what was written",
            detail: damage.0,
        })?;
        hold(!more.is_empty(), "the result log has no gap and no repeat", || {
            format!("job {} has no result {}", end.job, log.len())
        })?;
        log.extend(more);
    }
    Ok(log)
}

fn check_run(
    of: &Run,
    run: &Run,
    end: Summary,
    log: &[Shown],
    book: &Book,
) -> Result<(), Violation> {
    let (plan, tasks, unsure) = (&of.plan, of.tasks(), of.unsure());
    let (total, _) = book.progress(end.job);
    for shown in log {
        let known = tasks.get(&shown.index).copied();
        // What was appended, and the answer was lost, is there nevertheless.
        let there = || book.input(end.job, shown.index).filter(|task| unsure.contains(&task.0));
        let task = known.or_else(there);
        hold(task.is_some_and(|task| fits(task, *shown)), "a result is that of its task", || {
            format!("job {}: {shown:?} of {:?}", end.job, task.map(Task::manners))
        })?;
    }
    let whole = plan.cancel_us.is_none() && plan.deadline.is_none() && plan.max_failures.is_none();
    if !whole {
        return Ok(());
    }
    let again = run.plan.retry_of.is_some();
    let count = if again { total } else { plan.chunks.iter().flatten().count() as u64 };
    let all_ok =
        log.len() as u64 == count && log.iter().all(|shown| shown.class == OutcomeClass::Ok);
    let state = if all_ok { JobState::Ok } else { JobState::Failed };
    hold(total == count && !run.refused && end.state == state, "nothing is lost", || {
        format!("job {}: {total} of {count} tasks, {end:?}, not {state}", end.job)
    })
}

/// Whether a task can end so.
pub fn fits(task: Task, shown: Shown) -> bool {
    let manners = task.manners();
    match shown.class {
        OutcomeClass::Ok => {
            let fails = matches!(manners, Manners::Failed | Manners::AlwaysRetry | Manners::Poison);
            !fails && shown.output == task.output()
        }
        OutcomeClass::Failed => manners == Manners::Failed,
        OutcomeClass::Retry => matches!(manners, Manners::Retry(_) | Manners::AlwaysRetry),
        // The hosts' fault, which any task can meet with.
        OutcomeClass::Lost => true,
        OutcomeClass::Cancelled | OutcomeClass::Expired | OutcomeClass::Skipped => false,
    }
}
