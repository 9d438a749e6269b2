//! What is entered into the audit log: what operators do, and what anybody was refused.
//!
//! An act is entered if it changed something, together with the records of that; a request that finds
//! everything as it wants it, such as one that is repeated after a lost link, has no entry. Requests
//! about a caller's own jobs have none either.
//!
//! A refused attempt changes nothing, so that any member could make as many as it likes. Therefore
//! only the first [`REFUSALS_ENTERED`] of a caller in a [`REFUSALS_WINDOW`] have entries of their own;
//! the others are counted, and one entry at the window's end has their number and the last of them.

use alloc::{boxed::Box, format, sync::Arc};

use wasmgrid_proto::{
    Act, AuditAction, AuditRecord, Caller, JobId, Micros, Millis,
    text::Name,
    wire::{ApiError, Role},
};

use super::{
    acts::{OpenAct, Refusal, Refusals, Who},
    grid::Grid,
};
use crate::io::{ClientRequest, Input, Output};

/// Refused attempts of one caller that are entries of their own in one window. Enough to see what
/// somebody tries, and few beside the entries that a log holds.
pub const REFUSALS_ENTERED: u64 = 10;

/// How long a caller's refused attempts are counted together.
pub const REFUSALS_WINDOW: Millis = Millis(24 * 60 * 60 * 1_000);

/// Callers whose refused attempts are counted at a time: more than a grid has members. If there are
/// more, the window that ends first ends now.
const CALLERS_MAX: usize = 4_096;

impl Grid {
    /// A request is about to be handled: remembers it if it belongs in the audit log.
    pub(super) fn begin_act(&mut self, input: &Input) {
        self.audit.open = self.open_act(input);
    }

    /// The request that was begun is about to be answered, for this reason if it was refused.
    pub(super) fn end_act(&mut self, refused: Option<&ApiError>) {
        let Some(OpenAct { by, act, written, appends }) = self.audit.open.take() else { return };
        match refused {
            Some(error) => self.refused(by, act, error.reason.name().into()),
            None if written == self.written => {}
            None => {
                if let Some(job) = appends {
                    let who = (by.role, by.known_as());
                    self.audit.appended.entry(job).or_default().insert(who);
                }
                self.enter(AuditRecord::done(self.now, self.date(), (*by).clone(), *act));
            }
        }
    }

    fn open_act(&self, input: &Input) -> Option<OpenAct> {
        let mut appends = None;
        let (by, act) = match input {
            Input::DrainWorker { request, name } => (&request.by, Act::drain(name)),
            Input::CordonWorker { request, name, cordoned } => {
                (&request.by, Act::cordon(name, *cordoned))
            }
            Input::SetQuota { request, tenant, resource, allowed } => {
                (&request.by, Act::quota(tenant, *resource, *allowed))
            }
            Input::Cancel { request, job } => {
                self.on_others_job(request, *job, AuditAction::CancelJob)?
            }
            Input::Retry { request, job, .. } => {
                self.on_others_job(request, *job, AuditAction::RetryJob)?
            }
            Input::Close { request, job } => {
                self.on_others_job(request, *job, AuditAction::CloseJob)?
            }
            Input::AppendAt { request, job, count, .. }
            | Input::Append { request, job, count, .. } => {
                appends = Some(*job);
                let (by, act) = self.first_append(request, *job)?;
                (by, act.with(format!("inputs={count}")))
            }
            Input::Skip { request, job, count, .. } => {
                appends = Some(*job);
                let (by, act) = self.first_append(request, *job)?;
                (by, act.with(format!("skipped={count}")))
            }
            _ => return None,
        };
        let (by, act) = (Arc::clone(by), Box::new(act));
        (by.role != Role::Scheduler).then_some(OpenAct { by, act, written: self.written, appends })
    }

    /// An action on a job, unless it is the caller's own or nobody's.
    fn on_others_job<'a>(
        &self,
        request: &'a ClientRequest,
        job: JobId,
        action: AuditAction,
    ) -> Option<(&'a Arc<Caller>, Act)> {
        self.is_others(request, job).then(|| (&request.by, self.act_on_job(action, job)))
    }

    /// Whether a job is another tenant's than the caller's.
    fn is_others(&self, request: &ClientRequest, job: JobId) -> bool {
        self.ledger.job(job).is_some_and(|entry| entry.tenant() != &*request.by.tenant)
    }

    /// As [`Self::on_others_job`], unless the caller has appended to the job before.
    fn first_append<'a>(
        &self,
        request: &'a ClientRequest,
        job: JobId,
    ) -> Option<(&'a Arc<Caller>, Act)> {
        if !self.is_others(request, job) {
            return None;
        }
        let appended = self.audit.appended.get(&job);
        let who = || (request.by.role, request.by.known_as());
        let is_first = appended.is_none_or(|appended| !appended.contains(&who()));
        is_first.then(|| (&request.by, self.act_on_job(AuditAction::AppendToJob, job)))
    }

    /// An action on a job, as the audit log has it.
    #[must_use]
    pub fn act_on_job(&self, action: AuditAction, job: JobId) -> Act {
        let name = self.ledger.job(job).map_or("", |entry| entry.spec().name.as_str());
        Act::on_job(action, job, name)
    }

    /// Enters a refused attempt, or counts it.
    pub(super) fn refused(&mut self, by: Arc<Caller>, act: Box<Act>, reason: Name) {
        let who = (by.role, by.known_as());
        if !self.audit.refusals.contains_key(&who) {
            self.begin_window(who.clone());
        }
        let Some(refusals) = self.audit.refusals.get_mut(&who) else { return };
        if refusals.entered >= REFUSALS_ENTERED {
            refusals.more += 1;
            refusals.last = Some(Refusal { by, act, reason });
            return;
        }
        refusals.entered += 1;
        self.enter_refusal(Refusal { by, act, reason }, 1);
    }

    fn begin_window(&mut self, who: Who) {
        if self.audit.refusals.len() >= CALLERS_MAX
            && let Some(ended) = self.audit.end_window(Micros(u64::MAX))
        {
            self.enter_counted(ended);
        }
        let ends = self.now.after(REFUSALS_WINDOW);
        self.audit.ends.insert((ends, who.clone()));
        self.audit.refusals.insert(who, Refusals { entered: 0, more: 0, last: None });
    }

    /// Enters what was counted in windows that have ended.
    pub(super) fn enter_refusals(&mut self) {
        while let Some(ended) = self.audit.end_window(self.now) {
            self.enter_counted(ended);
        }
    }

    fn enter_counted(&mut self, Refusals { more, last, .. }: Refusals) {
        if let Some(last) = last {
            self.enter_refusal(last, more);
        }
    }

    fn enter_refusal(&mut self, Refusal { by, act, reason }: Refusal, count: u64) {
        let done = AuditRecord::done(self.now, self.date(), (*by).clone(), *act);
        self.enter(AuditRecord { outcome: reason, count, ..done });
    }

    fn enter(&mut self, record: AuditRecord) {
        self.output(Output::Audit(Box::new(record)));
    }
}
