//! Whether the gateway can do its work: its grid answers. It is asked at most once a second, as anybody
//! may ask.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

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
pub struct Ready(Mutex<Option<(Instant, Result<(), String>)>>);

/// Asks the grid, unless that was done just before.
///
/// # Errors
/// If it does not answer.
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
                // That it takes no work now is no reason to send requests elsewhere.
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(chain(&error)),
                Err(_) => Err("the scheduler did not answer in time".to_owned()),
            };
            *known = Some((Instant::now(), answer.clone()));
            answer
        }
    };
    answer.map_err(|why| {
        tracing::debug!(why, "not ready");
        Problem::away("the scheduler does not answer")
    })
}
