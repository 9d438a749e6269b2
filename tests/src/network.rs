//! Two machines with a router between them, as network namespaces of this one: packets of either
//! way can be made to vanish.

use std::{
    process::{self, Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

/// The side with the scheduler.
pub const HERE: &str = "10.231.1.2";

/// The side with a worker.
pub const THERE: &str = "10.231.2.2";

/// The machines; gone with the value.
pub struct Network {
    here: String,
    there: String,
    router: String,
}

/// A way that packets go.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// From [`THERE`] to [`HERE`].
    ToHere,
    /// From [`HERE`] to [`THERE`].
    ToThere,
}

impl Network {
    /// The network, or why this machine does not permit it.
    ///
    /// # Errors
    /// What the first command said that failed.
    pub fn new() -> Result<Self, String> {
        let id = next_id();
        let name = |side: &str| format!("wasmgrid-{id}-{side}");
        let network = Self { here: name("here"), there: name("there"), router: name("router") };
        let names = [&network.here, &network.there, &network.router];
        for name in names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        network.cable(&network.here, "to-here", "10.231.1.1", HERE)?;
        network.cable(&network.there, "to-there", "10.231.2.1", THERE)?;
        // The way back may be cut: that makes no packet's source wrong.
        let forwards = "echo 1 >/proc/sys/net/ipv4/ip_forward && \
            for filter in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$filter; done";
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", network.router)).args(["sh", "-c", forwards]);
        run(command)?;
        Ok(network)
    }

    /// The namespace at [`HERE`].
    pub fn here(&self) -> &str {
        &self.here
    }

    /// The namespace at [`THERE`].
    pub fn there(&self) -> &str {
        &self.there
    }

    /// From now on packets of this way vanish without a word.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn cut(&self, way: Way) {
        self.route("add", way);
    }

    /// They arrive again.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn mend(&self, way: Way) {
        self.route("del", way);
    }

    fn route(&self, what: &str, way: Way) {
        let to = if matches!(way, Way::ToHere) { HERE } else { THERE };
        ip(&["-n", &self.router, "route", what, "blackhole", &format!("{to}/32")])
            .unwrap_or_else(|error| panic!("{what} {way:?}: {error}"));
    }

    /// A cable from a machine to the router.
    fn cable(&self, machine: &str, port: &str, gateway: &str, address: &str) -> Result<(), String> {
        let router = &self.router;
        let peer = ["peer", "name", "up0", "netns", machine];
        let cable = ["-n", router, "link", "add", port, "type", "veth"];
        ip(&[&cable[..], &peer].concat())?;
        for (name, device, local) in [(router.as_str(), port, gateway), (machine, "up0", address)] {
            ip(&["-n", name, "addr", "add", &format!("{local}/24"), "dev", device])?;
            ip(&["-n", name, "link", "set", device, "up"])?;
        }
        ip(&["-n", machine, "route", "add", "default", "via", gateway])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.here, &self.there, &self.router] {
            // One may not have been made.
            drop(ip(&["netns", "del", name]));
        }
    }
}

/// Part of the names of one network's namespaces: no other test of this machine has it.
fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    run(command)
}

fn run(mut command: Command) -> Result<(), String> {
    let Output { status, stderr, .. } =
        command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&stderr).trim()))
}
