//! What a member of a grid sees of its scheduler's sudden end.

use std::{net::IpAddr, time::Duration};

use tokio::time::{Instant, timeout};
use wasmgrid_net::{
    Accepted, Authority, Credentials, Endpoint, Link, Listener, ListenerConfig, Role,
    simulated::{Host, Network},
};
use wasmgrid_proto::wire::{FromWorker, Heartbeat, ToWorker};

const PORT: u16 = 7_000;

fn address(at: u8) -> IpAddr {
    [10, 0, 0, at].into()
}

/// A machine that listens as a scheduler.
fn listen(network: &Network, credentials: &Credentials) -> (Host, Listener) {
    let host = network.host(address(1));
    let listener = Listener::bind_on(&host, PORT, credentials, ListenerConfig::default());
    (host, listener.expect("its port is free"))
}

async fn accepted(listener: &Listener) -> Link<ToWorker, FromWorker> {
    match listener.accept().await {
        Some(Accepted::Worker(link)) => link,
        other => panic!("{other:?}"),
    }
}

/// How long a worker that says something each second goes on with a link to a scheduler whose
/// power failed and that is back after a second, with these credentials.
async fn goes_on(first: &Credentials, then: &Credentials, worker: &Credentials) -> Duration {
    let network = Network::new(1);
    let run = async {
        let (host, listener) = listen(&network, first);
        let machine = network.host(address(2));
        let endpoint = Endpoint::on(&machine, worker);
        let addresses = [format!("{}:{PORT}", address(1))];
        let (link, dialled) =
            tokio::join!(accepted(&listener), endpoint.connect_worker(&addresses));
        let mut dialled = dialled.expect("a link");
        host.kill();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (_host, _listener) = listen(&network, then);
        let back = Instant::now();
        loop {
            let heard = timeout(Duration::from_secs(1), dialled.receiver.recv());
            match heard.await {
                Ok(Err(_)) => break,
                Ok(other) => panic!("nothing was said: {other:?}"),
                Err(_) => {
                    // Where the link is over, the next that is heard is that.
                    let _ = dialled.sender.send(FromWorker::Heartbeat(Heartbeat::default())).await;
                }
            }
        }
        drop(link);
        back.elapsed()
    };
    tokio::select! {
        biased;
        () = network.run() => unreachable!("it never ends"),
        took = run => took,
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_learns_within_seconds_that_its_scheduler_died_and_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::create("world", folder.path()).expect("an authority");
    let issue =
        |role, name| authority.issue(role, name, Authority::MEMBER_VALIDITY).expect("credentials");
    let (scheduler, worker) = (issue(Role::Scheduler, "one"), issue(Role::Worker, "a"));
    // It has a new key, as `wasmgrid up` makes one at each start.
    let took = goes_on(&scheduler, &issue(Role::Scheduler, "one"), &worker).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    // Only who is the same scheduler can say that a connection is gone.
    let took = goes_on(&scheduler, &issue(Role::Scheduler, "two"), &worker).await;
    assert!(took > Duration::from_secs(15), "{took:?}");
}
