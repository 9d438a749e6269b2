use super::*;

fn by(role: Role, name: &str, gateway: Option<&str>) -> Caller {
    let (name, tenant) = (Name::from(name), Name::from(name));
    Caller { role, name, tenant, serial: None, gateway: gateway.map(Into::into) }
}

fn key(tenant: &str, kind: KeyKind, created: u64) -> Key {
    Key {
        tenant: tenant.into(),
        role: Role::Client,
        name: "ci".into(),
        secret_hash: Digest::of(b"secret"),
        created: Micros(created),
        expires: None,
        until: None,
        kind,
        made_by: Maker::of(&by(Role::Operator, "olga", None)),
        revoked: false,
    }
}

fn known(keys: impl IntoIterator<Item = Key>) -> Known {
    let keys = (1..).map(KeyId).zip(keys).collect();
    Known { keys, ..Known::default() }
}

#[test]
fn a_key_ends_by_the_date_and_by_the_grids_own_time() {
    let endless = key("ada", KeyKind::Key, 1);
    assert!(endless.is_good(Micros(u64::MAX), Micros(u64::MAX)));
    let key = Key { expires: Some(Micros(10)), until: Some(Micros(20)), ..endless };
    assert!(key.is_good(Micros(19), Micros(9)));
    assert!(!key.is_good(Micros(19), Micros(10)), "a clock that was set forward passes for time");
    assert!(!key.is_good(Micros(20), Micros(1)), "one that was set back makes no key good again");
    assert!(!Key { revoked: true, ..key }.is_good(Micros(1), Micros(1)));
}

#[test]
fn a_login_code_is_good_once_and_for_two_minutes() {
    let minutes = |count: u64| Micros(count * 60_000_000);
    let mut logins = Logins::default();
    let code = |number: u8| Digest::of(&[number]);
    let (olga, now, date) = (by(Role::Operator, "olga", None), minutes(10), minutes(100));
    let expires = logins.add(code(1), &olga, (now, date));
    assert_eq!(expires, minutes(102));
    assert_eq!(logins.take(&code(2), (now, date)), None, "another one");
    assert_eq!(logins.take(&code(1), (now, date)), Some(Maker::of(&olga)));
    assert_eq!(logins.take(&code(1), (now, date)), None, "it was used");
    for (late, date) in [(minutes(12), date), (now, minutes(102))] {
        logins.add(code(3), &olga, (now, minutes(100)));
        assert_eq!(logins.take(&code(3), (late, date)), None, "too late");
        assert_eq!(logins.take(&code(3), (now, minutes(100))), None, "and gone");
    }
}

#[test]
fn one_member_has_few_codes_and_takes_nobody_elses() {
    let mut logins = Logins::default();
    let code = |who: &str, number: u64| Digest::of(format!("{who}{number}").as_bytes());
    let (ada, bob) = (by(Role::Client, "ada", None), by(Role::Client, "bob", None));
    logins.add(code("bob", 0), &bob, (Micros(0), Micros(0)));
    for number in 0..100 {
        logins.add(code("ada", number), &ada, (Micros(number), Micros(0)));
    }
    assert_eq!(logins.len(), 9);
    assert_eq!(logins.take(&code("ada", 0), (Micros(99), Micros(0))), None, "the oldest goes");
    assert!(logins.take(&code("ada", 99), (Micros(99), Micros(0))).is_some());
    assert!(logins.take(&code("bob", 0), (Micros(99), Micros(0))).is_some());
    logins.forget(&(Role::Client, "ada".into()));
    assert_eq!(logins.len(), 0);
    for number in 0..2_000 {
        let who = by(Role::Client, &format!("user{number}"), None);
        logins.add(code("user", number), &who, (Micros(number), Micros(0)));
    }
    assert_eq!(logins.len(), 1_000);
}

#[test]
fn keys_that_are_over_and_revoked_ones_make_room_and_good_ones_do_not() {
    let of = |kind: KeyKind, count: u64| (0..count).map(move |at| key("ada", kind, at));
    let now = Micros(1_000);
    let full = known(of(KeyKind::Key, 100));
    assert!(full.room(KeyKind::Key, &"ada".into(), now).is_err());
    assert_eq!(full.room(KeyKind::Key, &"bob".into(), now), Ok(vec![]));
    assert_eq!(full.room(KeyKind::Session, &"ada".into(), now), Ok(vec![]), "counted apart");
    let mut revoked = known(of(KeyKind::Key, 100));
    for id in [7, 5] {
        revoked.keys.get_mut(&KeyId(id)).expect("there").revoked = true;
    }
    assert_eq!(revoked.room(KeyKind::Key, &"ada".into(), now), Ok(vec![KeyId(5)]));
    let mut over = known(of(KeyKind::Key, 100));
    over.keys.get_mut(&KeyId(9)).expect("there").until = Some(Micros(999));
    assert_eq!(over.room(KeyKind::Key, &"ada".into(), now), Ok(vec![KeyId(9)]));
    let sessions = known(of(KeyKind::Session, 100));
    let room = sessions.room(KeyKind::Session, &"ada".into(), now);
    assert_eq!(room, Ok(vec![KeyId(1)]), "the oldest session ends for a new one");
}

#[test]
fn all_tenants_together_have_so_many_keys() {
    let keys = (0..10_000).map(|at| key(&format!("t{}", at % 200), KeyKind::Key, at));
    let full = known(keys);
    let refused = full.room(KeyKind::Key, &"ada".into(), Micros(1)).expect_err("full");
    assert_eq!(refused, Reason::TooManyKeysInAll { allowed: 10_000 }.into());
}

#[test]
fn what_was_made_with_a_session_stays_when_that_ends_and_goes_with_its_member() {
    let session = Key { name: "ada".into(), ..key("ada", KeyKind::Session, 1) };
    let made_by = Maker::of(&by(Role::Client, "ada", Some("web")));
    let made = Key { made_by, ..key("ada", KeyKind::Key, 2) };
    let all = known([session, made.clone()]).keys;
    let ended = with_their_own(&all, BTreeSet::from([KeyId(1)]));
    assert_eq!(ended, BTreeSet::from([KeyId(1)]));
    assert!(made.made_by.is(&(Role::Client, "ada".into()), "ada"));
    assert!(
        !made.made_by.is(&(Role::Client, "ada".into()), "lab"),
        "a key of that name is another's"
    );
    assert!(!made.made_by.is(&(Role::Operator, "ada".into()), "ada"));
}

#[test]
fn keys_that_made_each_other_end_together() {
    let holder = |name: &str| Maker {
        role: Role::Client,
        name: name.into(),
        tenant: "ada".into(),
        by_key: true,
    };
    let named =
        |name: &str, made_by| Key { name: name.into(), made_by, ..key("ada", KeyKind::Key, 1) };
    let all =
        known([named("a", holder("b")), named("b", holder("a")), named("c", holder("d"))]).keys;
    let ended = with_their_own(&all, BTreeSet::from([KeyId(1)]));
    assert_eq!(ended, BTreeSet::from([KeyId(1), KeyId(2)]));
}
