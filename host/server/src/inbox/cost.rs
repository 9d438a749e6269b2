//! About how long the driver works on a message, compared with the cheapest one, which takes it
//! about ten microseconds. The numbers are estimates: parties take turns by them, and a turn of the
//! driver ends by them.

use wasmgrid_proto::{
    InputBlock,
    frame::Envelope,
    wire::{FromClient, FromWorker, Request},
};

/// Of what is looked up, or only handed on.
pub(crate) const LIGHT: u32 = 1;

/// Of what changes a job, or asks about one in detail.
const CHANGE: u32 = 4;

/// Of a new job or link, and of a worker that joins.
pub(crate) const BEGIN: u32 = 8;

/// Of what walks over many jobs, tasks or members.
const WALK: u32 = 64;

/// Payload bytes that a disk writes in the time of the cheapest message, about: so one turn of the
/// driver has no more than some megabytes to commit.
const BYTES: usize = 4 << 10;

/// Results, leases or running tasks that are compared in that time.
const TASKS: usize = 16;

/// Of what a client says.
pub(crate) fn of_client(envelope: &Envelope<FromClient>) -> u32 {
    match &envelope.message {
        FromClient::Credit(_) | FromClient::Unwatch(_) => LIGHT,
        FromClient::Request(frame) => {
            let lengths = share(lengths(&frame.request), TASKS * TASKS);
            let bytes = share(envelope.payload.len(), BYTES);
            of_request(&frame.request).saturating_add(lengths).saturating_add(bytes)
        }
    }
}

/// Of what a worker says.
pub(crate) fn of_worker(envelope: &Envelope<FromWorker>) -> u32 {
    match &envelope.message {
        FromWorker::Results(results) => {
            // A block is looked at even if nothing is in it.
            let count = results.blocks.iter().map(|block| 1 + block.results.len()).sum();
            LIGHT + share(count, TASKS) + share(envelope.payload.len(), BYTES)
        }
        FromWorker::Returned(returned) => LIGHT + share(returned.tasks.len(), TASKS),
        FromWorker::Preparing(preparing) => {
            LIGHT + share(preparing.jobs.len() + preparing.compiled.len(), TASKS)
        }
        FromWorker::Heartbeat(heartbeat) => LIGHT + share(heartbeat.running.len(), TASKS),
        // Each lease is looked for, and its proof checked.
        FromWorker::Join(join) => BEGIN + share(join.held.len(), TASKS / 4),
        FromWorker::NeedModule(_)
        | FromWorker::Leaving(_)
        | FromWorker::Health(_)
        | FromWorker::Alive(_)
        | FromWorker::Report(_)
        | FromWorker::Renew(_) => LIGHT,
    }
}

const fn of_request(request: &Request) -> u32 {
    match request {
        Request::HaveModule { .. }
        | Request::HaveBlob { .. }
        | Request::Job { .. }
        | Request::Worker { .. }
        | Request::Attend { .. }
        | Request::Close { .. }
        | Request::Audit { .. }
        | Request::Intake
        | Request::CheckKey { .. }
        | Request::Keys { .. }
        | Request::Unknown { .. } => LIGHT,
        Request::AppendAt { .. }
        | Request::Skip { .. }
        | Request::Append { .. }
        | Request::DeleteFunction { .. }
        | Request::Call { .. }
        | Request::Cancel { .. }
        | Request::PutModule { .. }
        | Request::PutBlob { .. }
        | Request::Watch { .. }
        | Request::Task { .. }
        | Request::Divergences { .. }
        | Request::JobSummary { .. }
        | Request::Inputs { .. }
        | Request::Contests
        | Request::SetQuota { .. }
        | Request::Drain { .. }
        | Request::Cordon { .. }
        | Request::CreateToken { .. }
        | Request::RevokeToken { .. }
        | Request::RemoveMember { .. }
        | Request::CreateKey { .. }
        | Request::RevokeKey { .. }
        | Request::CreateLogin
        | Request::Login { .. }
        | Request::Renew(_) => CHANGE,
        Request::Submit(_) | Request::DeployFunction { .. } => BEGIN,
        Request::Retry { .. }
        | Request::Explain { .. }
        | Request::JobPage { .. }
        | Request::WorkerPage { .. }
        | Request::WorkerNames { .. }
        | Request::VouchedPage { .. }
        | Request::Tenants { .. }
        | Request::Usage { .. }
        | Request::Functions { .. }
        | Request::Modules { .. }
        | Request::Metrics
        | Request::Overview
        | Request::JobRows { .. }
        | Request::WorkerRows { .. }
        | Request::Tokens { .. }
        | Request::Members { .. }
        | Request::Authority(_) => WALK,
    }
}

/// The lengths of inputs that a request lists.
fn lengths(request: &Request) -> usize {
    let inputs = match request {
        Request::Submit(submit) => &submit.inputs,
        Request::AppendAt { inputs, .. }
        | Request::Append { inputs, .. }
        | Request::Call { inputs, .. } => inputs,
        _ => return 0,
    };
    match inputs {
        InputBlock::Packed(lengths) => lengths.len(),
        InputBlock::Numbers { .. } => 0,
    }
}

fn share(amount: usize, each: usize) -> u32 {
    u32::try_from(amount / each).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wasmgrid_proto::{
        Extensions, JobId, LeaseId, ResultBlock, TaskRange, WorkerId,
        wire::{Preparing, RequestFrame, Returned, WorkerResults},
    };

    use super::*;

    fn asks(request: Request, payload: usize) -> u32 {
        let message = FromClient::Request(RequestFrame { id: 1, request });
        of_client(&Envelope { message, payload: vec![0; payload].into() })
    }

    #[test]
    fn lists_of_workers_count_however_little_stands_in_each_item() {
        let says = |message| of_worker(&Envelope { message, payload: Bytes::new() });
        let (job, lease, many) = (JobId(1), LeaseId(1), 60_000);
        let (worker, attempt, results) = (WorkerId(1), 1, Vec::new());
        let extensions = Extensions::NONE;
        let empty = ResultBlock { job, lease, worker, attempt, results, extensions };
        let results = WorkerResults { batch: 1, blocks: vec![empty.into(); many] };
        let tasks = vec![TaskRange { first: 0, count: 1 }; many];
        let returned = Returned { job, lease, tasks, reason: String::new() };
        let preparing = Preparing { jobs: vec![job; many], compiled: Vec::new() };
        for message in [
            FromWorker::Results(results),
            FromWorker::Returned(returned),
            FromWorker::Preparing(preparing),
        ] {
            assert!(says(message) > 1_000);
        }
    }

    #[test]
    fn bytes_and_lengths_count_beside_the_kind_of_a_request() {
        let job = JobId(1);
        let append = |inputs| Request::AppendAt { job, first: 0, inputs };
        assert_eq!(asks(Request::Job { job }, 0), 1);
        assert!(asks(Request::WorkerPage { after: None, all: false }, 0) > 10);
        let one = asks(append(InputBlock::Packed(vec![1])), 1);
        let large = asks(append(InputBlock::Packed(vec![64 << 20])), 64 << 20);
        assert!(large >= one + 2_000, "{large}");
        let many = asks(append(InputBlock::Packed(vec![0; 60_000])), 0);
        assert!(many >= one + 200, "{many}");
    }
}
