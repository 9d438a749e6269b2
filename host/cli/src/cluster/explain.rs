//! `wasmgrid job explain`: why a job's tasks wait, and what would help.

use wasmgrid_proto::{Explanation, text::counted};
use wasmgrid_views::ExplanationView;

use crate::{args::Format, print::data, table, words};

/// Prints an explanation.
///
/// # Errors
/// Where stdout cannot be written.
pub fn show(explanation: &Explanation, output: Format) -> anyhow::Result<()> {
    let Explanation { job, tenant, state, counts, .. } = explanation;
    let view = ExplanationView::new(explanation, table::now(), |wait| Some(words::remedy(wait)));
    if output == Format::Json {
        return table::json(&view);
    }
    let (running, ended) = (counts.running, counts.ended());
    let waiting = counted(counts.queued, "waiting task");
    data!("job {job} of {tenant} is {state}: {waiting}, {running} given out, {ended} ended")?;
    if view.reasons.is_empty() {
        data!("nothing keeps it waiting")?;
    }
    for reason in view.reasons {
        let who = Some(reason.tasks).filter(|tasks| *tasks > 0);
        let who = who.map(|tasks| counted(tasks, "task") + ": ").unwrap_or_default();
        data!("- {who}{}", reason.text)?;
        if let Some(help) = reason.help.filter(|help| !help.is_empty()) {
            data!("  {help}")?;
        }
    }
    Ok(())
}
