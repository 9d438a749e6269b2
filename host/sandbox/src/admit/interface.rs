//! The interfaces a task may import, in one place: admission refuses every other, and the
//! runner's linker is tested to provide each of them.

/// An interface that runners provide, to every task and without a grant: what it gives without
/// one is empty, virtual or seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provided {
    /// Package and interface, such as `wasi:cli/stdin`.
    pub path: &'static str,
    /// The versions that fit.
    pub version: Version,
}

/// Which versions of an interface fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Every released patch of this `major.minor`, such as `0.2`.
    Series(&'static str),
    /// This version alone.
    Exact(&'static str),
}

impl Version {
    fn fits(self, version: &str) -> bool {
        match self {
            Self::Exact(exact) => version == exact,
            Self::Series(series) => {
                version.strip_prefix(series).and_then(|rest| rest.strip_prefix('.')).is_some_and(
                    |patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()),
                )
            }
        }
    }

    /// A version that fits, for messages: `0.2.x`, or the exact one.
    pub(super) fn example(self) -> String {
        match self {
            Self::Series(series) => format!("{series}.x"),
            Self::Exact(exact) => exact.into(),
        }
    }
}

const fn wasi(path: &'static str) -> Provided {
    Provided { path, version: Version::Series("0.2") }
}

const fn own(path: &'static str) -> Provided {
    Provided { path, version: Version::Series("0.1") }
}

/// Every interface a task may import. Sockets and files are here because the standard libraries
/// of some languages import them whether they are used or not: there is nothing behind them.
pub const PROVIDED: &[Provided] = &[
    own("wasmgrid:task/context"),
    own("wasmgrid:task/exit"),
    own("wasmgrid:task/io"),
    VALUE,
    Provided { path: "wasi:logging/logging", version: Version::Exact("0.1.0-draft") },
    wasi("wasi:cli/environment"),
    wasi("wasi:cli/exit"),
    wasi("wasi:cli/stderr"),
    wasi("wasi:cli/stdin"),
    wasi("wasi:cli/stdout"),
    wasi("wasi:cli/terminal-input"),
    wasi("wasi:cli/terminal-output"),
    wasi("wasi:cli/terminal-stderr"),
    wasi("wasi:cli/terminal-stdin"),
    wasi("wasi:cli/terminal-stdout"),
    wasi("wasi:clocks/monotonic-clock"),
    wasi("wasi:clocks/wall-clock"),
    wasi("wasi:filesystem/preopens"),
    wasi("wasi:filesystem/types"),
    wasi("wasi:io/error"),
    wasi("wasi:io/poll"),
    wasi("wasi:io/streams"),
    wasi("wasi:random/insecure"),
    wasi("wasi:random/insecure-seed"),
    wasi("wasi:random/random"),
    wasi("wasi:sockets/instance-network"),
    wasi("wasi:sockets/ip-name-lookup"),
    wasi("wasi:sockets/network"),
    wasi("wasi:sockets/tcp"),
    wasi("wasi:sockets/tcp-create-socket"),
    wasi("wasi:sockets/udp"),
    wasi("wasi:sockets/udp-create-socket"),
];

/// The import of a task that takes a value beside its input.
pub(super) const VALUE: Provided = own("wasmgrid:task/value");
/// The export that makes a component the grid's own kind of task.
pub(super) const GUEST: Provided = own("wasmgrid:task/guest");
/// The export that makes a component a command.
pub(super) const COMMAND: Provided = wasi("wasi:cli/run");

impl Provided {
    /// Whether `name`, with its version, is this interface in a version that fits.
    pub(super) fn is(&self, name: &str) -> bool {
        let (path, version) = split(name);
        path == self.path && version.is_some_and(|version| self.version.fits(version))
    }

    /// The full name, with a version that fits.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.path, self.version.example())
    }
}

/// Why an interface is not provided, and what would help; `None` where it is.
pub(super) fn missing(name: &str) -> Option<(String, String)> {
    if PROVIDED.iter().any(|provided| provided.is(name)) {
        return None;
    }
    let (path, _) = split(name);
    if let Some(provided) = PROVIDED.iter().find(|provided| provided.path == path) {
        return Some((
            format!("tasks are given {}", provided.name()),
            "build against that version (for WASI: `--target wasm32-wasip2`)".into(),
        ));
    }
    let reason = if path.starts_with("wasi:http/") {
        "tasks have no network, and no grant gives it"
    } else if path.starts_with("wasi:keyvalue/") || path.starts_with("wasi:config/") {
        "tasks see their input and nothing else, and no grant gives it"
    } else {
        "no task is given this interface, and no grant gives it"
    };
    Some((reason.into(), "pass the data in the task's input".into()))
}

/// A name's path and its version.
fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(path, version)| (path, Some(version)))
}
