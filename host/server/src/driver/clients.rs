//! The driver's side of clients' links: each request is checked against the asker's role, then
//! answered from the core, put to it, or worked on off the driver.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmgrid_core::{ClientRequest, Input, RequestId, without_others};
use wasmgrid_net::{Peer, Release, Reservation};
use wasmgrid_proto::{
    Caller, Explanation, InputBlock, JobId, JobSpec, Limits, Reason, Wait, WaitReason,
    frame::Envelope,
    reason::Upload,
    wire::{
        ApiError, ErrorCode, FromClient, Reply, ReplyFrame, Request, RequestFrame, Role, Submit,
        ToClient, WatchRequest,
    },
};

use super::{
    Ask, Driver, Effect, KeyAsk, LinkId, Observer,
    audit::AuditQuery,
    content::{Content, check_inputs},
    given_inputs::Questions,
    lists::unread,
    older::for_minor,
    outbox::Outbox,
    sizes::{input_bytes, reply_bytes},
    space::Halt,
    speaker::caller,
    watches::Watch,
};

/// Requests of one client that are not answered; a client that sends more without reading is
/// told to wait.
const REQUESTS_MAX: usize = 1_024;

/// A linked client or operator, or a gateway, for itself or for one of those.
pub(super) struct Client {
    pub peer: Peer,
    /// Who it is as an owner of jobs.
    pub tenant: String,
    /// The same with its role and name: of a gateway that acts for somebody, those of a key.
    pub caller: Arc<Caller>,
    pub outbox: Outbox,
    pub watches: BTreeMap<u64, Watch>,
    /// What it wants to know of inputs.
    pub questions: Questions,
    /// Requests that are worked on.
    open: usize,
}

/// A request that the core has.
pub(super) struct Pending {
    link: LinkId,
    id: u64,
    /// The job that it asks something of.
    pub job: Option<JobId>,
    /// Until the core says that they are to be kept.
    pub inputs: Option<(InputBlock, Bytes)>,
    watch: Option<WatchRequest>,
}

impl<O: Observer> Driver<O> {
    pub(super) fn client_linked(&mut self, link: LinkId, peer: Peer, outbox: Outbox) {
        let roles = [Role::Client, Role::Operator, Role::Gateway];
        if !self.lets_in(link, &peer, &roles, "client") {
            return;
        }
        tracing::debug!(name = peer.identity.name(), address = peer.address, "client linked");
        let caller = Arc::new(caller(&peer, &self.members));
        let (tenant, watches) = (caller.tenant.to_string(), BTreeMap::new());
        let questions = Questions::default();
        let client = Client { peer, tenant, caller, outbox, watches, questions, open: 0 };
        self.state.clients.insert(link, client);
    }

    pub(super) fn client_says(
        &mut self,
        link: LinkId,
        envelope: Envelope<FromClient>,
        (content, room): (Content, Option<Reservation>),
    ) {
        match envelope.message {
            FromClient::Credit(credit) => self.watch_credit(link, credit.watch, credit.bytes),
            FromClient::Unwatch(unwatch) => self.unwatch(link, unwatch.watch),
            FromClient::Request(RequestFrame { id, request }) => {
                let Some(client) = self.state.clients.get_mut(&link) else { return };
                client.open += 1;
                let refused = if client.open > REQUESTS_MAX {
                    Some(Reason::TooManyRequests { allowed: REQUESTS_MAX as u64 }.into())
                } else {
                    unread(client, &request).or_else(|| self.not_allowed(link, &request))
                };
                match refused {
                    Some(error) if error.code == ErrorCode::Forbidden => {
                        self.forbid(link, id, &request, error);
                    }
                    Some(error) => self.answer(link, id, Err(error)),
                    None => {
                        self.request(link, id, request, (envelope.payload, content), room);
                    }
                }
            }
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each request, so that none is forgotten"
    )]
    fn request(
        &mut self,
        link: LinkId,
        id: u64,
        request: Request,
        (payload, content): (Bytes, Content),
        room: Option<Reservation>,
    ) {
        let now = self.state.now;
        match request {
            Request::HaveModule { digest } => self.have(link, id, (Upload::Module, digest)),
            Request::HaveBlob { digest } => self.have(link, id, (Upload::Blob, digest)),
            Request::PutModule { digest, .. } => {
                self.put(link, id, (Upload::Module, digest, payload), room);
            }
            Request::PutBlob { digest, .. } => {
                self.put(link, id, (Upload::Blob, digest, payload), room);
            }
            Request::Submit(submit) => self.submit(link, id, submit, (payload, content)),
            Request::AppendAt { job, first, inputs } => {
                self.append_at(link, id, (job, first), inputs, (payload, content));
            }
            Request::Skip { job, first, count } => self.skip(link, id, job, first, count),
            Request::Append { job, producer, number, inputs } => {
                self.append(link, id, job, (producer, number), (inputs, payload));
            }
            Request::Retry { job, limits, idempotency_key } => {
                self.retry(link, id, job, limits, idempotency_key);
            }
            Request::Close { job } => {
                let request = self.pending_of(link, id, job, None);
                self.grid.handle(now, Input::Close { request, job });
            }
            Request::Cancel { job } => self.cancel(link, id, job),
            Request::Job { job } => self.tell(link, id, job, self.status(job).map(Reply::Job)),
            Request::Watch { job, watch } => self.watch_request(link, id, job, watch),
            Request::JobPage { before, limit, filter } => {
                self.job_page(link, id, (before, limit), filter);
            }
            Request::WorkerPage { after, all } => self.worker_page(link, id, after, all),
            Request::Worker { name } => self.worker_request(link, id, &name),
            Request::WorkerNames { workers } => self.names_request(link, id, &workers),
            Request::Explain { job } => {
                let told = self.explain_to(link, job).map(Reply::Explanation);
                self.tell(link, id, job, told);
            }
            Request::CreateToken { token, gives } => self.create_token(link, id, token, gives),
            Request::Tokens { after } => {
                self.effects.push(Effect::Enroll(Ask::Tokens { link, id, after }));
            }
            Request::RevokeToken { token } => self.revoke_token(link, id, token),
            Request::Members { after } => self.members_request(link, id, after.as_ref()),
            Request::RemoveMember { role, name } => self.remove_member(link, id, role, name),
            Request::Task { job, index } => self.task_request(link, id, job, index),
            Request::Divergences { job } => self.divergences_request(link, id, job),
            Request::Attend { job } => self.attend(link, id, job),
            Request::Contests => self.contests_request(link, id),
            Request::VouchedPage { after } => self.vouched_page(link, id, after),
            Request::Tenants { after } => self.tenants_request(link, id, after.as_deref()),
            Request::Renew(renew) => self.renew_client(link, id, renew),
            Request::Authority(asked) => self.authority_request(link, id, asked),
            Request::Metrics => self.metrics_request(link, id),
            Request::Usage { after } => self.usage_request(link, id, after.as_deref()),
            Request::Intake => {
                let refusal = self.refuses_work();
                self.answer(link, id, Ok(Reply::Intake { refusal }));
            }
            Request::JobSummary { job } => self.summary_request(link, id, job),
            Request::Overview => self.overview_request(link, id),
            Request::JobRows { before, limit, filter } => {
                self.job_rows(link, id, (before, limit), filter);
            }
            Request::WorkerRows { after, limit, filter } => {
                self.worker_rows(link, id, (after, limit), &filter);
            }
            Request::Inputs { job, tasks } => self.inputs_request(link, id, job, tasks),
            Request::Audit { after, since, who } => {
                let query = AuditQuery { after, since, who };
                self.effects.push(Effect::ReadAudit { link, id, query });
            }
            Request::CreateKey { tenant, role, name, ttl } => {
                self.ask_of_keys(link, id, KeyAsk::Create { tenant, role, name, ttl });
            }
            Request::Keys { after } => self.ask_of_keys(link, id, KeyAsk::List { after }),
            Request::RevokeKey { id: key } => self.ask_of_keys(link, id, KeyAsk::Revoke { key }),
            Request::CheckKey { id: key, secret } => {
                self.ask_of_keys(link, id, KeyAsk::Check { key, secret });
            }
            Request::CreateLogin => self.ask_of_keys(link, id, KeyAsk::CreateLogin),
            Request::Login { code } => self.ask_of_keys(link, id, KeyAsk::Login { code }),
            Request::DeployFunction { name, spec } => self.deploy_function(link, id, name, spec),
            Request::Modules { after, limit, tenant } => {
                self.modules_request(link, id, (after, limit), tenant);
            }
            Request::Functions { after } => self.functions_request(link, id, after.as_deref()),
            Request::DeleteFunction { name } => self.delete_function(link, id, name),
            Request::Call { name, module, producer, number, inputs } => {
                let producer = (producer, number);
                self.call(link, id, (name, module), producer, (inputs, payload));
            }
            Request::Unknown { number } => self.unsupported(link, id, number),
            request @ (Request::Drain { .. }
            | Request::Cordon { .. }
            | Request::SetQuota { .. }) => self.operate(link, id, request),
        }
    }

    fn ask_of_keys(&mut self, link: LinkId, id: u64, asked: KeyAsk) {
        let Some(by) = self.caller_on(link) else { return };
        self.effects.push(Effect::Enroll(Ask::Key { link, id, by, asked }));
    }

    fn cancel(&mut self, link: LinkId, id: u64, job: JobId) {
        let request = self.pending_of(link, id, job, None);
        self.grid.handle(self.state.now, Input::Cancel { request, job });
    }

    /// What operators alone may ask for.
    fn operate(&mut self, link: LinkId, id: u64, asked: Request) {
        let request = self.pending(link, id, None, None);
        let input = match asked {
            Request::Drain { name } => Input::DrainWorker { request, name },
            Request::Cordon { name, cordoned } => Input::CordonWorker { request, name, cordoned },
            Request::SetQuota { tenant, resource, allowed } => {
                Input::SetQuota { request, tenant, resource, allowed }
            }
            _ => return,
        };
        self.grid.handle(self.state.now, input);
    }

    /// Answers a request that a later release knows.
    fn unsupported(&mut self, link: LinkId, id: u64, number: u32) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let (ours, theirs) = (Release::ours(), client.peer.release());
        let (ours, theirs) = (ours.to_string().into(), theirs.to_string().into());
        let why = Reason::UnknownRequest { number, ours, theirs };
        self.answer(link, id, Err(why.into()));
    }

    /// Tells what is known of a job.
    fn tell(&mut self, link: LinkId, id: u64, job: JobId, known: Option<Reply>) {
        self.answer(link, id, known.ok_or_else(|| no_job(job)));
    }

    /// Why a job's tasks wait, as the asker may know it: other tenants are named to operators alone.
    fn explain_to(&self, link: LinkId, job: JobId) -> Option<Explanation> {
        let mut explanation = self.explain(job)?;
        // Of a gateway that of whom it speaks for.
        let role = self.state.clients.get(&link)?.caller.role;
        if role != Role::Operator {
            without_others(&mut explanation);
        }
        Some(explanation)
    }

    /// Why a job's tasks wait: as the core knows it, and what only the driver knows.
    fn explain(&self, job: JobId) -> Option<Explanation> {
        let mut explanation = self.grid.explain(job)?;
        let full = WaitReason { tasks: 0, wait: Wait::DiskFull };
        let is_said = explanation.reasons.iter().any(|reason| reason.wait == full.wait);
        // Results of tasks that have run wait too.
        if self.state.halt == Some(Halt::Full) && !explanation.state.is_terminal() && !is_said {
            explanation.reasons.insert(0, full);
        }
        Some(explanation)
    }

    fn submit(
        &mut self,
        link: LinkId,
        id: u64,
        submit: Submit,
        (payload, content): (Bytes, Content),
    ) {
        let Submit { mut spec, idempotency_key, inputs, closed, watch } = submit;
        let Some(client) = self.state.clients.get(&link) else { return };
        // Who owns a job is who proved to be it, not who the job says.
        spec.task.tenant.clone_from(&client.tenant);
        let checked = check_inputs(&inputs).and_then(|()| self.check_module(&spec));
        if let Err(error) = checked {
            return self.answer(link, id, Err(error));
        }
        spec.requires.sort_unstable();
        let count = inputs.count();
        let digest = match content.digest_with(&(&spec, &inputs, closed)) {
            Ok(digest) => digest,
            Err(error) => return self.answer(link, id, Err(error)),
        };
        let bytes = input_bytes(&inputs, &payload);
        let request = self.pending(link, id, Some((inputs, payload)), watch);
        let (spec, inputs) = (Box::new(spec), count);
        let submit =
            Input::Submit { request, spec, idempotency_key, inputs, bytes, closed, digest };
        self.grid.handle(self.state.now, submit);
    }

    /// Refuses a job whose module or blobs are not here, or are not such; its module counts among what its
    /// tenant has.
    pub(super) fn check_module(&mut self, spec: &JobSpec) -> Result<(), ApiError> {
        self.modules.check(&spec.task.tenant, spec, self.state.now)?;
        self.use_module(&spec.task.tenant, spec.task.module).map(|_| ())
    }

    fn append_at(
        &mut self,
        link: LinkId,
        id: u64,
        (job, first): (JobId, u64),
        inputs: InputBlock,
        (payload, content): (Bytes, Content),
    ) {
        if let Err(error) = check_inputs(&inputs) {
            return self.answer(link, id, Err(error));
        }
        let count = inputs.count();
        let digest = match content.digest_with(&inputs) {
            Ok(digest) => digest,
            Err(error) => return self.answer(link, id, Err(error)),
        };
        let bytes = input_bytes(&inputs, &payload);
        let request = self.pending_of(link, id, job, Some((inputs, payload)));
        let append = Input::AppendAt { request, job, first, count, bytes, digest };
        self.grid.handle(self.state.now, append);
    }

    fn skip(&mut self, link: LinkId, id: u64, job: JobId, first: u64, count: u64) {
        // Apart from any inputs, whose digest begins with their block.
        let digest = match Content::default().digest_with(&("skip", count)) {
            Ok(digest) => digest,
            Err(error) => return self.answer(link, id, Err(error)),
        };
        let request = self.pending_of(link, id, job, None);
        self.grid.handle(self.state.now, Input::Skip { request, job, first, count, digest });
    }

    fn append(
        &mut self,
        link: LinkId,
        id: u64,
        job: JobId,
        (producer, number): (u64, u64),
        (inputs, payload): (InputBlock, Bytes),
    ) {
        if let Err(error) = check_inputs(&inputs) {
            return self.answer(link, id, Err(error));
        }
        let count = inputs.count();
        let bytes = input_bytes(&inputs, &payload);
        let request = self.pending_of(link, id, job, Some((inputs, payload)));
        let append = Input::Append { request, job, producer, number, count, bytes };
        self.grid.handle(self.state.now, append);
    }

    fn retry(
        &mut self,
        link: LinkId,
        id: u64,
        job: JobId,
        limits: Option<Limits>,
        idempotency_key: Option<String>,
    ) {
        let request = self.pending_of(link, id, job, None);
        self.grid.handle(self.state.now, Input::Retry { request, job, limits, idempotency_key });
    }

    fn watch_request(&mut self, link: LinkId, id: u64, job: JobId, watch: WatchRequest) {
        let status = self.status(job).ok_or_else(|| no_job(job));
        let reply = status.and_then(|status| {
            self.watch(link, job, watch)?;
            Ok(Reply::Job(status))
        });
        self.answer(link, id, reply);
    }

    pub(super) fn pending(
        &mut self,
        link: LinkId,
        id: u64,
        inputs: Option<(InputBlock, Bytes)>,
        watch: Option<WatchRequest>,
    ) -> ClientRequest {
        let client = self.state.clients.get(&link);
        let by = client.map(|client| Arc::clone(&client.caller));
        let request = self.own_request(by);
        self.state.requests.insert(request.id, Pending { link, id, job: None, inputs, watch });
        request
    }

    /// The same for a request that asks something of a job that there is.
    fn pending_of(
        &mut self,
        link: LinkId,
        id: u64,
        job: JobId,
        inputs: Option<(InputBlock, Bytes)>,
    ) -> ClientRequest {
        let request = self.pending(link, id, inputs, None);
        if let Some(pending) = self.state.requests.get_mut(&request.id) {
            pending.job = Some(job);
        }
        request
    }

    /// A request that nobody waits for: of the scheduler itself, unless it is of somebody.
    pub(super) fn own_request(&mut self, by: Option<Arc<Caller>>) -> ClientRequest {
        self.state.next_request += 1;
        let by = by.unwrap_or_else(|| Arc::new(Caller::scheduler()));
        ClientRequest { id: RequestId(self.state.next_request), by }
    }

    /// The core's answer, now that it is durable.
    pub(super) fn reply(&mut self, request: RequestId, reply: Result<Reply, ApiError>) {
        let Some(Pending { link, id, watch, .. }) = self.state.requests.remove(&request) else {
            return;
        };
        if let Ok(Reply::Job(status)) = &reply {
            self.await_producer(status);
        }
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
        client.answered();
        let reply = reply.map(|reply| for_minor(reply, client.peer.minor));
        self.state.counted.requests += 1;
        self.state.counted.requests_refused += u64::from(reply.is_err());
        let bytes = reply_bytes(&reply);
        let frame = ToClient::Reply(ReplyFrame { id, reply });
        match client.outbox.push_answer(frame, bytes) {
            Ok(queued) => self.effects.push(Effect::ToClient(link, queued)),
            Err(_) => self.close(link, "it does not read its answers"),
        }
    }
}

impl Client {
    /// One of its requests has its answer.
    pub(super) const fn answered(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

pub(super) fn no_job(job: JobId) -> ApiError {
    Reason::NoJob { job }.into()
}
