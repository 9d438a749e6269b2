//! Who holds on to a place at the port keeps nobody else out.

use wasmgrid_net::{
    Accepted, Authority, Credentials, JoinToken, ListenerConfig, NetError, Role, enroll,
};
use wasmgrid_proto::wire::{Enrolled, FromJoiner, Renewed, ToJoiner};

use crate::{crowd, grid::Grid};

/// More than there are places for handshakes, of those whose address is known too.
const UNFINISHED: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_begun_and_never_finished_keep_nobody_out() {
    let grid = Grid::new();
    let _crowd = crowd::unfinished(grid.listener.local_addr(), UNFINISHED).await;
    grid.still_accepts().await;
}

/// Lets a machine join, as a scheduler would.
async fn join(grid: &Grid) -> Result<Credentials, NetError> {
    let (grid_name, ca_hash) = (grid.authority.grid().to_owned(), grid.authority.ca_hash());
    let (addresses, token, secret, role) = (grid.addresses(), 7, [3; 32], Role::Worker);
    let token = JoinToken { grid: grid_name, addresses, ca_hash, token, secret, role };
    let serve = async {
        let Some(Accepted::Joiner(mut link)) = grid.listener.accept().await else {
            panic!("another link than a joiner's")
        };
        let FromJoiner::Enroll(asked) = link.receiver.recv().await.unwrap().unwrap().message;
        let (name, validity) = (asked.name, Authority::MEMBER_VALIDITY);
        let signed = grid.authority.sign(&asked.csr, role, &name, &[], validity).unwrap();
        let Renewed { certificate, authority } = signed.renewed;
        let answer = ToJoiner::Enrolled(Enrolled { role, name, certificate, authority });
        link.sender.send(answer).await.unwrap();
        assert_eq!(link.receiver.recv().await, Ok(None));
    };
    let enrolling = enroll(&token, "laptop");
    tokio::pin!(enrolling);
    tokio::select! {
        enrolled = &mut enrolling => enrolled,
        () = serve => enrolling.await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_keep_no_machine_from_joining() {
    let config = ListenerConfig { joiners: 4, ..ListenerConfig::default() };
    for opens in [false, true] {
        let grid = Grid::with(config);
        let _crowd = crowd::silent(grid.listener.local_addr(), 20, opens).await;
        join(&grid).await.unwrap();
    }
}
