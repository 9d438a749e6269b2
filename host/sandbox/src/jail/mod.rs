//! The jail that runners and compilers enter before they touch a guest's bytes: what an escape
//! from the engine would find around it.
//!
//! A child process calls [`Jail::enter`] in its first thread, with all it needs in memory (the
//! engine, its socket) and nothing of a guest. The order of the layers is forced:
//!
//! 1. *descriptors*: what was inherited is closed, before anything of ours is opened beside it.
//! 2. *limits*: while nothing yet refuses to set them.
//! 3. *namespaces*, 4. *root*: they need capabilities, which those who are not root get only in a
//!    user namespace of their own.
//! 5. *capabilities*, 6. *user*: the bounding set can be emptied only while there are
//!    capabilities, and a change of user takes the others.
//! 7. *process*: a change of user takes back the death signal and the dump flag, so they come now.
//! 8. *landlock*: needs `no_new_privs` once there is no capability.
//! 9. *seccomp*: last, since it refuses all of the calls above.
//!
//! Landlock and seccomp hold for the calling thread and those it starts: so the process must have
//! one thread. The *cgroup* is the agent's to make ([`cgroup`]); it puts the child there before it
//! says a word to it.
//!
//! A layer that the machine does not have is left out and told to the agent, which says so once
//! ([`warden`]); each of the others holds without it.

mod capabilities;
pub(crate) mod cgroup;
mod descriptors;
mod inmate;
mod landlock;
mod limits;
mod namespaces;
mod process;
mod root;
mod seccomp;
mod user;
pub(crate) mod warden;

use std::{fmt, io, os::fd::OwnedFd};

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    descriptors::keep_socket,
    inmate::{CompilerLimits, Inmate},
};

/// One layer of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Layer {
    /// A process apart from the agent's: what all others stand on.
    Process,
    /// No descriptor but the socket.
    Descriptors,
    /// Limits on descriptors, processes and core dumps.
    Limits,
    /// An empty network, and namespaces of its own for mounts, message queues and names.
    Namespaces,
    /// A root directory with nothing in it.
    Root,
    /// No capability, and none to be had.
    Capabilities,
    /// The user and group `nobody`, with no other groups.
    User,
    /// Not to be traced or dumped, no new privileges, and gone with its parent.
    Attributes,
    /// No file, no port, no signal and no abstract socket, by the kernel's landlock.
    Landlock,
    /// No system call but those on a list.
    Seccomp,
    /// A bound on memory and processes, without swap.
    Cgroup,
}

impl Layer {
    /// The layer's name, as it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Descriptors => "descriptors",
            Self::Limits => "limits",
            Self::Namespaces => "namespaces",
            Self::Root => "root directory",
            Self::Capabilities => "capabilities",
            Self::User => "user",
            Self::Attributes => "process attributes",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Cgroup => "cgroup",
        }
    }

    /// What would give it to a machine that lacks it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Process => "run tasks in processes of their own",
            Self::Descriptors => "use Linux 5.9 or newer",
            Self::Limits => "raise the hard limits of the worker's process (ulimit -H)",
            Self::Namespaces | Self::Root => {
                "start the worker as root, or allow user namespaces (sysctl \
                 user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns)"
            }
            Self::Capabilities => "start the worker as root with CAP_SETPCAP, or as another user",
            Self::User => "start the worker as root with CAP_SETUID and CAP_SETGID",
            Self::Attributes => "look for a security module that forbids prctl",
            Self::Landlock => "use Linux 5.13 or newer with landlock among its modules (lsm=)",
            Self::Seccomp => "use a kernel with CONFIG_SECCOMP_FILTER",
            Self::Cgroup => {
                "start the worker as root, or under systemd with Delegate=memory pids, where the \
                 cgroup controllers memory and pids are on"
            }
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A layer that this machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) layer: Layer,
    /// What the system said.
    pub(crate) reason: String,
}

/// What a child found, as it tells its agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) entered: Vec<Layer>,
    pub(crate) missing: Vec<Missing>,
}

impl Report {
    /// Takes a step into a layer, which is missing where one of its steps fails.
    fn enter(&mut self, layer: Layer, step: impl FnOnce() -> io::Result<()>) {
        let failed = self.missing.iter().any(|missing| missing.layer == layer);
        match step() {
            Ok(()) if failed || self.entered.contains(&layer) => {}
            Ok(()) => self.entered.push(layer),
            Err(error) => {
                self.entered.retain(|entered| *entered != layer);
                if !failed {
                    self.missing.push(Missing { layer, reason: error.to_string() });
                }
            }
        }
    }
}

/// The jail of this process, not entered yet.
pub(crate) struct Jail {
    closed: io::Result<()>,
}

impl Jail {
    /// To be called first of all: closes what was inherited.
    pub(crate) fn prepare() -> Self {
        Self { closed: descriptors::close_inherited() }
    }

    /// Enters it, for good. To be called while the process has one thread.
    pub(crate) fn enter(self, inmate: Inmate) -> Report {
        self.enter_but(inmate, &[])
    }

    /// The same without some layers.
    fn enter_but(self, inmate: Inmate, left_out: &[Layer]) -> Report {
        let mut report = Report::default();
        let mut enter = |layer, step: &mut dyn FnMut() -> io::Result<()>| {
            if !left_out.contains(&layer) {
                report.enter(layer, step);
            }
        };
        warm_up();
        let mut closed = Some(self.closed);
        enter(Layer::Descriptors, &mut || closed.take().unwrap_or(Ok(())));
        enter(Layer::Descriptors, &mut || descriptors::mute(inmate));
        enter(Layer::Limits, &mut || limits::set(inmate));
        enter(Layer::Namespaces, &mut namespaces::unshare);
        enter(Layer::Root, &mut root::change);
        enter(Layer::Capabilities, &mut capabilities::empty_bounding_set);
        enter(Layer::User, &mut user::become_nobody);
        enter(Layer::Capabilities, &mut capabilities::drop_all);
        enter(Layer::Attributes, &mut process::set_attributes);
        enter(Layer::Landlock, &mut || landlock::deny_but(inmate));
        enter(Layer::Seccomp, &mut || seccomp::allow_only(inmate));
        report
    }
}

/// Finds the clock that is read without a system call, which is looked for at the first reading: in
/// a file that the jail does not have, so that each reading inside would be a call.
fn warm_up() {
    let _ = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
}

/// Enters the jail of a runner without some of its layers, so that a test can try from inside what
/// each of the others holds. Gives the socket that was standard input, and says which layers the
/// machine lacks.
#[doc(hidden)]
pub fn enter_jail_but(left_out: &[Layer]) -> io::Result<(OwnedFd, Vec<Layer>)> {
    let jail = Jail::prepare();
    let socket = descriptors::keep_socket()?;
    let report =
        jail.enter_but(Inmate::Runner { pagemap: false, forks: false, allowed: &[] }, left_out);
    if !left_out.contains(&Layer::Limits) {
        // What a runner does once its threads have started.
        threads_started()?;
    }
    Ok((socket, report.missing.into_iter().map(|missing| missing.layer).collect()))
}

/// Takes from a child what it needed to start its threads: it starts no more.
pub(crate) fn threads_started() -> io::Result<()> {
    limits::forbid_processes()
}

/// The same for a compiler; where it is `sealed` in system calls, the call goes too, of all its
/// threads.
pub(crate) fn threads_complete(sealed: bool) -> io::Result<()> {
    limits::forbid_processes()?;
    if sealed { seccomp::forbid_threads() } else { Ok(()) }
}
