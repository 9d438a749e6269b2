//! Keys, logins and gateways, as the command line has them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};
use wasmgrid_tests::{Grid, Home};

fn listed(home: &Home, args: &[&str]) -> Vec<Value> {
    let listed = home.run(args.iter().chain(&["--output", "json"]));
    serde_json::from_str(listed.ok()).expect("a JSON list")
}

fn token(grid: &Grid, flags: &[&str]) -> String {
    let args: Vec<&str> = ["token", "create"].iter().chain(flags).copied().collect();
    grid.run(&args).ok().trim().to_owned()
}

/// The home of a client that has joined.
fn client(grid: &Grid, name: &str) -> Home {
    let home = Home::new();
    let token = token(grid, &["--role", "client", "--name", name]);
    home.run(["context", "add", "team", &token]).ok();
    home
}

#[test]
fn a_key_is_printed_once_listed_without_its_secret_and_revoked_by_itself_or_its_id() {
    let mut grid = Grid::start(0, 1);
    let made = grid.run(&["key", "create", "--tenant", "ada", "--name", "ci", "--ttl", "90d"]);
    let key = made.ok().trim().to_owned();
    assert_eq!(made.text().lines().count(), 1, "{made}");
    let (id, secret) =
        key.strip_prefix("wgk1_").and_then(|rest| rest.split_once('_')).expect("a key");
    assert_eq!((id.len(), secret.len()), (16, 43), "{key}");
    let json =
        grid.run(&["key", "create", "--tenant", "lab", "--role", "operator", "--output", "json"]);
    let other: Value = serde_json::from_str(json.ok()).expect("JSON");
    assert_eq!((&other["tenant"], &other["role"]), (&json!("lab"), &json!("operator")));
    assert_eq!((&other["name"], &other["expires_at_us"]), (&other["id"], &Value::Null));
    let other_key = other["key"].as_str().expect("the key");
    assert!(other_key.starts_with(&format!("wgk1_{}_", other["id"].as_str().expect("an id"))));
    let keys = listed(&grid.home, &["key", "list"]);
    let found = keys.iter().find(|one| one["id"] == id).expect("listed");
    assert_eq!((&found["name"], &found["kind"]), (&json!("ci"), &json!("key")));
    assert_eq!((&found["revoked"], &found["last_used_day_us"]), (&json!(false), &Value::Null));
    let shown = grid.run(&["key", "list"]);
    assert!(shown.ok().contains(id) && !shown.text().contains(secret), "{shown}");
    assert!(!format!("{keys:?}").contains(secret));
    grid.run(&["key", "revoke", id]).ok();
    grid.run(&["key", "revoke", other_key]).ok();
    grid.run(&["key", "revoke", "0000000000000007"])
        .fails_with(2, &["0000000000000007", "key list"]);
    grid.run(&["key", "revoke", "wgk1_7"]).fails_with(2, &["a key or its id", "key list"]);
    grid.kill_scheduler();
    grid.restart_scheduler();
    let keys = listed(&grid.home, &["key", "list"]);
    assert!(keys.len() == 2 && keys.iter().all(|key| key["revoked"] == json!(true)), "{keys:?}");
    let log = grid.run(&["audit"]);
    assert!(log.ok().contains("create-key") && log.text().contains("revoke-key"), "{log}");
    assert!(!log.text().contains(secret), "{log}");
}

#[test]
fn a_client_makes_keys_for_its_own_tenant_alone_and_loses_them_with_its_membership() {
    let grid = Grid::start(0, 1);
    let ada = client(&grid, "ada");
    ada.run(["key", "create", "--tenant", "ada", "--name", "hers"]).ok();
    let others = ada.run(["key", "create", "--tenant", "bob"]);
    others.fails_with(3, &["you are ada and can make keys for yourself alone"]);
    let operator = ada.run(["key", "create", "--tenant", "ada", "--role", "operator"]);
    operator.fails_with(3, &["may not make keys of the role operator"]);
    grid.run(&["key", "create", "--tenant", "bob", "--name", "his"]).ok();
    let names = |keys: &[Value]| -> Vec<String> {
        keys.iter().map(|key| key["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&listed(&ada, &["key", "list"])), ["hers"]);
    grid.run(&["client", "remove", "ada"]).ok();
    let keys = listed(&grid.home, &["key", "list"]);
    let revoked =
        |name: &str| keys.iter().find(|key| key["name"] == name).map(|key| &key["revoked"]);
    assert_eq!((revoked("hers"), revoked("his")), (Some(&json!(true)), Some(&json!(false))));
    grid.run(&["key", "create", "--tenant", "a/b"]).fails_with(2, &["a/b"]);
}

#[test]
fn a_login_link_is_printed_for_a_gateway_whose_address_is_given() {
    let grid = Grid::start(0, 1);
    let link = |args: &[&str]| grid.run(args).ok().trim().to_owned();
    let first = link(&["ui", "--print"]);
    let code = first.strip_prefix("http://127.0.0.1:7434/login?code=").expect("a link");
    assert_eq!(code.len(), 43, "{first}");
    let other = link(&["ui", "--print", "--http", "https://grid.example/"]);
    assert!(other.starts_with("https://grid.example/login?code="), "{other}");
    assert!(!other.ends_with(code), "each code is another one");
    // Not on a terminal nothing is opened.
    assert!(link(&["ui"]).starts_with("http://127.0.0.1:7434/login?code="));
    grid.run(&["ui", "--http", "grid.example"]).fails_with(2, &["the address of a gateway"]);
}

#[test]
fn a_machine_joins_as_a_gateway_is_listed_and_removed() {
    let grid = Grid::start(0, 1);
    let web = Home::new();
    let as_web = || token(&grid, &["--role", "gateway", "--name", "web"]);
    web.run(["context", "add", "team", &as_web()]).fails_with(3, &["the token is for a gateway"]);
    let joined = web.run(["join", &as_web()]);
    joined.ok();
    assert!(joined.stderr.contains("as gateway web"), "{joined}");
    let folder = web.path().join("home/state/gateways/web");
    let mode = fs::metadata(folder.join("identity.pem")).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let described = fs::read_to_string(folder.join("gateway.toml")).expect("kept");
    assert!(described.contains(grid.address()), "{described}");
    // Again it is who it was.
    let again = web.run(["join", &token(&grid, &["--role", "gateway"]), "--name", "web"]);
    assert!(again.stderr.contains("as gateway web;"), "{again}");
    let clients = listed(&grid.home, &["client", "list"]);
    let gateways: Vec<_> = clients.iter().filter(|one| one["role"] == "gateway").collect();
    assert_eq!(gateways.len(), 1, "{clients:?}");
    assert_eq!(gateways[0]["name"], "web");
    grid.run(&["client", "remove", "web"]).fails_with(2, &["gateway"]);
    grid.run(&["client", "remove", "web", "--role", "gateway"]).ok();
    let clients = listed(&grid.home, &["client", "list"]);
    assert!(clients.iter().all(|one| one["role"] != "gateway"), "{clients:?}");
    let tenant = grid.run(&["token", "create", "--role", "gateway", "--tenant", "ada"]);
    tenant.fails_with(2, &["a gateway owns no jobs"]);
}
