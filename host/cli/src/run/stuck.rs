//! A hint on stderr where nothing of a job runs for a while: why, and what would help.

use std::{future::Future, pin::pin, time::Duration};

use wasmgrid_client::Client;
use wasmgrid_proto::JobId;

use crate::{print::message, table, words};

/// How long nothing may run before that is worth a word: longer than workers take to come back
/// and modules to be compiled.
const AFTER: Duration = Duration::from_secs(5);

/// Waits for `running`, and lets `hint` have its say meanwhile.
pub async fn beside<T>(running: impl Future<Output = T>, hint: impl Future<Output = ()>) -> T {
    let mut running = pin!(running);
    tokio::select! {
        biased;
        ended = &mut running => return ended,
        () = hint => {}
    }
    running.await
}

/// Says once why nothing of the job runs, where nothing does; on a cluster also how to ask again.
pub async fn hint(client: &Client, job: JobId, on_cluster: bool) {
    tokio::time::sleep(AFTER).await;
    // Where the link is lost the session says so.
    let Ok(explanation) = client.explain(job).await else { return };
    let counts = explanation.counts;
    let Some(reason) = explanation.reasons.first() else { return };
    if counts.running > 0 || counts.queued == 0 || explanation.state.is_terminal() {
        return;
    }
    message!("nothing of job {job} runs yet: {}", reason.wait.text(table::now()));
    if on_cluster {
        message!("`wasmgrid job explain {job}` says why it waits and what would help");
        return;
    }
    let help = words::remedy(&reason.wait);
    if !help.is_empty() {
        message!("{help}");
    }
}
