//! The first start of a grid: what it prints, who reaches it, and what is left where it fails.

use std::{fs, net::UdpSocket, path::Path};

use wasmgrid_tests::{Daemon, Home, free_address, guest};

/// The line that says that all is up.
const UP: &str = "Ctrl-C stops the grid";

/// A grid that is up, and what it has printed.
fn up(home: &Home, args: &[&str]) -> (Daemon, String) {
    let mut grid = Daemon::start(home.command(args));
    grid.hear("the grid to be up", |line| line.starts_with(UP).then_some(()));
    let said = grid.said();
    (grid, said)
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string());
    names.map(|name| name.expect("text")).collect()
}

#[test]
fn a_grid_that_this_machine_alone_reaches_says_so_and_how_others_would() {
    let home = Home::new();
    let (_grid, said) = up(&home, &["up", "--no-worker", "--listen", &free_address()]);
    assert!(said.contains("only this machine can reach it"), "{said}");
    assert!(said.contains("`wasmgrid up --listen 0.0.0.0`"), "{said}");
    let token = said.split_whitespace().find(|word| word.starts_with("wgt1.")).expect("a token");
    drop(_grid);
    // Of no use elsewhere: who tries it is told why, without a wait.
    let refused = Home::new().run(["join", token, "--slots", "1"]);
    let said = ["127.0.0.1:", "nothing listens there", "up --listen 0.0.0.0"];
    refused.fails_with(4, &said);
}

#[test]
fn a_grid_on_all_addresses_prints_those_that_others_reach() {
    let home = Home::new();
    let port = free_address().rsplit_once(':').expect("a port").1.to_owned();
    let listen = format!("0.0.0.0:{port}");
    let (_grid, said) = up(&home, &["up", "--no-worker", "--listen", &listen]);
    let first = said.lines().find(|line| line.starts_with("grid ")).expect("where it is");
    assert!(!first.contains("0.0.0.0"), "{first}");
    // A machine that has no other address than loopback is told so.
    let alone = said.contains("only this machine can reach it");
    assert_eq!(first.contains(&format!("127.0.0.1:{port}")), alone, "{said}");
    let shown = home.run(["context", "show"]);
    assert!(shown.ok().contains(&format!("127.0.0.1:{port}")), "{shown}");
    home.run(["worker", "list"]).ok();
}

#[test]
fn what_is_advertised_is_a_host_and_a_port_and_nothing_else() {
    let home = Home::new();
    for (wrong, example) in [
        ("https://grid.example:7433", "grid.example:7433"),
        ("grid.example:0", "grid.example:7433"),
        ("2001:db8::1", "[2001:db8::1]:7433"),
        ("grid.example", "grid.example:7433"),
    ] {
        let refused = home.run(["up", "--no-worker", "--advertise", wrong]);
        refused.fails_with(2, &["--advertise", wrong, "HOST:PORT", example]);
    }
    assert!(names(home.path()).is_empty(), "something was made");
    let listen = free_address();
    let args = ["up", "--no-worker", "--listen", &listen, "--advertise", "grid.example:9"];
    let (_grid, said) = up(&home, &args);
    assert!(said.contains("is up at grid.example:9"), "{said}");
}

#[test]
fn a_token_is_printed_when_the_grid_is_made_or_where_one_is_asked_for() {
    let home = Home::new();
    let listen = free_address();
    let args = ["up", "--no-worker", "--listen", &listen];
    let (mut grid, said) = up(&home, &args);
    assert!(said.contains("wgt1."), "{said}");
    grid.interrupt();
    let (mut grid, said) = up(&home, &args);
    assert!(!said.contains("wgt1.") && said.contains("wasmgrid token create"), "{said}");
    grid.interrupt();
    for asked in [["--token-uses", "3"], ["--token-ttl", "5m"]] {
        let (mut grid, said) = up(&home, &[&args[..], &asked].concat());
        assert!(said.contains("wgt1."), "{said}");
        grid.interrupt();
    }
}

#[test]
fn of_a_first_start_that_fails_nothing_is_left_and_the_next_may_have_any_name() {
    let home = Home::new();
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("bound").to_string();
    let args =
        ["up", "--no-worker", "--listen", &listen, "--name", "first", "--state-dir", "state"];
    home.run(args).fails_with(4, &["failed to listen on", &listen, "--listen"]);
    for name in ["local", "no/name", ".hidden"] {
        let wrong = ["up", "--no-worker", "--name", name, "--state-dir", "state"];
        home.run(wrong).fails_with(2, &["no grid can be called", name]);
    }
    assert!(names(home.path()).is_empty(), "{:?}", names(home.path()));
    drop(taken);
    let args =
        ["up", "--no-worker", "--listen", &listen, "--name", "second", "--state-dir", "state"];
    let (mut grid, said) = up(&home, &args);
    assert!(said.contains("grid second is up"), "{said}");
    grid.interrupt();
    // It keeps its name.
    let args = ["up", "--no-worker", "--name", "third", "--state-dir", "state"];
    home.run(args).fails_with(2, &["second", "keeps its name"]);
}

#[test]
fn a_first_start_that_cannot_print_its_token_leaves_nothing_either() {
    let home = Home::new();
    for more in [&[][..], &["--state-dir", "elsewhere"]] {
        let args = [&["up", "--no-worker", "--listen", "127.0.0.1:0"], more].concat();
        let mut command = home.command(args);
        command.stdout(fs::File::options().write(true).open("/dev/full").expect("a full disk"));
        Home::finish(command, b"")
            .fails_with(1, &["the token for joining machines could not be printed"]);
    }
    assert!(!home.path().join("elsewhere").exists(), "state was made");
    assert!(names(&home.path().join("home/contexts")).is_empty(), "a context was made");
    assert!(names(&home.path().join("home/state")).is_empty(), "state was made");
    assert!(home.run(["context", "list"]).ok().contains("* "), "none is selected");
    assert_eq!(home.run(["run", &guest("noop"), "--range", "0..2"]).ok(), "0\n1\n");
}

#[test]
fn the_context_of_another_grid_is_not_taken() {
    let (home, other) = (Home::new(), Home::new());
    let listen = free_address();
    let (_grid, said) = up(&other, &["up", "--no-worker", "--name", "team", "--listen", &listen]);
    drop(said);
    let token = other.run(["token", "create", "--role", "client"]).ok().trim().to_owned();
    home.run(["context", "add", "team", &token]).ok();
    let args = ["up", "--no-worker", "--name", "team", "--listen", "127.0.0.1:0"];
    home.run(args).fails_with(2, &["team", "another grid", "--name"]);
    assert!(names(&home.path().join("home/state")).is_empty(), "state was made");
    home.run(["job", "list", "--context", "team"]).ok();
}

#[test]
fn a_scheduler_run_alone_can_be_operated_by_who_started_it() {
    let home = Home::new();
    let (_grid, said) = up(&home, &["server", "--name", "alone", "--listen", &free_address()]);
    assert!(said.contains("grid alone is up"), "{said}");
    // A service's output is kept: it has no token in it that nobody has asked for.
    assert!(!said.contains("wgt1.") && said.contains("wasmgrid token create"), "{said}");
    assert!(said.contains("`wasmgrid server --listen 0.0.0.0`"), "{said}");
    home.run(["worker", "list"]).ok();
    home.run(["token", "create"]).ok();
    let shown = home.run(["context", "show", "alone", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!((&shown["role"], &shown["selected"]), (&"operator".into(), &true.into()));
}

#[test]
fn a_grid_that_is_gone_is_named_at_once_with_its_address_and_what_runs_without_it() {
    let home = Home::new();
    let listen = free_address();
    let (mut grid, _) = up(&home, &["up", "--no-worker", "--listen", &listen]);
    grid.interrupt();
    let noop = guest("noop");
    let refused = home.run(["run", &noop, "--range", "0..2"]);
    // Not after the time that a silent one is given.
    refused.fails_with(4, &[&listen, "nothing listens there", "--local"]);
    assert_eq!(home.run(["run", &noop, "--range", "0..2", "--local"]).ok(), "0\n1\n");
    home.run(["job", "list"]).fails_with(4, &[&listen, "nothing listens there"]);
}
