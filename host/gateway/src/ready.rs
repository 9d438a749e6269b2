//! Whether the gateway can do its work: its grid answers, and can store what it is given. It is asked at
//! most once a second, as anybody may ask.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use wasmgrid_proto::{Reason, wire::ApiError};

use crate::{
    clients::Clients,
    grid::Grid,
    problem::{Problem, chain},
};

/// For how long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// For how long the grid may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What is known.
#[derive(Default)]
pub struct Ready(Mutex<Option<(Instant, Result<(), Why>)>>);

/// Why it cannot.
#[derive(Clone, Debug)]
enum Why {
    /// The grid does not answer.
    Away(String),
    /// It answers, and can store nothing.
    StoresNothing,
}

/// Asks the grid, unless that was done just before.
///
/// # Errors
/// If it does not answer, or can store nothing.
pub async fn check(ready: &Ready, clients: &Clients, grid: &dyn Grid) -> Result<(), Problem> {
    let mut known = ready.0.lock().await;
    let fresh = known.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR);
    let answer = match fresh {
        Some((_, answer)) => answer.clone(),
        None => {
            let asked = async {
                let client = clients.get(grid, None).await?;
                client.refuses_work().await
            };
            let answer = match timeout(ANSWER_TIME, asked).await {
                Ok(Ok(refusal)) => refusal.map_or(Ok(()), |refusal| can_store(&refusal)),
                Ok(Err(error)) => Err(Why::Away(chain(&error))),
                Err(_) => Err(Why::Away("the scheduler did not answer in time".to_owned())),
            };
            *known = Some((Instant::now(), answer.clone()));
            answer
        }
    };
    answer.map_err(|why| match why {
        Why::Away(error) => {
            tracing::debug!(error, "not ready");
            Problem::away("the scheduler does not answer")
        }
        Why::StoresNothing => Problem::away("the scheduler can store nothing"),
    })
}

/// That the scheduler takes no new work as long as little room is left on the disk is no reason to send
/// requests elsewhere: results still come and are read.
fn can_store(refusal: &ApiError) -> Result<(), Why> {
    match *refusal.reason {
        Reason::DiskFull | Reason::StoreInDoubt => Err(Why::StoresNothing),
        _ => Ok(()),
    }
}
