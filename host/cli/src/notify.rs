//! What a service manager is told (systemd's `Type=notify`): that a grid's part serves, how it
//! stands, that it lives and that it stops. Without one nothing is done here.

use std::{convert::Infallible, env, time::Duration};

use sd_notify::NotifyState;
use tokio::{sync::watch, task, time};
use wasmgrid_worker::LinkState;

/// A scheduler or a gateway serves: tells so, and from then on that it lives.
pub async fn serves(status: String) -> Infallible {
    if is_managed() {
        tell(vec![NotifyState::Ready], Some(status)).await;
    }
    lives().await
}

/// Follows a worker's link: tells of its first one that it serves, and how it stands, and that it
/// lives.
pub async fn worker(grid: &str, mut link: watch::Receiver<LinkState>) -> Infallible {
    let follow = async {
        while is_managed() {
            let (state, status) = standing(grid, &link.borrow_and_update());
            tell(state, Some(status)).await;
            if link.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        never = follow => never,
        never = lives() => never,
    }
}

/// It stops: what it has begun is finished first.
pub async fn stopping() {
    if is_managed() {
        let status = "stopping: running tasks are finished first".into();
        tell(vec![NotifyState::Stopping], Some(status)).await;
    }
}

/// Where a service manager listens there is a socket.
fn is_managed() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

fn standing(grid: &str, link: &LinkState) -> (Vec<NotifyState<'static>>, String) {
    match link {
        LinkState::Linking { reason: None } => (Vec::new(), format!("joining grid {grid}")),
        LinkState::Linking { reason: Some(reason) } => {
            (Vec::new(), format!("no link to grid {grid}: {reason}"))
        }
        LinkState::Joined { .. } => (vec![NotifyState::Ready], format!("works for grid {grid}")),
        LinkState::GaveUp { why } => (Vec::new(), format!("left grid {grid}: {why}")),
        LinkState::Ended => (Vec::new(), format!("left grid {grid}")),
    }
}

/// Tells that this process's runtime goes on, twice in the time after which the manager would take
/// it for hung (`WatchdogSec=`).
async fn lives() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| *limit > Duration::ZERO) else {
        return std::future::pending().await;
    };
    let mut ticks = time::interval(limit / 2);
    loop {
        ticks.tick().await;
        tell(vec![NotifyState::Watchdog], None).await;
    }
}

/// Off the runtime's threads, since a manager that is busy lets one wait.
async fn tell(states: Vec<NotifyState<'static>>, status: Option<String>) {
    let told = task::spawn_blocking(move || {
        // One line, whatever is in it.
        let status = status.map(|status| status.replace(char::is_control, " "));
        let status = status.as_deref().map(NotifyState::Status);
        sd_notify::notify(&states.into_iter().chain(status).collect::<Vec<_>>())
    });
    if let Ok(Err(error)) = told.await {
        tracing::warn!(%error, "failed to notify the service manager");
    }
}
