//! The driver's side of clients' links: each request is checked against the asker's role, then
//! answered from the core, put to it, or worked on beside the driver.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmgrid_core::{Input, RequestId};
use wasmgrid_net::Peer;
use wasmgrid_proto::{
    InputBlock, JobId,
    frame::Envelope,
    wire::{
        ApiError, ErrorCode, FromClient, Reply, ReplyFrame, Request, RequestFrame, Role, Submit,
        ToClient, TokenRequest, WatchRequest,
    },
};

use super::{Driver, Event, api_error, watches::Watch};
use crate::{links::LinkId, outbox::Outbox};

/// Requests of one client that are not answered; a client that sends more without reading is
/// told to wait.
const REQUESTS_MAX: usize = 1_024;

/// Jobs in one answer: as many as fit a frame with room to spare.
const JOBS_MAX: u32 = 1_000;

/// A linked client or operator.
pub(super) struct Client {
    pub peer: Peer,
    pub outbox: Outbox<ToClient>,
    pub watches: BTreeMap<u64, Watch>,
    /// Requests that are worked on.
    open: usize,
}

/// A request that the core has.
pub(super) struct Pending {
    link: LinkId,
    id: u64,
    /// Until the core says that they are to be kept.
    pub inputs: Option<(InputBlock, Bytes)>,
    watch: Option<WatchRequest>,
}

impl Driver {
    pub(super) fn client_linked(&mut self, link: LinkId, peer: Peer, outbox: Outbox<ToClient>) {
        if !matches!(peer.identity.role(), Role::Client | Role::Operator) {
            return outbox.close(format!("a {} is no client", peer.identity.role()));
        }
        tracing::debug!(name = peer.identity.name(), address = peer.address, "client linked");
        let client = Client { peer, outbox, watches: BTreeMap::new(), open: 0 };
        self.state.clients.insert(link, client);
    }

    pub(super) fn client_says(&mut self, link: LinkId, envelope: Envelope<FromClient>) {
        match envelope.message {
            FromClient::Credit(credit) => self.watch_credit(link, credit.watch, credit.bytes),
            FromClient::Unwatch(unwatch) => self.unwatch(link, unwatch.watch),
            FromClient::Request(RequestFrame { id, request }) => {
                let Some(client) = self.state.clients.get_mut(&link) else { return };
                client.open += 1;
                let refused = if client.open > REQUESTS_MAX {
                    let why = format!("over {REQUESTS_MAX} requests are open; wait for answers");
                    Some(api_error(ErrorCode::Unavailable, why))
                } else {
                    self.not_allowed(link, &request)
                };
                match refused {
                    Some(error) => self.answer(link, id, Err(error)),
                    None => self.request(link, id, request, envelope.payload),
                }
            }
        }
    }

    /// Why this asker may not ask this, or not now.
    fn not_allowed(&self, link: LinkId, request: &Request) -> Option<ApiError> {
        let identity = &self.state.clients.get(&link)?.peer.identity;
        let what = match request {
            Request::Drain { .. } => "drain workers",
            Request::CreateToken(_) => "make tokens",
            Request::Submit(_) | Request::Append { .. } | Request::PutModule { .. }
                if self.state.store_full =>
            {
                let why = "the scheduler's disk is full; make room there and try again";
                return Some(api_error(ErrorCode::Unavailable, why.into()));
            }
            _ => return None,
        };
        (identity.role() != Role::Operator).then(|| {
            let why = format!(
                "{} {} may not {what}; ask with an operator's certificate",
                identity.role(),
                identity.name()
            );
            api_error(ErrorCode::Forbidden, why)
        })
    }

    fn request(&mut self, link: LinkId, id: u64, request: Request, payload: Bytes) {
        let now = self.state.now;
        match request {
            Request::HaveModule { digest } => {
                let present = self.modules.has(digest);
                self.answer(link, id, Ok(Reply::Module { present }));
            }
            Request::PutModule { digest, .. } if self.modules.has(digest) => {
                self.answer(link, id, Ok(Reply::Done));
            }
            Request::PutModule { digest, .. } => self.modules.put(link, id, digest, payload),
            Request::Submit(submit) => self.submit(link, id, submit, payload),
            Request::Append { job, first, inputs } => {
                self.append(link, id, job, first, inputs, payload)
            }
            Request::Close { job } => {
                let request = self.pending(link, id, None, None);
                self.grid.handle(now, Input::Close { request, job });
            }
            Request::Cancel { job } => {
                let Some(client) = self.state.clients.get(&link) else { return };
                let by = client.peer.identity.name().to_owned();
                let request = self.pending(link, id, None, None);
                self.grid.handle(now, Input::Cancel { request, job, by });
            }
            Request::Job { job } => {
                let reply = self.status(job).map(Reply::Job).ok_or_else(|| no_job(job));
                self.answer(link, id, reply);
            }
            Request::Jobs { limit } => {
                let limit = limit.min(JOBS_MAX) as usize;
                let jobs = self.grid.jobs(limit).into_iter();
                let jobs = jobs.map(|status| self.settled(status)).collect();
                self.answer(link, id, Ok(Reply::Jobs(jobs)));
            }
            Request::Watch { job, watch } => self.watch_request(link, id, job, watch),
            Request::Workers => {
                let workers = self.grid.workers();
                self.answer(link, id, Ok(Reply::Workers(workers)));
            }
            Request::Drain { name } => {
                let request = self.pending(link, id, None, None);
                self.grid.handle(now, Input::DrainWorker { request, name });
            }
            Request::CreateToken(token) => self.create_token(link, id, token),
        }
    }

    fn submit(&mut self, link: LinkId, id: u64, submit: Submit, payload: Bytes) {
        let Submit { mut spec, idempotency_key, inputs, closed, watch } = submit;
        let refused = self.modules.check(&spec).and_then(|()| check_inputs(&inputs));
        if let Err(error) = refused {
            return self.answer(link, id, Err(error));
        }
        let Some(client) = self.state.clients.get(&link) else { return };
        // Who owns a job is who proved to be it, not who the job says.
        spec.task.tenant = client.peer.identity.name().to_owned();
        let count = inputs.count();
        let request = self.pending(link, id, Some((inputs, payload)), watch);
        let submit = Input::Submit { request, spec, idempotency_key, inputs: count, closed };
        self.grid.handle(self.state.now, submit);
    }

    fn append(
        &mut self,
        link: LinkId,
        id: u64,
        job: JobId,
        first: u64,
        inputs: InputBlock,
        payload: Bytes,
    ) {
        if let Err(error) = check_inputs(&inputs) {
            return self.answer(link, id, Err(error));
        }
        let count = inputs.count();
        let request = self.pending(link, id, Some((inputs, payload)), None);
        self.grid.handle(self.state.now, Input::Append { request, job, first, count });
    }

    fn watch_request(&mut self, link: LinkId, id: u64, job: JobId, watch: WatchRequest) {
        let status = self.status(job).ok_or_else(|| no_job(job));
        let reply = status.and_then(|status| {
            self.watch(link, job, watch)?;
            Ok(Reply::Job(status))
        });
        self.answer(link, id, reply);
    }

    fn create_token(&mut self, link: LinkId, id: u64, token: TokenRequest) {
        let (enroller, done) = (self.enroller.clone(), self.done.clone());
        self.tasks.spawn(async move {
            let reply = enroller.create(token).await.map(Reply::Token);
            // The driver is gone only when the server ends.
            let _ = done.send(Event::Answer { link, id, reply }).await;
        });
    }

    fn pending(
        &mut self,
        link: LinkId,
        id: u64,
        inputs: Option<(InputBlock, Bytes)>,
        watch: Option<WatchRequest>,
    ) -> RequestId {
        self.state.next_request += 1;
        let request = RequestId(self.state.next_request);
        self.state.requests.insert(request, Pending { link, id, inputs, watch });
        request
    }

    /// The core's answer, now that it is durable.
    pub(super) fn reply(&mut self, request: RequestId, reply: Result<Reply, ApiError>) {
        let Some(Pending { link, id, watch, .. }) = self.state.requests.remove(&request) else {
            return;
        };
        let watched = match (&reply, watch) {
            (Ok(Reply::Job(status)), Some(watch)) => self.watch(link, status.job, watch),
            _ => Ok(()),
        };
        let reply = match reply {
            Ok(Reply::Job(status)) => Ok(Reply::Job(self.settled(status))),
            reply => reply,
        };
        self.answer(link, id, watched.and(reply));
    }

    /// Answers a request of a client, unless it has gone.
    pub(super) fn answer(&mut self, link: LinkId, id: u64, reply: Result<Reply, ApiError>) {
        let Some(client) = self.state.clients.get_mut(&link) else { return };
        client.open = client.open.saturating_sub(1);
        if client.outbox.push(ToClient::Reply(ReplyFrame { id, reply })).is_err() {
            self.close(link, "it does not read its answers");
        }
    }
}

fn no_job(job: JobId) -> ApiError {
    api_error(
        ErrorCode::NotFound,
        format!("there is no job {job}; list them with `wasmgrid job list`"),
    )
}

fn check_inputs(inputs: &InputBlock) -> Result<(), ApiError> {
    inputs.check().map_err(|error| api_error(ErrorCode::Invalid, format!("the inputs: {error}")))
}
