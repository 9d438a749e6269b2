//! Schedulers that are found by DNS: a real name server, on a machine that is a namespace.

use std::process::{Command, Stdio};

use serde_json::Value;
use wasmgrid_tests::{
    Daemon, Home,
    network::{HERE, Network},
    wait_until,
};

/// The service, and a host of it.
const SERVICE: &str = "_wasmgrid._udp.grid.test";
const MAIN: &str = "main.grid.test";

/// Where nobody is.
const DEAD: &str = "10.231.2.99";

fn has_dnsmasq() -> bool {
    let found = Command::new("dnsmasq").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: dnsmasq is not installed");
    }
    found
}

/// A name server for the worker's machine, by which the service's main host is at this port.
fn name_server(machine: &Home, network: &Network, port: u16) -> Daemon {
    let hosts =
        machine.write("hosts", format!("{DEAD} {MAIN}\n{HERE} {MAIN}\n{DEAD} spare.grid.test\n"));
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", network.there())).args([
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--local=/test/",
        &format!("--addn-hosts={}", hosts.display()),
        &format!("--srv-host={SERVICE},spare.grid.test,{port},20,5"),
        &format!("--srv-host={SERVICE},{MAIN},{port},10,5"),
    ]);
    Daemon::start(command)
}

fn scheduler(home: &Home, port: u16) -> Daemon {
    let (listen, service) = (format!("0.0.0.0:{port}"), format!("srv:{SERVICE}"));
    let up = ["up", "--no-worker", "--state-dir", "state", "--listen", &listen];
    Daemon::start(home.command([&up[..], &["--advertise", &service]].concat()))
}

fn is_ready(home: &Home) -> bool {
    let listed = home.run(["worker", "list", "--output", "json"]);
    let workers: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    workers[0]["state"] == "ready"
}

#[test]
fn a_worker_finds_its_scheduler_by_dns_also_where_it_has_moved() {
    if !has_dnsmasq() {
        return;
    }
    let network = match Network::new() {
        Ok(network) => network,
        Err(error) => return println!("skipped: network namespaces are not permitted ({error})"),
    };
    let files = Home::new();
    let resolver = files.write("resolv.conf", "nameserver 127.0.0.1\n");
    let there = Home::with_resolver(network.there(), resolver);
    let mut names = name_server(&files, &network, 4118);
    let here = Home::in_namespace(network.here());
    let mut first = scheduler(&here, 4118);
    let token = first.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(ToOwned::to_owned)
    });
    // One that DNS does not list is said, with what it was.
    let unknown = there.run(["context", "set", "none", "--server", "srv:_no._udp.grid.test"]);
    assert_ne!(unknown.code, Some(0), "{unknown}");
    let worker = Daemon::start(there.command(["join", &token, "--name", "far", "--slots", "1"]));
    wait_until("the worker to be there", || is_ready(&here));
    let set = there.run(["worker", "set", "--server", "srv:_no._udp.grid.test"]);
    set.fails_with(4, &["srv:_no._udp.grid.test", "srv:_wasmgrid._udp.DOMAIN"]);
    // It moves, and the name server is told.
    first.kill();
    names.kill();
    let _names = name_server(&files, &network, 4119);
    let _second = scheduler(&here, 4119);
    wait_until("the worker to be back", || is_ready(&here));
    drop(worker);
}
