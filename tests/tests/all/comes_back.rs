//! Machines that come back: after everything was killed one command on each brings it back as it was,
//! and a scheduler that has moved is found again.

use std::fs;

use serde_json::{Value, json};
use wasmgrid_tests::{Daemon, Grid, Home, free_address, guest, wait_until};

/// The line that says that all is up.
const UP: &str = "Ctrl-C stops the grid";

fn up(home: &Home, args: &[&str]) -> Daemon {
    let mut grid = Daemon::start(home.command(args));
    grid.hear("the grid to be up", |line| line.starts_with(UP).then_some(()));
    grid
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn workers(home: &Home) -> Vec<Value> {
    parsed(home.run(["worker", "list", "--output", "json"]).ok())
        .as_array()
        .expect("a list")
        .clone()
}

fn wait_for(home: &Home, name: &str, state: &str) -> Value {
    wasmgrid_tests::wait_for(&format!("worker {name} to be {state}"), || {
        let listed = home.run(["worker", "list", "--output", "json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).ok()?;
        let all = listed.as_array()?.clone();
        all.into_iter().find(|worker| worker["name"] == name && worker["state"] == state)
    })
}

/// What each worker of a grid offers, by what does not change while it is the same.
fn capacities(home: &Home) -> Vec<Value> {
    let offers = |one: Value| {
        json!([one["name"], one["id"], one["slots"], one["memory_bytes"], one["labels"]])
    };
    let mut all: Vec<_> = workers(home).into_iter().map(offers).collect();
    all.sort_by_key(ToString::to_string);
    all
}

#[test]
fn after_a_kill_of_everything_one_command_each_brings_it_back_as_it_was() {
    let (home, machine) = (Home::new(), Home::new());
    let listen = free_address();
    let settings = "--slots 1 --tenant-weight ada=3 --memory 3GiB --label rack=1";
    let first = format!("up --name home --listen {listen} --state-dir grid {settings}");
    let mut scheduler = up(&home, &first.split(' ').collect::<Vec<_>>());
    let token = home.run(["token", "create"]).ok().trim().to_owned();
    let settings = "--slots 2 --label zone=b --memory 2GiB --max memory=1GiB";
    let join = format!("join {token} --name far --state-dir worker {settings}");
    let mut worker = Daemon::start(machine.command(join.split(' ')));
    wait_for(&home, "far", "ready");
    wait_until("both to be there", || workers(&home).len() == 2);
    let before = capacities(&home);
    assert!(before.iter().any(|one| one[2] == 2 && one[4] == json!(["zone=b"])), "{before:?}");
    assert!(before.iter().any(|one| one[2] == 1 && one[4] == json!(["rack=1"])), "{before:?}");
    let job = home.run(["submit", &guest("noop"), "--range", "0..10"]).ok().trim().to_owned();
    home.run(["job", "wait", &job]).ok();

    scheduler.kill();
    worker.kill();
    // From other folders, without a flag.
    home.write("elsewhere/x", "");
    let mut command = home.command(["up"]);
    command.current_dir(home.path().join("elsewhere"));
    let mut scheduler = Daemon::start(command);
    scheduler.hear("the grid to be up", |line| line.starts_with(UP).then_some(()));
    assert!(scheduler.said().contains(&format!("grid home is up at {listen}")));
    let worker = Daemon::start(machine.command(["worker"]));
    wait_until("both to be back", || {
        let all = workers(&home);
        all.len() == 2 && all.iter().all(|worker| worker["state"] == "ready")
    });
    assert_eq!(capacities(&home), before);
    assert_eq!(home.run(["job", "results", &job]).ok().lines().count(), 10);

    // And it is shown.
    let shown = parsed(machine.run(["worker", "show", "--output", "json"]).ok());
    assert_eq!(shown[0]["name"], "far");
    let settings = &shown[0]["settings"];
    assert_eq!((&settings["slots"], &settings["labels"]), (&json!(2), &json!(["zone=b"])));
    let shown = machine.run(["worker", "show"]);
    for part in ["far", "2GiB", "zone=b", "memory=1GiB", &listen] {
        assert!(shown.ok().contains(part), "{part} in {shown}");
    }
    let shown = home.run(["context", "show"]);
    for part in ["home", "operator", &listen, "ada=3", "3GiB", "rack=1"] {
        assert!(shown.ok().contains(part), "{part} in {shown}");
    }
    drop(worker);
}

#[test]
fn settings_stay_until_they_are_set_otherwise_or_forgotten() {
    let mut grid = Grid::start(0, 1);
    grid.add_worker_with(2, &["--label", "zone=a", "--label", "disk=ssd"]);
    let again = |grid: &mut Grid, args: &[&str]| {
        grid.workers[0].process.interrupt();
        grid.wait_for_worker("w1", "gone");
        grid.workers[0].process = Daemon::start(grid.workers[0].home.command(args));
        grid.workers[0]
            .process
            .hear("it to join", |line| line.contains("joined the grid").then_some(()));
        let worker = wait_for(&grid.home, "w1", "ready");
        (worker["slots"].clone(), worker["labels"].clone())
    };
    let all = json!(["disk=ssd", "zone=a"]);
    assert_eq!(again(&mut grid, &["worker"]), (json!(2), all.clone()));
    assert_eq!(again(&mut grid, &["worker", "--slots", "1"]), (json!(1), all.clone()));
    assert_eq!(again(&mut grid, &["worker"]), (json!(1), all));
    let zone = json!(["zone=b"]);
    assert_eq!(again(&mut grid, &["worker", "--label", "zone=b"]), (json!(1), zone.clone()));
    let forgets = ["worker", "--defaults", "--slots", "3"];
    assert_eq!(again(&mut grid, &forgets), (json!(3), json!([])));
    assert_eq!(again(&mut grid, &["worker"]), (json!(3), json!([])));
    // A file is read again at each start.
    grid.workers[0].home.write("w.toml", "labels = [\"zone=b\"]");
    assert_eq!(again(&mut grid, &["worker", "--config", "w.toml"]), (json!(3), zone));
    grid.workers[0].home.write("w.toml", "labels = [\"zone=c\"]");
    assert_eq!(again(&mut grid, &["worker"]), (json!(3), json!(["zone=c"])));
}

#[test]
fn up_takes_a_file_and_the_environment_too() {
    let home = Home::new();
    let listen = free_address();
    home.write("grid.toml", format!("listen = \"{listen}\"\nname = \"filed\"\nslots = 2\n"));
    let mut grid = up(&home, &["up", "--config", "grid.toml"]);
    assert!(grid.said().contains(&format!("grid filed is up at {listen}")), "{}", grid.said());
    assert_eq!(workers(&home)[0]["slots"], json!(2));
    grid.interrupt();
    let mut command = home.command(["up"]);
    command.env("WASMGRID_SLOTS", "1");
    let mut grid = Daemon::start(command);
    grid.hear("the grid to be up", |line| line.starts_with(UP).then_some(()));
    assert!(grid.said().contains(&listen), "{}", grid.said());
    assert_eq!(
        wait_for(&home, workers(&home)[0]["name"].as_str().expect("text"), "ready")["slots"],
        json!(1)
    );
    grid.interrupt();
    home.write("grid.toml", "listn = \"x\"");
    home.run(["up"]).fails_with(2, &["grid.toml", "listn"]);
}

#[test]
fn a_machine_that_joins_again_is_the_same_worker() {
    let grid = Grid::start(0, 1);
    let token = grid.run(&["token", "create"]).ok().trim().to_owned();
    let machine = Home::new();
    let join = ["join", &token, "--name", "box", "--slots", "2"];
    let mut worker = Daemon::start(machine.command(join));
    let before = wait_for(&grid.home, "box", "ready");
    machine.run(["join", &token]).fails_with(2, &["another wasmgrid runs", "\"box\"", "already"]);
    worker.interrupt();
    grid.wait_for_worker("box", "gone");
    // The token is used up, which does not matter: it is not used.
    for again in [&["join", &token][..], &["join", &token, "--name", "box"]] {
        let mut worker = Daemon::start(machine.command(again));
        worker.hear("that it is known", |line| line.contains("the same worker").then_some(()));
        let after = wait_for(&grid.home, "box", "ready");
        assert_eq!((&after["id"], &after["slots"]), (&before["id"], &json!(2)));
        worker.interrupt();
        grid.wait_for_worker("box", "gone");
    }
    assert_eq!(workers(&grid.home).len(), 1);
    // Another name is another worker, which needs a token that is good.
    let other = machine.run(["join", &token, "--name", "other", "--slots", "1"]);
    other.fails_with(4, &["used up"]);
}

#[test]
fn an_identity_that_the_grid_refuses_is_replaced_by_the_token() {
    let grid = Grid::start(1, 1);
    // A copy of a machine, which joins with a token of its own.
    let copy = Home::new();
    let folder = grid.workers[0].home.path().join("home/state/workers/w1");
    for entry in fs::read_dir(&folder).expect("its own") {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("text");
        copy.write(
            &format!("home/state/workers/w1/{name}"),
            fs::read(entry.path()).expect("its own"),
        );
    }
    let mut second = Daemon::start(copy.command(["join", grid.token(), "--slots", "1"]));
    second.hear("why", |line| line.contains("under another identity").then_some(()));
    wait_for(&grid.home, "w1-2", "ready");
    wait_for(&grid.home, "w1", "ready");
    second.interrupt();
    let mut again = Daemon::start(copy.command(["worker"]));
    wait_for(&grid.home, "w1-2", "ready");
    again.interrupt();
}

#[test]
fn a_grid_of_another_name_leaves_the_identity_that_a_machine_has() {
    let (one, two) = (Grid::start(0, 1), Grid::start(0, 1));
    let machine = Home::new();
    for grid in [&one, &two] {
        let join = ["join", grid.token(), "--name", "box", "--slots", "1"];
        let mut worker = Daemon::start(machine.command(join));
        grid.wait_for_worker("box", "ready");
        worker.interrupt();
        grid.wait_for_worker("box", "gone");
    }
    let shown = parsed(machine.run(["worker", "show", "--output", "json"]).ok());
    assert_eq!(shown.as_array().expect("a list").len(), 2, "{shown}");
    machine.run(["worker"]).fails_with(2, &["--name", "box"]);
    // In a folder that one has, the other does not take its place.
    let folder = machine.path().join("home/state/workers/box");
    let folder = folder.to_str().expect("a plain path");
    let refused = machine.run(["join", two.token(), "--state-dir", folder]);
    refused.fails_with(2, &["identity of worker", "another grid", "--state-dir"]);
}

#[test]
fn a_scheduler_that_moves_is_found_again_with_one_command_on_each_member() {
    let mut grid = Grid::start(1, 1);
    let token = grid.run(&["token", "create", "--role", "client"]).ok().trim().to_owned();
    let user = Home::new();
    user.run(["context", "add", "team", &token]).ok();
    let other = Grid::start(0, 1);
    grid.kill_scheduler();
    let moved = free_address();

    // Nobody there, and somebody else: nothing is changed.
    let machine = &grid.workers[0].home;
    let description = machine.path().join("home/state/workers/w1/worker.toml");
    let before = fs::read_to_string(&description).expect("it is there");
    for (there, said) in [(moved.as_str(), "nothing listens there"), (other.address(), "authority")]
    {
        let set = machine.run(["worker", "set", "--server", there]);
        set.fails_with(4, &[there, said, "is unchanged"]);
        let set = user.run(["context", "set", "team", "--server", there]);
        set.fails_with(4, &[there, said, "is unchanged"]);
    }
    machine.run(["worker", "set", "--server", "http://x:1"]).fails_with(2, &["HOST:PORT"]);
    assert_eq!(fs::read_to_string(&description).expect("it is there"), before);

    let args = ["up", "--listen", &moved, "--state-dir", "state"];
    let _scheduler = up(&grid.home, &args);
    // A worker that runs follows by itself.
    machine.run(["worker", "set", "--server", &moved]).ok();
    wait_for(&grid.home, "w1", "ready");
    user.run(["job", "list"]).fails_with(4, &["nothing listens there"]);
    user.run(["context", "set", "team", "--server", &moved]).ok();
    assert_eq!(user.run(["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
}

#[test]
fn a_machine_that_joins_again_has_the_labels_of_its_last_token() {
    let grid = Grid::start(0, 1);
    let token = |flags: &[&str]| {
        let args = [&["token", "create"], flags].concat();
        grid.run(&args).ok().trim().to_owned()
    };
    let machine = Home::new();
    let vouched = |token: &str, said: &str| {
        let args = ["join", token, "--name", "box", "--slots", "1"];
        let mut worker = Daemon::start(machine.command(args));
        worker.hear(said, |line| line.contains(said).then_some(()));
        let shown = wait_for(&grid.home, "box", "ready");
        worker.interrupt();
        grid.wait_for_worker("box", "gone");
        shown["vouched"].clone()
    };
    assert_eq!(vouched(&token(&["--label", "zone=a"]), "joined the grid"), json!(["zone=a"]));
    let zone_b = token(&["--label", "zone=b"]);
    assert_eq!(vouched(&zone_b, "with the labels of the token"), json!(["zone=b"]));
    assert_eq!(vouched(&token(&[]), "is the same worker"), json!(["zone=b"]));
    // One that is used up is said to be, and changes nothing.
    assert_eq!(vouched(&zone_b, "used up"), json!(["zone=b"]));
    assert_eq!(workers(&grid.home).len(), 1);
}
