//! Certificates that are renewed, and an authority that is replaced, while links stay.

use std::time::Duration;

use wasmgrid_net::{Authority, Credentials, Endpoint, NetError, Renewal, Role, enroll};
use wasmgrid_proto::{
    Micros,
    wire::{Drain, Renewed, ToWorker},
};

use crate::{enrollment, grid::Grid};

const LIFE: Duration = Authority::MEMBER_VALIDITY;

/// What the scheduler answers who has this certificate.
fn sign(authority: &Authority, key: &Renewal, member: &Credentials) -> Renewed {
    let (request, identity) = (key.request().csr, member.identity());
    authority.sign(&request, identity.role(), identity.name(), &[], LIFE).unwrap().renewed
}

/// A member's next credentials.
fn renew(authority: &Authority, member: &Credentials) -> Credentials {
    let key = Renewal::new().unwrap();
    let renewed = sign(authority, &key, member);
    key.accept(member.identity(), renewed).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_stays_while_both_sides_renew_their_certificates() {
    let grid = Grid::new();
    let endpoint = grid.endpoint(Role::Worker);
    let addresses = grid.addresses();
    let (scheduler, worker) =
        tokio::join!(grid.accept_worker(), endpoint.connect_worker(&addresses));
    let mut worker = worker.unwrap();
    grid.listener.presented().replace(&grid.credentials(Role::Scheduler, "one")).unwrap();
    endpoint.renew(renew(&grid.authority, &endpoint.credentials()));
    scheduler.sender.send(ToWorker::Drain(Drain { leave: true })).await.unwrap();
    assert!(worker.receiver.recv().await.unwrap().is_some());
    // The next link has the new ones.
    let (next, _worker) = tokio::join!(grid.accept_worker(), endpoint.connect_worker(&addresses));
    assert_eq!(next.peer.identity, scheduler.peer.identity);
    let wrong = grid.listener.presented().replace(&grid.credentials(Role::Scheduler, "two"));
    assert!(matches!(wrong, Err(NetError::Credentials { .. })), "{wrong:?}");
}

#[test]
fn a_member_believes_no_certificate_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create("home", folder.path()).unwrap();
    let member = authority.issue(Role::Worker, "a", LIFE).unwrap();
    let other = authority.issue(Role::Worker, "b", LIFE).unwrap();
    let key = || Renewal::new().unwrap();
    let refused = |key: Renewal, renewed| key.accept(member.identity(), renewed).unwrap_err();
    let of_another_key = sign(&authority, &key(), &member);
    assert!(refused(key(), of_another_key).to_string().contains("another key"));
    let theirs = key();
    let of_another = sign(&authority, &theirs, &other);
    assert!(refused(theirs, of_another).to_string().contains("somebody else"));
    let folder = tempfile::tempdir().unwrap();
    let stranger = Authority::create("home", folder.path()).unwrap();
    let mixed = key();
    let authority = sign(&authority, &mixed, &member).authority;
    let renewed = Renewed { authority, ..sign(&stranger, &mixed, &member) };
    assert!(refused(mixed, renewed).to_string().contains("did not sign"));
}

/// The authority of the grid is replaced by another one, as long as the former one's certificates
/// last.
fn replace(grid: &Grid) {
    grid.authority.replace(Micros(u64::MAX)).unwrap();
    present(grid);
}

fn present(grid: &Grid) {
    grid.listener.presented().replace(&grid.credentials(Role::Scheduler, "one")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_while_the_authority_was_replaced_is_let_in_and_moves() {
    let grid = Grid::new();
    let (addresses, token) = (grid.addresses(), enrollment::token(&grid));
    let (stays, goes) = (grid.endpoint(Role::Worker), grid.endpoint(Role::Client));
    replace(&grid);
    let again = grid.authority.replace(Micros(u64::MAX)).unwrap_err().to_string();
    assert!(again.contains("retire it first"), "{again}");
    assert!(goes.renew_at() > Micros(0));
    // Both trust the new one by the old one's word, and learn that they should move.
    let (accepted, link) = tokio::join!(grid.listener.accept(), goes.connect_client(&addresses));
    assert_eq!(goes.renew_at(), Micros(0));
    let (shown, link) = (accepted.unwrap(), link.unwrap());
    drop((shown, link));
    goes.renew(renew(&grid.authority, &goes.credentials()));
    let (_accepted, link) = tokio::join!(grid.listener.accept(), goes.connect_client(&addresses));
    link.unwrap();
    assert!(goes.renew_at() > Micros(0), "it has moved");
    // A token from before leads to the new one.
    let (enrolled, _asked) = tokio::join!(enroll(&token, "late"), enrollment::serve(&grid));
    let late = Endpoint::new(&enrolled.unwrap());
    assert!(grid.authority.retire().unwrap());
    present(&grid);
    let (_accepted, link) = tokio::join!(grid.listener.accept(), late.connect_worker(&addresses));
    link.unwrap();
    let (_accepted, link) = tokio::join!(grid.listener.accept(), goes.connect_client(&addresses));
    link.unwrap();
    // Who has not moved is out, and tokens from before are refused with the reason.
    let refused = stays.connect_worker(&addresses).await.unwrap_err();
    assert!(matches!(refused, NetError::BadCertificate { .. }), "{refused}");
    let refused = enroll(&token, "later").await.unwrap_err().to_string();
    assert!(refused.contains("replaced and retired"), "{refused}");
    assert!(!grid.authority.retire().unwrap(), "there is nothing more to retire");
}

#[test]
fn an_authority_that_was_replaced_is_read_back_with_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let made = Authority::create("home", folder.path()).unwrap();
    let (first, old) = (made.ca_hash(), made.issue(Role::Worker, "a", LIFE).unwrap());
    let until = Micros(2_000_000_000_000_000);
    made.replace(until).unwrap();
    let loaded = Authority::load(folder.path()).unwrap();
    assert_eq!(loaded.former(), Some((first, until)));
    assert_eq!(loaded.ca_hash(), made.ca_hash());
    assert_ne!(loaded.ca_hash(), first);
    assert!(loaded.is_outdated(old.certificate()));
    assert!(!loaded.is_outdated(renew(&loaded, &old).certificate()));
    made.retire().unwrap();
    assert_eq!(Authority::load(folder.path()).unwrap().former(), None);
}

#[test]
fn a_member_is_known_by_its_key_and_certificate_also_after_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create("home", folder.path()).unwrap();
    let ended = authority.issue(Role::Worker, "a", Duration::ZERO).unwrap();
    let stranger = {
        let folder = tempfile::tempdir().unwrap();
        Authority::create("home", folder.path()).unwrap()
    };
    let again = |credentials: &Credentials| credentials.again().unwrap();
    let (key, certificate) = again(&ended);
    let known = authority.recognize(&certificate, &key.request().csr).unwrap();
    assert_eq!(known.identity.to_string(), "spiffe://home/worker/a");
    let other_key = Renewal::new().unwrap();
    assert!(authority.recognize(&certificate, &other_key.request().csr).is_err());
    assert!(stranger.recognize(&certificate, &key.request().csr).is_err());
}

#[test]
fn a_certificate_that_is_not_good_by_this_clock_replaces_none_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create("home", folder.path()).unwrap();
    let issue = |life| authority.issue(Role::Worker, "a", life).unwrap();
    let (good, ended) = (issue(LIFE), issue(Duration::ZERO));
    let refused = Endpoint::new(&good).check(&ended).unwrap_err().to_string();
    assert!(refused.contains("check the clocks"), "{refused}");
    // Where neither is good the clock here is wrong, and the scheduler knows better.
    Endpoint::new(&ended).check(&issue(Duration::ZERO)).unwrap();
    Endpoint::new(&ended).check(&good).unwrap();
}
