//! Who is not let in, and what each side is told.

use std::{fs, net::UdpSocket, time::Duration};

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use tempfile::TempDir;
use wasmgrid_net::{
    Authority, CertificateProblem, Credentials, Endpoint, IdentityError, Listener, ListenerConfig,
    NetError, Role,
};

use crate::{
    grid::{Grid, credentials, uri},
    raw,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_grid_is_refused_by_both_sides() {
    let (grid, other) = (Grid::new(), Grid::new());
    let stranger = other.endpoint(Role::Worker);
    let refused = stranger.connect_worker(&grid.addresses()).await.unwrap_err();
    let problem = CertificateProblem::WrongAuthority;
    let address = grid.addresses().remove(0);
    assert_eq!(refused, NetError::BadCertificate { address, problem });
    // One that does not look at the scheduler is refused by the scheduler.
    let folder = grid.folder.path().join("stranger");
    other.credentials(Role::Worker, "stranger").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let told = match raw::connect(address, Some(&folder), "wasmgrid/1", Default::default()).await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    assert!(matches!(told, quinn::ConnectionError::ConnectionClosed(_)), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cannot_be_a_client_nor_a_client_a_worker() {
    let grid = Grid::new();
    let addresses = grid.addresses();
    let refused = grid.endpoint(Role::Worker).connect_client(&addresses).await.unwrap_err();
    let (found, wanted) = ("worker".into(), "client".into());
    assert_eq!(refused, NetError::WrongRole { found, wanted });
    let refused = grid.endpoint(Role::Client).connect_worker(&addresses).await.unwrap_err();
    assert!(matches!(refused, NetError::WrongRole { .. }), "{refused}");
    // One that asks for it all the same is refused by the scheduler.
    let folder = grid.folder.path().join("raw");
    grid.credentials(Role::Client, "raw").save(&folder).unwrap();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let connection = connecting.await.unwrap();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(raw::OPEN_WORKER).await.unwrap();
    let told = connection.closed().await.to_string();
    assert!(told.contains("it wants the link of a worker"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_scheduler_can_stand_for_one() {
    let grid = Grid::new();
    let client = grid.credentials(Role::Client, "impostor");
    let any = "127.0.0.1:0".parse().unwrap();
    let refused = Listener::bind(any, &client, ListenerConfig::default()).unwrap_err();
    assert!(matches!(refused, NetError::WrongRole { .. }), "{refused}");
    // A client's certificate is not one for servers.
    let folder = grid.folder.path().join("impostor");
    client.save(&folder).unwrap();
    assert_refused(&grid, &folder, |problem| matches!(problem, CertificateProblem::Other(_))).await;
    // Even one for servers does not make a worker a scheduler.
    let folder = grid.forge(|_| {});
    assert_refused(&grid, &folder, |problem| {
        let (found, wanted) = ("worker".into(), "scheduler".into());
        *problem == CertificateProblem::WrongRole { found, wanted }
    })
    .await;
    let folder = grid.forge(|params| {
        params.subject_alt_names =
            vec![uri("spiffe://home/scheduler/one"), uri("spiffe://home/worker/two")];
    });
    assert_refused(&grid, &folder, |problem| {
        *problem == CertificateProblem::Identity(IdentityError::Count { found: 2 })
    })
    .await;
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![uri("spiffe://elsewhere/scheduler/one")];
    });
    assert_refused(&grid, &folder, |problem| {
        matches!(problem, CertificateProblem::WrongGrid { .. })
    })
    .await;
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![uri("spiffe://home/scheduler/one")];
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert_refused(&grid, &folder, |problem| *problem == CertificateProblem::Expired).await;
}

/// A worker of the grid refuses the server that shows these credentials.
async fn assert_refused(
    grid: &Grid,
    folder: &std::path::Path,
    expected: impl Fn(&CertificateProblem) -> bool,
) {
    let impostor = raw::listen(folder, "wasmgrid/1");
    let address = impostor.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        if let Some(incoming) = impostor.accept().await {
            let _ = incoming.await;
        }
    });
    let refused = grid.endpoint(Role::Worker).connect_worker(&[address]).await.unwrap_err();
    let NetError::BadCertificate { problem, .. } = refused else { panic!("{refused}") };
    assert!(expected(&problem), "{problem:?}");
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused_and_its_holder_told() {
    let grid = Grid::new();
    let folder = grid.forge(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let expired = Credentials::load(&folder).unwrap();
    let refused = Endpoint::new(&expired).connect_worker(&grid.addresses()).await.unwrap_err();
    let address = grid.addresses().remove(0);
    assert_eq!(refused, NetError::Refused { address, problem: CertificateProblem::Expired });
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_says_nobody_or_two_is_refused() {
    let grid = Grid::new();
    let address = grid.listener.local_addr();
    for names in [vec![], vec![uri("spiffe://home/worker/a"), uri("spiffe://home/worker/b")]] {
        let count = names.len();
        let folder = grid.forge(|params| params.subject_alt_names = names);
        let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
        let told = connecting.await.unwrap().closed().await.to_string();
        assert!(told.contains(&format!("{count} URI names")), "{told}");
        let refused = Credentials::load(&folder).unwrap_err();
        assert_eq!(refused, NetError::Identity(IdentityError::Count { found: count }));
    }
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_certificate_cannot_dial_in() {
    let grid = Grid::new();
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![uri("spiffe://home/scheduler/two")];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", Default::default());
    let told = connecting.await.unwrap().closed().await.to_string();
    assert!(told.contains("a scheduler's certificate cannot make a link"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_there_is_no_link() {
    let grid = Grid::new();
    let address = grid.listener.local_addr();
    let connection = raw::connect(address, None, "wasmgrid/1", Default::default()).await.unwrap();
    let told = connection.closed().await.to_string();
    assert!(told.contains("it shows no certificate"), "{told}");
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_of_the_protocol_is_named_as_the_reason() {
    let grid = Grid::new();
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![uri("spiffe://home/scheduler/one")];
    });
    let newer = raw::listen(&folder, "wasmgrid/2");
    let address = newer.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        if let Some(incoming) = newer.accept().await {
            let _ = incoming.await;
        }
        // With its socket its last packet could go.
        newer
    });
    let addresses = [address.clone()];
    let refused = grid.endpoint(Role::Worker).connect_worker(&addresses).await.unwrap_err();
    assert_eq!(refused, NetError::Version { address });
    serving.await.unwrap();
    let address = grid.listener.local_addr();
    assert!(raw::connect(address, None, "wasmgrid/2", Default::default()).await.is_err());
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_port_changes_nothing() {
    let grid = Grid::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..200_usize {
        // Half of them begin as the first packet of a connection does.
        let first = if round % 2 == 0 { 0xc3 } else { (round * 7) as u8 };
        let garbage: Vec<u8> =
            std::iter::once(first).chain((0..round * 7).map(|i| (i * 31 + round) as u8)).collect();
        socket.send_to(&garbage, grid.listener.local_addr()).unwrap();
    }
    grid.still_accepts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_never_resumed() {
    let grid = Grid::new();
    let folder = grid.folder.path().join("raw");
    grid.credentials(Role::Worker, "raw").save(&folder).unwrap();
    let tickets = std::sync::Arc::<raw::Tickets>::default();
    let address = grid.listener.local_addr();
    let connecting = raw::connect(address, Some(&folder), "wasmgrid/1", tickets.clone());
    let connection = connecting.await.unwrap();
    // Tickets would come with the handshake's end, before anything on a stream.
    let (_streams, _link) = tokio::join!(raw::open(&connection), grid.accept_worker());
    assert_eq!(tickets.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_a_scheduler_is_named() {
    let grid = Grid::new();
    let endpoint = grid.endpoint(Role::Worker);
    assert_eq!(endpoint.connect_worker(&[]).await.unwrap_err(), NetError::NoAddress);
    let refused = endpoint.connect_worker(&["nonsense".into()]).await.unwrap_err();
    assert!(matches!(&refused, NetError::Address { address, .. } if address == "nonsense"));
    // A machine that has nothing on the port says so: that is no silence to be waited out.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = endpoint.connect_worker(std::slice::from_ref(&nobody)).await.unwrap_err();
    let reason = "nothing listens there".to_owned();
    assert_eq!(refused, NetError::Unreachable { address: nobody, reason });
    // The next address is tried where one has nobody.
    let mut addresses = grid.addresses();
    addresses.insert(0, "nonsense".into());
    let (link, _accepted) = tokio::join!(endpoint.connect_worker(&addresses), grid.accept_worker());
    link.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_link_wins_over_an_address_that_is_silent_and_one_that_is_slow_is_closed() {
    let grid = Grid::new();
    let endpoint = grid.endpoint(Role::Worker);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    // This one shakes hands as the grid's scheduler, and says no more.
    let folder = grid.forge(|params| {
        params.subject_alt_names = vec![uri("spiffe://home/scheduler/one")];
    });
    let slow = raw::listen(&folder, "wasmgrid/1");
    let addresses =
        [silent.local_addr().unwrap().to_string(), slow.local_addr().unwrap().to_string()];
    let addresses = [&addresses[..], &grid.addresses()].concat();
    let held = async { slow.accept().await.unwrap().await.unwrap() };
    let (dialled, _accepted, held) =
        tokio::join!(endpoint.connect_worker(&addresses), grid.accept_worker(), held);
    assert_eq!(dialled.unwrap().peer.address, grid.addresses()[0]);
    let end = held.closed().await;
    assert!(
        matches!(&end, quinn::ConnectionError::ApplicationClosed(close) if close.error_code == 0_u32.into()),
        "{end}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_no_address_takes_the_link_each_is_named_with_its_reason() {
    let (grid, other) = (Grid::new(), Grid::new());
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let addresses = ["nonsense".to_owned(), nobody.clone(), other.addresses().remove(0)];
    let error = grid.endpoint(Role::Worker).connect_worker(&addresses).await.unwrap_err();
    let text = error.to_string();
    let strange = other.addresses().remove(0);
    for part in ["\"nonsense\"", &nobody, "nothing listens there", &strange, "authority"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(error.each().len(), 3);
    assert!(matches!(error.telling(), NetError::BadCertificate { .. }), "{:?}", error.telling());
}

#[test]
fn keys_stay_with_their_owner_and_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let made = Authority::create("home", folder.path()).unwrap();
    assert!(matches!(Authority::create("home", folder.path()), Err(NetError::File { .. })));
    let loaded = Authority::load(folder.path()).unwrap();
    assert_eq!((loaded.grid(), loaded.ca_hash()), ("home", made.ca_hash()));
    let member = folder.path().join("member");
    credentials(&made, Role::Operator, "me").save(&member).unwrap();
    let identity = Credentials::load(&member).unwrap().identity().to_string();
    assert_eq!(identity, "spiffe://home/operator/me");
    #[cfg(unix)]
    for key in [folder.path().join("authority.pem"), member.join("identity.pem")] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let refused = made.issue(Role::Worker, "../etc", Duration::from_secs(60)).unwrap_err();
    assert!(matches!(refused, NetError::Identity(IdentityError::Name { .. })), "{refused}");
    let other = tempfile::tempdir().unwrap();
    Authority::create("home", other.path()).unwrap();
    let read = |folder: &TempDir| fs::read_to_string(folder.path().join("authority.pem")).unwrap();
    let (key, certificate) = (read(&other), read(&folder));
    let begin = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
    let mixed = [&key[..begin(&key)], &certificate[begin(&certificate)..]].concat();
    fs::write(folder.path().join("authority.pem"), mixed).unwrap();
    let refused = Authority::load(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("its key is not the one of"), "{refused}");
}
