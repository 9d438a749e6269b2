//! Who may be in a grid, and for how long: removing, revoking, names, and what lists say of it.

use serde_json::{Value, json};

use wasmgrid_tests::{Daemon, Grid, Home, guest, wait_until};

/// What a list prints as JSON, asked by the operator.
fn list(grid: &Grid, args: &[&str]) -> Vec<Value> {
    listed(&grid.home, args)
}

fn listed(home: &Home, args: &[&str]) -> Vec<Value> {
    let listed = home.run(args.iter().chain(&["--output", "json"]));
    serde_json::from_str(listed.ok()).expect("a JSON list")
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|one| one["name"].as_str().expect("a name")).collect()
}

/// A token that the operator makes with these flags.
fn token(grid: &Grid, flags: &[&str]) -> String {
    let args: Vec<&str> = ["token", "create"].iter().chain(flags).copied().collect();
    grid.run(&args).ok().trim().to_owned()
}

/// A home on which somebody has joined with a token, and uses the grid.
fn user(token: &str) -> Home {
    let home = Home::new();
    home.run(["context", "add", "team", token]).ok();
    home
}

#[test]
fn a_removed_worker_ends_and_comes_back_with_a_new_token_alone_also_after_a_restart() {
    let mut grid = Grid::start(2, 1);
    grid.home.write("in", "loop\n");
    let job = grid.run(&["submit", &guest("moods"), "--lines", "in"]).ok().trim().to_owned();
    wait_until("the task to run", || grid.job(&job)["counts"]["running"] == json!(1));
    let runs = |worker: &Value| worker["assigned"] == json!(1);
    let has = list(&grid, &["worker", "list"]).iter().position(runs).expect("one has it");
    let (gone, stays) = (format!("w{}", has + 1), format!("w{}", 2 - has));
    grid.run(&["worker", "remove", &gone]).ok();
    let ended = grid.workers[has].process.wait();
    let said = grid.workers[has].process.said();
    assert_eq!(ended.code(), Some(4), "{said}");
    assert!(
        said.contains("an operator removed the worker") && said.contains("token create"),
        "{said}"
    );
    wait_until("the task to run elsewhere", || {
        let workers = list(&grid, &["worker", "list", "--all"]);
        assert_eq!(names(&workers), [stays.as_str()]);
        workers.iter().any(runs)
    });
    grid.run(&["job", "cancel", &job]).ok();
    grid.run(&["worker", "remove", &gone]).fails_with(2, &[&gone, "was removed on"]);
    grid.run(&["worker", "remove", "nobody"]).fails_with(2, &["nobody", "worker list --all"]);

    let again = |grid: &Grid| grid.workers[has].home.run(["worker", "--slots", "1"]);
    again(&grid).fails_with(4, &["an operator removed"]);
    grid.kill_scheduler();
    grid.restart_scheduler();
    grid.wait_for_worker(&stays, "ready");
    again(&grid).fails_with(4, &["an operator removed"]);

    // With a new token it has its name again, and the old certificate is still good for nothing.
    let fresh = Home::new();
    let token = token(&grid, &["--name", &gone]);
    let args = ["join", &token, "--slots", "1"];
    grid.workers[has].process = Daemon::start(fresh.command(args));
    grid.wait_for_worker(&gone, "ready");
    again(&grid).fails_with(4, &["an operator removed"]);
    grid.wait_for_worker(&gone, "ready");
}

#[test]
fn a_removed_client_loses_what_it_waits_for_and_is_out_also_after_a_restart() {
    let mut grid = Grid::start(1, 1);
    let ada = user(&token(&grid, &["--role", "client", "--name", "ada"]));
    ada.write("in", "loop\n");
    let mut run = Daemon::start(ada.command(["run", &guest("moods"), "--lines", "in"]));
    wait_until("the job to run", || {
        list(&grid, &["job", "list"]).first().is_some_and(|job| job["counts"]["running"] == 1)
    });
    let clients = list(&grid, &["client", "list"]);
    let found = clients.iter().find(|one| one["name"] == "ada").expect("listed");
    assert_eq!((&found["role"], &found["tenant"]), (&json!("client"), &json!("ada")));
    assert!(found["links"].as_u64() > Some(0) && found["machine"] != json!(""), "{found}");
    let is_linked = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some("ada") && words.last() == Some("linked")
    };
    let shown = grid.run(&["client", "list"]);
    assert!(shown.ok().lines().any(is_linked), "{shown}");
    grid.run(&["client", "remove", "ada"]).ok();
    assert_eq!(run.wait().code(), Some(4), "{}", run.said());
    assert!(run.said().contains("an operator removed the client"), "{}", run.said());
    let removed = ada.run(["job", "list"]);
    removed.fails_with(4, &["an operator removed the client \"ada\""]);
    assert_eq!(removed.stderr.lines().count(), 1, "it is said once: {removed}");
    assert!(!names(&list(&grid, &["client", "list"])).contains(&"ada"));
    grid.run(&["client", "remove", "ada"]).fails_with(2, &["ada", "was removed on"]);
    grid.kill_scheduler();
    grid.restart_scheduler();
    ada.run(["job", "list"]).fails_with(4, &["an operator removed"]);
    // Her jobs are there, and so is she, once an operator names her again.
    let back = user(&token(&grid, &["--role", "client", "--name", "ada"]));
    assert_eq!(listed(&back, &["job", "list"]).len(), 1);
}

#[test]
fn a_revoked_token_is_good_for_nobody_and_lists_tell_no_secrets() {
    let mut grid = Grid::start(0, 1);
    let made = grid.run(&["token", "create", "--label", "zone=a", "--output", "json"]);
    let made: Value = serde_json::from_str(made.ok()).expect("JSON");
    let (id, secret) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("text"));
    let used = token(&grid, &["--role", "client", "--name", "ada", "--tenant", "lab"]);
    user(&used);
    let by_itself = token(&grid, &[]);
    grid.run(&["token", "revoke", id]).ok();
    grid.run(&["token", "revoke", &by_itself]).ok();
    grid.run(&["token", "revoke", "0000000000000001"]).fails_with(2, &["0000000000000001"]);
    grid.run(&["token", "revoke", "nonsense"]).fails_with(2, &["token list"]);
    let check = |grid: &Grid| {
        let tokens = list(grid, &["token", "list"]);
        let of = |wanted: &dyn Fn(&Value) -> bool| {
            tokens.iter().find(|one| wanted(one)).cloned().expect("listed")
        };
        let labelled = of(&|one| one["id"] == id);
        assert_eq!(labelled["state"], json!("revoked"));
        assert_eq!(labelled["labels"], json!(["zone=a"]));
        let used = of(&|one| one["name"] == "ada");
        assert_eq!((&used["state"], &used["uses_left"]), (&json!("used-up"), &json!(0)));
        assert_eq!((&used["tenant"], &used["role"]), (&json!("lab"), &json!("client")));
        assert_eq!(tokens.iter().filter(|one| one["state"] == "revoked").count(), 2);
        let shown = grid.run(&["token", "list"]);
        assert!(shown.ok().contains(id) && !shown.ok().contains("wgt1."), "{shown}");
    };
    check(&grid);
    grid.kill_scheduler();
    grid.restart_scheduler();
    check(&grid);
    for token in [secret, &by_itself] {
        Home::new().run(["join", token]).fails_with(4, &["an operator revoked the token"]);
    }
}

#[test]
fn a_user_has_a_name_and_each_of_its_devices_sees_its_jobs() {
    let grid = Grid::start(1, 1);
    let (laptop, phone) = {
        let token = token(&grid, &["--role", "client", "--name", "ada", "--uses", "2"]);
        (user(&token), user(&token))
    };
    let ben = user(&token(&grid, &["--role", "client", "--name", "ben", "--tenant", "lab"]));
    let noop = guest("noop");
    let job =
        laptop.run(["submit", &noop, "--range", "0..3", "--name", "hers"]).ok().trim().to_owned();
    phone.run(["job", "wait", &job]).ok();
    assert_eq!(phone.run(["job", "results", &job]).ok(), "0\n1\n2\n");
    let shown = phone.run(["job", "show", &job, "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!(shown["tenant"], json!("ada"));
    assert!(phone.run(["job", "show", &job]).ok().lines().any(|line| line == "tenant     ada"));
    let of_ada = |line: &str| line.contains("hers") && line.split_whitespace().any(|w| w == "ada");
    assert!(phone.run(["job", "list"]).ok().lines().any(of_ada));
    let explained = phone.run(["job", "explain", &job, "--output", "json"]);
    assert!(explained.ok().contains("\"tenant\": \"ada\""), "{explained}");
    assert!(phone.run(["job", "explain", &job]).ok().contains("of ada"));
    ben.run(["job", "show", &job]).fails_with(3, &["another tenant's", "lab"]);
    assert_eq!(listed(&ben, &["job", "list"]), Vec::<Value>::new());
    ben.run(["submit", &noop, "--range", "0..3"]).ok();
    let clients = list(&grid, &["client", "list"]);
    let tenant = |name: &str| {
        let found = clients.iter().find(|one| one["name"] == name).expect("listed");
        found["tenant"].clone()
    };
    assert_eq!(
        (tenant("ada"), tenant("ada-2"), tenant("ben")),
        ("ada".into(), "ada".into(), "lab".into())
    );
    // What an operator allows a user holds for all of its devices.
    grid.run(&["tenant", "set", "ada", "jobs=1"]).ok();
    for device in [&laptop, &phone] {
        device.run(["submit", &noop, "--range", "0..3"]).fails_with(3, &["ada"]);
    }
    grid.run(&["token", "create", "--tenant", "lab"]).fails_with(2, &["--tenant"]);
    grid.run(&["token", "create", "--role", "client", "--name", "a/b"]).fails_with(2, &["a/b"]);
}

#[test]
fn an_operator_is_made_by_a_token_and_is_not_removed_by_itself() {
    let grid = Grid::start(1, 1);
    let olga = user(&token(&grid, &["--role", "operator", "--name", "olga"]));
    olga.run(["token", "create"]).ok();
    olga.run(["worker", "cordon", "w1"]).ok();
    olga.run(["client", "remove", "olga", "--role", "operator"]).fails_with(2, &["you are"]);
    olga.run(["client", "remove", "olga"]).fails_with(2, &["--role operator"]);
    grid.run(&["client", "remove", "olga", "--role", "operator"]).ok();
    olga.run(["token", "create"]).fails_with(4, &["an operator removed the operator"]);
}

#[test]
fn a_context_is_forgotten_with_its_key_and_not_by_mistake_while_it_is_used() {
    let grid = Grid::start(0, 1);
    let ada = user(&token(&grid, &["--role", "client", "--name", "ada"]));
    ada.run(["context", "remove", "team"]).fails_with(2, &["--force", "context use"]);
    ada.run(["context", "remove", "nowhere"]).fails_with(2, &["nowhere", "context list"]);
    let removed = ada.run(["context", "remove", "team", "--force"]);
    removed.ok();
    assert!(removed.stderr.contains("wasmgrid client remove ada"), "{removed}");
    assert!(removed.stderr.contains("no context is selected"), "{removed}");
    ada.run(["job", "list"]).fails_with(2, &["no context is selected"]);
    assert!(!ada.run(["context", "list"]).ok().contains("team"));
    grid.run(&["client", "remove", "ada"]).ok();
}

#[test]
fn a_weight_counts_for_the_user_whom_a_token_names() {
    let mut grid = Grid::start(1, 1);
    grid.kill_scheduler();
    grid.restart_scheduler_with(|command| {
        command.args(["--tenant-weight", "ada=3"]);
    });
    grid.wait_for_worker("w1", "ready");
    grid.run(&["worker", "cordon", "w1"]).ok();
    let users =
        ["ada", "bob"].map(|name| user(&token(&grid, &["--role", "client", "--name", name])));
    let jobs = users.each_ref().map(|user| {
        user.write("in", "40\n".repeat(60));
        let args = ["submit", &guest("sleeper"), "--allow", "clock", "--lines", "in"];
        user.run(args).ok().trim().to_owned()
    });
    grid.run(&["worker", "uncordon", "w1"]).ok();
    let ok = |job: &str| grid.job(job)["counts"]["ok"].as_u64().expect("a number");
    wait_until("the end of ada's job", || ok(&jobs[0]) == 60);
    // With equal weights both would end together.
    let bobs = ok(&jobs[1]);
    assert!((10..=35).contains(&bobs), "bob has {bobs} of 60");
    grid.run(&["job", "cancel", &jobs[1]]).ok();
}
