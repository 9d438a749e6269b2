//! Gateways, which say for whom they act when a link opens, and others who say so.

use wasmgrid_net::{
    Accepted, ActFor, Endpoint, Identity, Link, ListenerConfig, NetError, Release, Role,
    in_process, in_process_for,
};
use wasmgrid_proto::wire::{FromClient, Hello, Request, RequestFrame, ToClient};

use crate::{grid::Grid, raw};

fn act_for(tenant: &str) -> ActFor {
    ActFor { tenant: tenant.into(), role: Role::Client, name: "ci".into() }
}

async fn accepted(grid: &Grid) -> Link<ToClient, FromClient> {
    match grid.listener.accept().await {
        Some(Accepted::Client(link)) => link,
        other => panic!("{other:?}"),
    }
}

/// Both ends of a gateway's link: the scheduler's first.
async fn linked(
    grid: &Grid,
    act_for: Option<&ActFor>,
) -> (Link<ToClient, FromClient>, Link<FromClient, ToClient>) {
    let (endpoint, addresses) = (grid.endpoint(Role::Gateway), grid.addresses());
    let dialling = endpoint.connect_gateway(&addresses, act_for);
    let (accepted, dialled) = tokio::join!(accepted(grid), dialling);
    (accepted, dialled.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_says_for_whom_it_acts_and_its_other_links_are_its_own() {
    let grid = Grid::new();
    let ada = act_for("ada");
    for says in [Some(&ada), None] {
        let (mut scheduler, gateway) = linked(&grid, says).await;
        assert_eq!(scheduler.peer.identity.to_string(), "spiffe://home/gateway/test");
        assert_eq!(scheduler.peer.act_for().as_ref(), says);
        assert!(!scheduler.peer.is_impostor());
        let asked = FromClient::Request(RequestFrame { id: 1, request: Request::CreateLogin });
        gateway.sender.send(asked.clone()).await.unwrap();
        assert_eq!(scheduler.receiver.recv().await.unwrap(), Some(asked.into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_gateway_and_says_that_it_acts_for_a_tenant_is_refused_and_told_of() {
    let grid = Grid::new();
    let (addresses, ada) = (grid.addresses(), act_for("ada"));
    for role in [Role::Worker, Role::Client, Role::Operator] {
        let hello = Hello::new("1.2.3").acting_for(&ada);
        let endpoint = Endpoint::saying(hello, &grid.credentials(role, "eve"));
        let dialling = async {
            match role {
                Role::Worker => endpoint.connect_worker(&addresses).await.map(drop),
                _ => endpoint.connect_client(&addresses).await.map(drop),
            }
        };
        let (told, refused) = tokio::join!(grid.listener.accept(), dialling);
        let Some(Accepted::Impostor(peer)) = told else { panic!("{told:?}") };
        assert_eq!((peer.identity.role(), peer.identity.name()), (role, "eve"));
        assert_eq!(peer.act_for().as_ref(), Some(&ada));
        let refused = refused.unwrap_err();
        assert!(matches!(refused, NetError::Refused { .. }), "{refused:?}");
        let why = format!("only a gateway acts for tenants, and {role} eve is none");
        assert!(refused.to_string().contains(&why), "{refused}");
        grid.still_accepts().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_acts_for_nobody() {
    let grid = Grid::new();
    let address = grid.listener.local_addr();
    let connection = raw::connect(address, None, "wasmgrid-enroll/1", Default::default());
    let connection = connection.await.unwrap();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    let hello = raw::hello_frame(&Hello::new("raw").acting_for(&act_for("ada")));
    send.write_all(&[raw::OPEN_JOINER, &hello].concat()).await.unwrap();
    let told = connection.closed().await.to_string();
    assert!(told.contains("who joins acts for nobody"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_acts_for_nobody_who_asks_no_grid() {
    let grid = Grid::new();
    let endpoint = grid.endpoint(Role::Gateway);
    for role in [Role::Worker, Role::Scheduler, Role::Gateway] {
        let worker = ActFor { role, ..act_for("ada") };
        let refused = endpoint.connect_gateway(&grid.addresses(), Some(&worker)).await.unwrap_err();
        assert!(refused.to_string().contains("acts for a client or an operator"), "{refused}");
    }
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_gateway_dials_as_one_and_it_dials_as_nobody_else() {
    let grid = Grid::new();
    let addresses = grid.addresses();
    for role in [Role::Worker, Role::Client, Role::Operator] {
        let dialled = grid.endpoint(role).connect_gateway(&addresses, None).await;
        assert!(matches!(dialled, Err(NetError::WrongRole { .. })), "{dialled:?}");
    }
    let gateway = grid.endpoint(Role::Gateway);
    let dialled = gateway.connect_client(&addresses).await;
    assert!(matches!(dialled, Err(NetError::WrongRole { .. })), "{dialled:?}");
    let dialled = gateway.connect_worker(&addresses).await;
    assert!(matches!(dialled, Err(NetError::WrongRole { .. })), "{dialled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_has_so_many_links_for_each_tenant_and_so_many_in_all() {
    let config =
        ListenerConfig { links_per_identity: 1, links_per_gateway: 3, ..Default::default() };
    let grid = Grid::with(config);
    let (endpoint, addresses) = (grid.endpoint(Role::Gateway), grid.addresses());
    let (ada, bob) = (act_for("ada"), act_for("bob"));
    let mut links = vec![linked(&grid, Some(&ada)).await];
    let refused = endpoint.connect_gateway(&addresses, Some(&ada)).await;
    assert!(matches!(refused, Err(NetError::Busy { .. })), "{refused:?}");
    links.push(linked(&grid, Some(&bob)).await);
    links.push(linked(&grid, None).await);
    let refused = endpoint.connect_gateway(&addresses, Some(&act_for("cat"))).await;
    assert!(matches!(refused, Err(NetError::Busy { .. })), "{refused:?}");
    drop(links);
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_scheduler_says_of_whom_it_refuses_names_the_extension_of_a_later_release() {
    // A scheduler of the release before, which knows no such extension, and says so.
    let refused = Hello::new("1.2.3").acting_for(&act_for("ada"));
    let unknown = refused.extensions.check("the hello", &[]).unwrap_err();
    assert!(unknown.to_string().contains("the hello has the extension 1"), "{unknown}");
    let grid = Grid::new();
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![crate::grid::uri("spiffe://home/scheduler/old")];
    });
    let listener = raw::listen(&folder, "wasmgrid/1");
    let addresses = [listener.local_addr().unwrap().to_string()];
    let scheduler = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().await.unwrap();
        let (_send, mut receive) = connection.accept_bi().await.unwrap();
        receive.read_exact(&mut [0; raw::OPEN_CLIENT.len()]).await.unwrap();
        let hello = raw::read_hello(&mut receive).await;
        let why = hello.extensions.check("the hello", &[]).unwrap_err().to_string();
        // The code for a release that is not understood.
        connection.close(8_u32.into(), why.as_bytes());
        listener.wait_idle().await;
    });
    let (endpoint, ada) = (grid.endpoint(Role::Gateway), act_for("ada"));
    let refused = endpoint.connect_gateway(&addresses, Some(&ada)).await.unwrap_err();
    assert!(matches!(refused, NetError::Minor { .. }), "{refused:?}");
    assert!(refused.to_string().contains("the hello has the extension 1,"), "{refused}");
    scheduler.await.unwrap();
}

#[tokio::test]
async fn a_gateway_in_the_same_process_says_for_whom_it_acts() {
    let name = |role, name| Identity::new("home", role, name).unwrap();
    let (gateway, scheduler) = (name(Role::Gateway, "web"), name(Role::Scheduler, "one"));
    let ada = act_for("ada");
    let ends: (Link<FromClient, ToClient>, Link<ToClient, FromClient>) =
        in_process_for(gateway.clone(), scheduler.clone(), Some(ada.clone()));
    assert_eq!(ends.1.peer.act_for(), Some(ada));
    assert_eq!((ends.0.peer.act_for(), ends.0.peer.release()), (None, Release::ours()));
    let ends: (Link<FromClient, ToClient>, Link<ToClient, FromClient>) =
        in_process(gateway, scheduler);
    assert_eq!(ends.1.peer.act_for(), None);
}
