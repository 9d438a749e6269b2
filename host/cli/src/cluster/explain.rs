//! `wasmgrid job explain`: why a job's tasks wait, and what would help.

use serde::Serialize;
use wasmgrid_proto::{Explanation, JobState, WaitReason, text::counted};
use wasmgrid_views::CountsView;

use crate::{args::Format, print::data, table, words};

/// An explanation, as `--output json` has it: a public interface.
#[derive(Serialize)]
struct ExplanationView<'a> {
    job: u64,
    tenant: &'a str,
    state: JobState,
    counts: CountsView,
    reasons: Vec<ReasonView>,
}

#[derive(Serialize)]
struct ReasonView {
    /// A short name that stays the same.
    reason: &'static str,
    /// How many tasks wait for it; 0 where it adds to the reason before it.
    tasks: u64,
    text: String,
    help: String,
}

/// Prints an explanation.
///
/// # Errors
/// Where stdout cannot be written.
pub fn show(explanation: &Explanation, output: Format) -> anyhow::Result<()> {
    let Explanation { job, tenant, state, counts, reasons } = explanation;
    let reasons: Vec<ReasonView> = reasons.iter().map(ReasonView::from).collect();
    if output == Format::Json {
        let counts = CountsView::from(counts);
        let (job, state) = (job.0, *state);
        return table::json(&ExplanationView { job, tenant, state, counts, reasons });
    }
    let (running, ended) = (counts.running, counts.ended());
    let waiting = counted(counts.queued, "waiting task");
    data!("job {job} of {tenant} is {state}: {waiting}, {running} given out, {ended} ended")?;
    if reasons.is_empty() {
        data!("nothing keeps it waiting")?;
    }
    for reason in reasons {
        let who = Some(reason.tasks).filter(|tasks| *tasks > 0);
        let who = who.map(|tasks| counted(tasks, "task") + ": ").unwrap_or_default();
        data!("- {who}{}", reason.text)?;
        if !reason.help.is_empty() {
            data!("  {}", reason.help)?;
        }
    }
    Ok(())
}

impl From<&WaitReason> for ReasonView {
    fn from(WaitReason { tasks, wait }: &WaitReason) -> Self {
        let (text, help) = (wait.text(table::now()), words::remedy(wait));
        Self { reason: wait.name(), tasks: *tasks, text, help }
    }
}
