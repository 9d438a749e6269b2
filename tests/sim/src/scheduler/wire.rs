//! What the simulated workers and clients say, as the driver hears it, and the other way round: an
//! input and an output are a number each there, and eight bytes here.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{
    ByteCount, Cost, Extensions, FunctionTerms, InputBlock, JobId, JobSpec, JobStatus, LeaseId,
    LeaseProof, Limits, Millis, ModuleKind, Outcome, OutcomeClass, ResultBlock, ResultMeta,
    TaskRange, TaskSpec, Usage, WorkerCapacity, WorkerId,
    frame::Envelope,
    wire::{
        Alive, Assign, Credit, ErrorCode, FromClient, FromWorker, Health, Join, Leaving, Part,
        Reply, ReplyFrame, Request as Asked, RequestFrame, ResultsFrame, Returned, Submit,
        ToClient, ToWorker, Unable, Update, WatchRequest, WorkerResults,
    },
};
use wasmgrid_server::driver::{Inputs, Results};

use super::MODULE;
use crate::{
    book::{Book, Violation},
    message::{Answer, Block, Down, Lease, Request, Shown, Summary, Up, WatchFrom},
    net::LinkId,
    plan::Plan,
    task::Task,
};

/// Bytes of an input, and of an output.
pub(crate) const BYTES: u32 = 8;

/// What a result takes of a watch's credit.
const COST: u64 = ResultsFrame::RESULT_COST + BYTES as u64;

/// What an answer promises.
#[derive(Debug)]
pub(super) enum Promise {
    Submitted { key: (String, String), inputs: u64, closed: bool },
    Appended { job: JobId, end: u64 },
    Extended { job: JobId, by: (u64, u64), count: u64 },
    Retried { key: (String, String) },
    Closed(JobId),
    Cancelled(JobId),
    Called { by: (u64, u64), count: u64 },
    Nothing,
}

/// What a worker says; nothing if only clients say that.
pub(super) fn from_worker(up: Up) -> Option<Envelope<FromWorker>> {
    let message = match up {
        Up::Join { started, slots, held, proofs } => {
            FromWorker::Join(Join { started, capacity: capacity(slots), held, proofs })
        }
        Up::Heartbeat(heartbeat) => FromWorker::Heartbeat(heartbeat),
        Up::Results { batch, blocks } => {
            let outputs = blocks.iter().flat_map(|block| &block.results);
            let payload = packed(outputs.map(|shown| shown.output));
            let blocks = blocks.iter().map(result_block).map(Arc::new).collect();
            let message = FromWorker::Results(WorkerResults { batch, blocks });
            return Some(Envelope { message, payload });
        }
        Up::Returned { job, lease, tasks } => {
            FromWorker::Returned(Returned { job, lease, tasks, reason: planned() })
        }
        Up::Health { able } => {
            let (part, reason, again) = (Part::Runner, planned(), Millis(1_000));
            FromWorker::Health(Health { unable: (!able).then_some(Unable { part, reason, again }) })
        }
        Up::Leaving => FromWorker::Leaving(Leaving { reason: planned() }),
        Up::Alive { rival } => FromWorker::Alive(Alive { rival }),
        Up::Request { .. } | Up::Credit { .. } => return None,
    };
    Some(message.into())
}

/// What is said to a worker; nothing if it is part of what follows. Proofs travel before the leases
/// that they are of.
pub(super) fn to_worker(
    envelope: Envelope<ToWorker>,
    proofs: &mut BTreeMap<LeaseId, LeaseProof>,
) -> Option<Down> {
    let Envelope { message, payload } = envelope;
    Some(match message {
        ToWorker::Joined(_) => Down::Joined,
        ToWorker::Contested(contested) => Down::Contested { rival: contested.rival },
        ToWorker::Proofs(given) => {
            proofs.extend(given.proofs.into_iter().map(|proof| (proof.lease, proof)));
            return None;
        }
        ToWorker::Assign(Assign { job, spec, leases }) => {
            let mut rest = payload;
            let lease = |grant: wasmgrid_proto::wire::LeaseGrant| {
                let (count, proof) = (grant.inputs.count(), proofs.get(&grant.lease).copied());
                let length = usize::try_from(count * u64::from(BYTES)).unwrap_or(usize::MAX);
                let inputs = numbers(&rest.split_to(length.min(rest.len())));
                let (lease, attempt, first) = (grant.lease, grant.attempt, grant.first);
                Some(Lease { lease, attempt, first, inputs, proof: proof? })
            };
            let leases = leases.into_iter().filter_map(lease).collect();
            Down::Assign { job, tenant: spec.tenant.clone(), leases }
        }
        ToWorker::Cancel(cancel) => Down::Cancel { job: cancel.job },
        ToWorker::Revoke(revoke) => {
            Down::Revoke { job: revoke.job, lease: revoke.lease, tasks: revoke.tasks }
        }
        ToWorker::Overrun(overrun) => Down::Overrun { job: overrun.job, lease: overrun.lease },
        ToWorker::Committed(committed) => Down::Committed { batches: committed.batches },
        ToWorker::Drain(_) => Down::Drain,
        ToWorker::Refused(_)
        | ToWorker::Module(_)
        | ToWorker::Renewed(_)
        | ToWorker::NotRenewed(_)
        | ToWorker::RenewSoon(_) => return None,
    })
}

/// What a client says, and what an answer to it promises.
pub(super) fn from_client(
    (link, client): (LinkId, usize),
    up: Up,
    plan: &Arc<Plan>,
    asked: &mut BTreeMap<(LinkId, u64), Promise>,
) -> Option<Envelope<FromClient>> {
    let (id, request) = match up {
        Up::Request { id, request } => (id, request),
        Up::Credit { watch, results } => {
            return Some(FromClient::Credit(Credit { watch, bytes: results * COST }).into());
        }
        _ => return None,
    };
    let (request, payload, promise) = match request {
        Request::Submit { run, closed, watch } => {
            let spec = spec_of(plan, client, run)?;
            let (_, inputs) = chunk_of(plan, client, run, 0).unwrap_or_default();
            let (key, count) = (key_of(&spec), inputs.len() as u64);
            let promise = Promise::Submitted { key, inputs: count, closed };
            let (idempotency_key, watch) = (Some(spec.name.clone()), watch.map(watch_of));
            let (inputs, payload) = block(&inputs);
            let submit = Submit { spec, idempotency_key, inputs, closed, watch };
            (Asked::Submit(submit), payload, promise)
        }
        Request::Append { run, job, chunk } => {
            let (first, inputs) = chunk_of(plan, client, run, chunk)?;
            let promise = Promise::Appended { job, end: first + inputs.len() as u64 };
            let (inputs, payload) = block(&inputs);
            (Asked::AppendAt { job, first, inputs }, payload, promise)
        }
        Request::Extend { run, job, chunk } => {
            let (_, inputs) = chunk_of(plan, client, run, chunk)?;
            let (producer, number) = producer_of(client, run, chunk);
            let count = inputs.len() as u64;
            let promise = Promise::Extended { job, by: (producer, number), count };
            let (inputs, payload) = block(&inputs);
            (Asked::Append { job, producer, number, inputs }, payload, promise)
        }
        Request::Deploy { version } => {
            let spec = function_of(plan, client, version)?;
            let name = function_name(client);
            (Asked::DeployFunction { name, spec }, Bytes::new(), Promise::Nothing)
        }
        Request::DeleteFunction => {
            let name = function_name(client);
            (Asked::DeleteFunction { name }, Bytes::new(), Promise::Nothing)
        }
        Request::Call { by, inputs } => {
            let promise = Promise::Called { by, count: inputs.len() as u64 };
            let ((producer, number), name) = (by, function_name(client));
            let (inputs, payload) = block(&inputs);
            let call = Asked::Call { name, module: None, producer, number, inputs };
            (call, payload, promise)
        }
        Request::Retry { run, of } => {
            let spec = spec_of(plan, client, run)?;
            let promise = Promise::Retried { key: key_of(&spec) };
            let retry = Asked::Retry { job: of, limits: None, idempotency_key: Some(spec.name) };
            (retry, Bytes::new(), promise)
        }
        Request::Close { job } => (Asked::Close { job }, Bytes::new(), Promise::Closed(job)),
        Request::Cancel { job } => (Asked::Cancel { job }, Bytes::new(), Promise::Cancelled(job)),
        Request::Watch { job, from } => {
            (Asked::Watch { job, watch: watch_of(from) }, Bytes::new(), Promise::Nothing)
        }
    };
    asked.insert((link, id), promise);
    let message = FromClient::Request(RequestFrame { id, request });
    Some(Envelope { message, payload })
}

/// What is said to a client, which the book has from here on; nothing if the simulated one does not
/// care.
///
/// # Errors
/// If the scheduler may not say that.
pub(super) fn to_client(
    link: LinkId,
    envelope: Envelope<ToClient>,
    asked: &mut BTreeMap<(LinkId, u64), Promise>,
    book: &mut Book,
) -> Result<Option<Down>, Violation> {
    let Envelope { message, payload } = envelope;
    Ok(match message {
        ToClient::Reply(ReplyFrame { id, reply }) => {
            let reply = match reply {
                Err(error) => Err(error.code),
                Ok(Reply::Job(status)) => Ok(Answer::Job(summary(&status))),
                Ok(Reply::Appended { first }) => Ok(Answer::Appended(first)),
                Ok(Reply::Called { job, first, .. }) => Ok(Answer::Called(job, first)),
                Ok(_) => Ok(Answer::Done),
            };
            if let Some(promise) = asked.remove(&(link, id)) {
                promised(promise, reply, book)?;
            }
            Some(Down::Reply { id, reply })
        }
        ToClient::Results(ResultsFrame { watch, first_cursor, blocks }) => {
            let mut rest = payload;
            let mut results = Vec::new();
            // A frame is of one job.
            let job = blocks.first().map(|block| block.job).unwrap_or_default();
            for block in blocks {
                let length = usize::try_from(block.payload_len()).unwrap_or(usize::MAX);
                let bytes = rest.split_to(length.min(rest.len()));
                results.extend(block_of(&block, &bytes).results);
            }
            book.shown(job, first_cursor, &results)?;
            Some(Down::Results { watch, first_cursor, results })
        }
        ToClient::Update(Update { watch, status }) if status.state.is_terminal() => {
            let end = summary(&status);
            book.told_end(end)?;
            Some(Down::Ended { watch, end })
        }
        _ => None,
    })
}

fn promised(
    promise: Promise,
    reply: Result<Answer, ErrorCode>,
    book: &mut Book,
) -> Result<(), Violation> {
    match (reply, promise) {
        (Ok(Answer::Job(status)), Promise::Submitted { key, inputs, closed }) => {
            book.submitted(key, status.job, inputs, closed)?;
        }
        (Ok(Answer::Job(status)), Promise::Retried { key }) => {
            book.submitted(key, status.job, 0, true)?;
        }
        (Ok(Answer::Appended(first)), Promise::Extended { job, by, count }) => {
            book.extended(job, by, first)?;
            book.appended(job, first + count);
        }
        (Ok(Answer::Called(job, first)), Promise::Called { by, count }) => {
            book.called(by, (job, first))?;
            book.appended(job, first + count);
        }
        (Ok(_), Promise::Appended { job, end }) => book.appended(job, end),
        (Ok(_), Promise::Closed(job)) => book.closed(job),
        (Ok(_), Promise::Cancelled(job)) => book.cancelled(job),
        _ => {}
    }
    Ok(())
}

/// The inputs of a segment from `position` on.
pub(super) fn inputs_of(inputs: &Inputs, position: u64) -> Vec<u64> {
    let all = TaskRange { first: position, count: u64::MAX };
    inputs.cut(all, usize::MAX).map(|(_, payload)| numbers(&payload)).unwrap_or_default()
}

/// Results as the simulated workers and clients have them.
pub(crate) fn block_of(block: &ResultBlock, payload: &Bytes) -> Block {
    let shown = |(meta, bytes): (&ResultMeta, Bytes)| Shown {
        index: meta.index,
        class: meta.outcome.class(),
        output: numbers(&bytes).first().copied().unwrap_or_default(),
    };
    let results = block.entries(payload).map(|entries| entries.map(shown).collect());
    let wall_us = block.results.iter().map(|meta| meta.usage.wall_us).sum();
    let ResultBlock { job, lease, attempt, .. } = *block;
    Block { job, lease, attempt, wall_us, results: results.unwrap_or_default() }
}

/// What results took.
pub(super) fn cost_of(results: &Results) -> Cost {
    let mut cost = Cost { bytes: results.payload.len() as u64, ..Cost::default() };
    for Usage { fuel, wall_us, .. } in results.block.results.iter().map(|meta| meta.usage) {
        cost.add(Cost { fuel, wall_us, bytes: 0 });
    }
    cost
}

/// The other way round. The time of all stands with the first; what fuel each took is its own.
fn result_block(block: &Block) -> ResultBlock {
    let meta = |(at, shown): (usize, &Shown)| ResultMeta {
        index: shown.index,
        outcome: match shown.class {
            OutcomeClass::Ok => Outcome::Ok,
            OutcomeClass::Retry => Outcome::Retry(planned()),
            OutcomeClass::Cancelled => Outcome::Cancelled(planned()),
            OutcomeClass::Lost => Outcome::Lost(planned()),
            _ => Outcome::Rejected(planned()),
        },
        usage: Usage {
            fuel: shown.index + 1,
            wall_us: if at == 0 { block.wall_us } else { 0 },
            ..Usage::default()
        },
        output_len: BYTES,
        record_lens: Vec::new(),
        log_len: 0,
        log_dropped: 0,
    };
    let results = block.results.iter().enumerate().map(meta).collect();
    let Block { job, lease, attempt, .. } = *block;
    let (worker, extensions) = (WorkerId(0), Extensions::NONE);
    ResultBlock { job, lease, worker, attempt, results, extensions }
}

fn packed(numbers: impl Iterator<Item = u64>) -> Bytes {
    numbers.flat_map(u64::to_le_bytes).collect()
}

fn numbers(bytes: &Bytes) -> Vec<u64> {
    let (whole, _) = bytes.as_chunks::<{ BYTES as usize }>();
    whole.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

fn block(inputs: &[Task]) -> (InputBlock, Bytes) {
    let payload = packed(inputs.iter().map(|task| task.0));
    (InputBlock::Packed(vec![BYTES; inputs.len()]), payload)
}

fn planned() -> String {
    String::from("as planned")
}

const fn watch_of(WatchFrom { watch, cursor, credit }: WatchFrom) -> WatchRequest {
    WatchRequest { watch, cursor, credit_bytes: credit * COST }
}

const fn summary(status: &JobStatus) -> Summary {
    Summary { job: status.job, state: status.state, results: status.results }
}

fn key_of(spec: &JobSpec) -> (String, String) {
    (spec.task.tenant.clone(), spec.name.clone())
}

/// The inputs of a chunk, and the first one's index.
fn chunk_of(plan: &Plan, client: usize, run: usize, chunk: usize) -> Option<(u64, Vec<Task>)> {
    let job = plan.clients.get(client)?.jobs.get(run)?;
    let first = job.chunks.iter().take(chunk).map(Vec::len).sum::<usize>() as u64;
    Some((first, job.chunks.get(chunk)?.clone()))
}

/// Who appends a chunk of a job that two producers append to, and its how manyth request that is.
fn producer_of(client: usize, run: usize, chunk: usize) -> (u64, u64) {
    let producer = (client * 1_000 + run * 2 + chunk % 2) as u64;
    (producer, chunk.div_ceil(2) as u64)
}

fn function_name(client: usize) -> String {
    format!("of-{client}")
}

/// The spec of a client's function; no two versions are the same.
fn function_of(plan: &Plan, client: usize, version: usize) -> Option<JobSpec> {
    let task = TaskSpec {
        limits: limits(),
        tenant: plan.clients.get(client)?.tenant.clone(),
        ..TaskSpec::new(MODULE, ModuleKind::Task)
    };
    let spec = JobSpec::new(format!("version {version}"), task);
    spec.of_function(FunctionTerms::default()).ok()
}

fn spec_of(plan: &Plan, client: usize, run: usize) -> Option<JobSpec> {
    let client = plan.clients.get(client)?;
    let job = client.jobs.get(run)?;
    let task = TaskSpec {
        limits: limits(),
        tenant: client.tenant.clone(),
        ..TaskSpec::new(MODULE, ModuleKind::Task)
    };
    Some(JobSpec {
        priority: job.priority,
        retries: job.retries,
        max_failures: job.max_failures,
        deadline: job.deadline,
        ..JobSpec::new(job.key.clone(), task)
    })
}

/// No task takes longer, nor returns as much.
fn limits() -> Limits {
    let (deadline, output) = (Millis(3_000), ByteCount(1 << 20));
    Limits { deadline, output, ..Limits::default() }
}

fn capacity(slots: u32) -> WorkerCapacity {
    let memory = ByteCount(1 << 30);
    WorkerCapacity { slots, memory, labels: Vec::new(), engine: String::from("simulated") }
}
