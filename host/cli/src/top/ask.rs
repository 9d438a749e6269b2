//! What `top` asks the grid, again and again.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use wasmgrid_client::{Client, ClientError};
use wasmgrid_proto::{
    JobFilter, JobId, JobRow, JobState, JobSummary, Overview, WorkerFilter, WorkerRow, wire::More,
};

/// Rows of a list that are asked for: more than a terminal shows.
const ROWS: u32 = 200;

/// Active jobs beside the overview.
const RUNNING: u32 = 20;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The overview, and the newest active jobs.
    Overview,
    /// Jobs that meet the filter.
    Jobs(JobFilter),
    /// Workers that meet the filter.
    Workers(WorkerFilter),
    /// One job.
    Job(JobId),
}

/// What the grid said.
#[derive(Debug)]
pub enum News {
    /// To this question.
    Seen(Query, Box<Seen>),
    /// To this question, that it cannot be answered.
    Refused(Query, ClientError),
    /// Nothing for longer than the interval: it is away.
    Silent,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How the grid is.
    pub overview: Overview,
    /// What was looked at.
    pub of: Of,
}

/// What was looked at.
#[derive(Clone, Debug)]
pub enum Of {
    /// Jobs, the newest first, and how many are behind them.
    Jobs(Vec<JobRow>, More),
    /// Workers by number; true if there are more.
    Workers(Vec<WorkerRow>, bool),
    /// One job.
    Job(Box<JobSummary>),
}

/// Asks each `interval`, and at once if the question changes, until nobody listens.
pub async fn again_and_again(
    client: Client,
    mut questions: watch::Receiver<Query>,
    interval: Duration,
    tells: mpsc::Sender<News>,
) {
    loop {
        let query = questions.borrow_and_update().clone();
        let due = Instant::now() + interval;
        let Some(told) = answered(&client, &query, interval, &tells).await else { return };
        if tells.send(told).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep_until(due) => {}
            changed = questions.changed() => if changed.is_err() { return },
        }
    }
}

/// The answer. While it does not come, that is told each interval: the client dials again by itself.
async fn answered(
    client: &Client,
    query: &Query,
    interval: Duration,
    tells: &mpsc::Sender<News>,
) -> Option<News> {
    let asked = ask(client, query);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            seen = &mut asked => {
                let query = query.clone();
                return Some(match seen {
                    Ok(seen) => News::Seen(query, Box::new(seen)),
                    Err(error) => News::Refused(query, error),
                });
            }
            () = tokio::time::sleep(interval.max(Duration::from_secs(2))) => {
                tells.send(News::Silent).await.ok()?;
            }
        }
    }
}

async fn ask(client: &Client, query: &Query) -> Result<Seen, ClientError> {
    let of = match query {
        Query::Overview => {
            let states = vec![JobState::Active];
            jobs(client, RUNNING, &JobFilter { states, ..JobFilter::default() }).await?
        }
        Query::Jobs(filter) => jobs(client, ROWS, filter).await?,
        Query::Workers(filter) => {
            let (rows, next) = client.worker_rows(None, ROWS, filter).await?;
            Of::Workers(rows, next.is_some())
        }
        Query::Job(job) => Of::Job(Box::new(client.job_summary(*job).await?)),
    };
    Ok(Seen { overview: client.overview().await?, of })
}

async fn jobs(client: &Client, limit: u32, filter: &JobFilter) -> Result<Of, ClientError> {
    let (rows, _, more) = client.job_rows(None, limit, filter).await?;
    Ok(Of::Jobs(rows, more))
}
