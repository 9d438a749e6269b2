//! Results of a job as its page shows them: a few from each end of its log.

use std::time::Duration;

use bytes::Bytes;
use wasmgrid_client::{ClientError, JobEvent};
use wasmgrid_pages::{
    GuestBlock,
    job::{ResultItem, Results, Shown},
};
use wasmgrid_proto::{JobId, JobStatus, ResultMeta};

use crate::{access::Access, counted, extract::ask, picture::kind_of, problem::Problem};

/// Results from each end.
const FEW: u64 = 8;

/// For how long a page waits for room for what it shows.
pub const ROOM_TIME: Duration = Duration::from_secs(5);

/// Bytes of a result's text.
const TEXT_BYTES: usize = 400;

/// The first and the last results.
pub async fn of_job(access: &Access, status: &JobStatus, shown: Shown) -> Result<Results, Problem> {
    let all = status.results;
    if all == 0 {
        return Ok(Results { shown, ..Results::default() });
    }
    let first = items(access, status.job, 0, FEW.min(all), shown).await?;
    let from = all.saturating_sub(FEW).max(FEW);
    let last = match all.saturating_sub(from) {
        0 => Vec::new(),
        count => items(access, status.job, from, count, shown).await?,
    };
    Ok(Results { shown, first, last })
}

async fn items(
    access: &Access,
    job: JobId,
    from: u64,
    count: u64,
    shown: Shown,
) -> Result<Vec<ResultItem>, Problem> {
    let read = read(access, job, from, count, |meta, bytes| item(job, meta, bytes, shown));
    match ask(read).await {
        Ok(items) => Ok(items),
        // They were deleted: the page says how many there are.
        Err(problem) if problem.status() == axum::http::StatusCode::GONE => Ok(Vec::new()),
        Err(problem) => Err(problem),
    }
}

/// What becomes of so many results from a position of the log on.
pub async fn read<T>(
    access: &Access,
    job: JobId,
    from: u64,
    count: u64,
    mut of: impl FnMut(&ResultMeta, &Bytes) -> T,
) -> Result<Vec<T>, ClientError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let watch = counted::Results::watch(&access.client, &access.answers, job, from, ROOM_TIME);
    let (_, mut results) = watch.await?;
    let mut found = Vec::new();
    while found.len() < count {
        let Some(event) = results.next().await else { break };
        match event? {
            JobEvent::Results { first_cursor, block, payload } => {
                let skip = usize::try_from(from.saturating_sub(first_cursor)).unwrap_or(usize::MAX);
                let skip = if found.is_empty() { skip } else { 0 };
                let entries = block.entries(&payload).ok().into_iter().flatten();
                let rest = count - found.len();
                found.extend(entries.skip(skip).take(rest).map(|(meta, bytes)| of(meta, &bytes)));
            }
            JobEvent::Update(_) => {}
            JobEvent::Ended(_) => break,
        }
    }
    Ok(found)
}

fn item(job: JobId, meta: &ResultMeta, bytes: &Bytes, shown: Shown) -> ResultItem {
    let (output, records, _) = meta.split(bytes).unwrap_or_default();
    let picture = (shown == Shown::Pictures && kind_of(&output).is_some())
        .then(|| format!("/jobs/{job}/tasks/{}/picture", meta.index));
    let text = match shown {
        Shown::Records => records
            .iter()
            .flat_map(|record| [record.as_ref(), b"\n"])
            .flatten()
            .copied()
            .take(TEXT_BYTES)
            .collect(),
        Shown::Pictures | Shown::Text => {
            output.iter().copied().take(TEXT_BYTES).collect::<Vec<_>>()
        }
    };
    ResultItem { index: meta.index, picture, text: GuestBlock::of_bytes(&text) }
}
