//! Peers that do not belong: each is refused, the scheduler says so, and the grid goes on.

use std::{future::Future, net::UdpSocket, process::Command, time::Duration};

use wasmgrid_net::{Authority, CertificateProblem, Credentials, Endpoint, NetError, Role};
use wasmgrid_tests::{Grid, binary, guest, wait_for};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// What a dialling client with these credentials is told, where it is refused.
fn dial_as_client(grid: &Grid, credentials: &Credentials) -> Option<NetError> {
    let addresses = [grid.address().to_owned()];
    let endpoint = Endpoint::new(credentials);
    wait(async { endpoint.connect_client(&addresses).await.err() })
}

fn refusal_of_client(grid: &Grid, credentials: &Credentials) -> NetError {
    dial_as_client(grid, credentials).expect("it is refused")
}

fn assert_alive(grid: &Grid) {
    assert_eq!(grid.run(&["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
}

#[test]
fn a_certificate_of_another_authority_is_refused_and_told_of() {
    let mut grid = Grid::start(1, 1);
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let folder = tempfile::tempdir().expect("a folder");
    let other = Authority::create(own.grid(), folder.path()).expect("an authority of that name");
    let stranger = other.issue(Role::Client, "stranger", DAY).expect("credentials");
    let error = refusal_of_client(&grid, &stranger);
    let wrong = CertificateProblem::WrongAuthority;
    assert!(
        matches!(&error, NetError::BadCertificate { problem, .. } | NetError::Refused { problem, .. } if *problem == wrong),
        "{error}"
    );
    grid.scheduler.hear("the refusal", |line| line.contains("127.0.0.1").then_some(()));
    assert_alive(&grid);
}

#[test]
fn an_expired_certificate_is_refused_and_told_of() {
    let mut grid = Grid::start(1, 1);
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    // It ends now, which is over within a second.
    let expired = own.issue(Role::Client, "late", Duration::ZERO).expect("credentials");
    let error = wait_for("the certificate to expire", || dial_as_client(&grid, &expired));
    let told = CertificateProblem::Expired;
    assert!(matches!(&error, NetError::Refused { problem, .. } if *problem == told), "{error}");
    grid.scheduler.hear("the refusal", |line| line.contains("expired").then_some(()));
    assert_alive(&grid);
}

#[test]
fn a_worker_is_no_client_and_a_client_no_worker() {
    let grid = Grid::start(1, 1);
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let worker = own.issue(Role::Worker, "curious", DAY).expect("credentials");
    let error = refusal_of_client(&grid, &worker);
    assert!(matches!(error, NetError::WrongRole { .. }), "{error}");
    let client = own.issue(Role::Client, "helpful", DAY).expect("credentials");
    let addresses = [grid.address().to_owned()];
    let endpoint = Endpoint::new(&client);
    let error = wait(async { endpoint.connect_worker(&addresses).await.err() });
    assert!(matches!(error, Some(NetError::WrongRole { .. })), "{error:?}");
    assert_alive(&grid);
}

#[test]
fn a_peer_that_announces_an_oversized_frame_is_cut_off_and_told_of() {
    let mut grid = Grid::start(1, 1);
    let own = Authority::load(&grid.state_dir().join("ca")).expect("the grid's authority");
    let folder = tempfile::tempdir().expect("a folder");
    let greedy = own.issue(Role::Worker, "greedy", DAY).expect("credentials");
    greedy.save(folder.path()).expect("kept");
    let peer = binary().with_file_name("examples").join("oversized");
    let told = Command::new(peer).arg(grid.address()).arg(folder.path()).output();
    let told = String::from_utf8(told.expect("it is built with the tests").stdout).expect("text");
    assert!(told.contains("frame of 300000 bytes, 262144 allowed"), "{told}");
    grid.scheduler.hear("the refusal", |line| line.contains("greedy").then_some(()));
    assert_alive(&grid);
}

#[test]
fn garbage_on_the_port_changes_nothing() {
    let grid = Grid::start(1, 1);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    for round in 0..2_000u32 {
        let mut state = round;
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        })
        .take(1_200)
        .collect();
        socket.send_to(&garbage, grid.address()).expect("loopback takes it");
    }
    assert_alive(&grid);
}
