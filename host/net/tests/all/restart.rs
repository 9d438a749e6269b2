//! A scheduler that died without a word: its peers learn of it from its successor.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use wasmgrid_net::{LinkError, Listener, ListenerConfig, Role};
use wasmgrid_proto::wire::{FromWorker, Heartbeat};

use crate::grid::Grid;

/// How long anything may take before a test gives up on it; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_link_to_a_scheduler_that_died_ends_as_soon_as_its_successor_hears_of_it() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (alive, dies) = (runtime(), runtime());
    let grid = alive.block_on(async { Grid::new() });
    // As `wasmgrid up` does, which makes new ones at each start.
    let scheduler = || grid.credentials(Role::Scheduler, "two");
    let config = ListenerConfig::default();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = dies.block_on(async { Listener::bind(any, &scheduler(), config).unwrap() });
    let address = listener.local_addr();
    let accepting = dies.spawn(async move { (listener.accept().await, listener) });
    let endpoint = grid.endpoint(Role::Worker);
    let addresses = [address.to_string()];
    let worker = alive.block_on(endpoint.connect_worker(&addresses)).unwrap();
    let accepted = alive.block_on(accepting).unwrap();
    // As kill -9 would: nothing runs any more that could say goodbye, once its threads have ended.
    dies.shutdown_timeout(PATIENCE);
    drop(accepted);
    alive.block_on(async {
        let successor = bind_again(|| Listener::bind(address, &scheduler(), config)).await;
        let mut receiver = worker.receiver;
        let heartbeat = FromWorker::Heartbeat(Heartbeat::default());
        // Where another packet was first it knows already.
        let _ = worker.sender.send(heartbeat).await;
        let ended = tokio::time::timeout(PATIENCE, receiver.recv()).await;
        // A connection that is only silent ends as "timed out", after 20 s.
        let Ok(Err(LinkError::Lost { reason, .. })) = ended else { panic!("{ended:?}") };
        assert_eq!(reason, "reset by peer");
        drop(successor);
    });
}

/// The dead runtime lets its socket go in its own time.
async fn bind_again<T, E: std::fmt::Debug>(bind: impl Fn() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match bind() {
            Ok(bound) => return bound,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}
