//! A control group for each runner: memory and processes are bounded, and nothing of it is
//! swapped. Made by the agent, which needs to be root or to have been given a part of the tree.
//!
//! Both versions of the interface are here, since both are in use: in the first each controller
//! has a tree of its own; in the second there is one tree, in which a group has either processes
//! or groups below it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use wasmgrid_proto::ByteCount;

/// A runner has four threads; a fork for each task of `--isolation task` comes on top.
const PROCESSES_MAX: u32 = 64;

/// Before a group's name stands this, and the agent's process.
const PREFIX: &str = "wasmgrid-";

/// Where groups of this agent are made.
#[derive(Debug)]
pub(crate) struct Cgroups {
    tree: Tree,
    memory: ByteCount,
    next: AtomicU64,
}

/// The group that holds those of the runners.
#[derive(Debug, PartialEq, Eq)]
enum Tree {
    /// One for memory, one for processes.
    V1 {
        memory: PathBuf,
        pids: PathBuf,
    },
    V2(PathBuf),
}

/// One runner's group; removed when it is dropped, which is to be after the runner's end.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directories: Vec<PathBuf>,
}

impl Cgroups {
    /// Finds or makes a place for groups of runners that may have this much memory each.
    ///
    /// # Errors
    /// Where there is none that this process may write to.
    pub(crate) fn prepare(memory: ByteCount) -> io::Result<Self> {
        let cgroups = fs::read_to_string("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let tree = match Own::find(&cgroups, &mounts)? {
            Own::V2(own) => Tree::V2(v2_place(&own)?),
            Own::V1 { memory, pids } => Tree::V1 { memory: place(&memory)?, pids: place(&pids)? },
        };
        Ok(Self { tree, memory, next: AtomicU64::new(1) })
    }

    /// Puts a process into a group of its own.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub(crate) fn put(&self, process: u32) -> io::Result<Cgroup> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let mut group = Cgroup { directories: Vec::new() };
        let (memory, process) = (self.memory.0.to_string(), process.to_string());
        match &self.tree {
            Tree::V1 { memory: bytes, pids } => {
                let bytes = group.make(bytes.join(&name))?;
                write(&bytes, "memory.limit_in_bytes", &memory)?;
                write(&bytes, "memory.swappiness", "0")?;
                // Memory and swap together: no more than memory alone. Not on kernels that do not
                // count swap.
                optional(write(&bytes, "memory.memsw.limit_in_bytes", &memory))?;
                let pids = group.make(pids.join(&name))?;
                write(&pids, "pids.max", &PROCESSES_MAX.to_string())?;
                write(&pids, PROCESSES, &process)?;
                write(&bytes, PROCESSES, &process)?;
            }
            Tree::V2(parent) => {
                let both = group.make(parent.join(&name))?;
                write(&both, "memory.max", &memory)?;
                optional(write(&both, "memory.swap.max", "0"))?;
                write(&both, "pids.max", &PROCESSES_MAX.to_string())?;
                write(&both, PROCESSES, &process)?;
            }
        }
        Ok(group)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        match &self.tree {
            Tree::V1 { memory, pids } => {
                remove_tree(memory);
                remove_tree(pids);
            }
            Tree::V2(parent) => remove_tree(parent),
        }
    }
}

impl Cgroup {
    fn make(&mut self, path: PathBuf) -> io::Result<PathBuf> {
        fs::create_dir(&path).map_err(|error| at(&path, &error))?;
        self.directories.push(path.clone());
        Ok(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Where a process is in it still, the next agent here removes it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The list of a group's processes, to which one is written to put it there.
const PROCESSES: &str = "cgroup.procs";

/// Which controllers the groups below have.
const BELOW: &str = "cgroup.subtree_control";

/// The group this process is in.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    V1 { memory: PathBuf, pids: PathBuf },
    V2(PathBuf),
}

impl Own {
    /// Reads it from `/proc/self/cgroup` and `/proc/self/mountinfo`. The second version is taken
    /// where it has the controllers.
    fn find(cgroups: &str, mounts: &str) -> io::Result<Self> {
        let unified = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
        if let Some(own) = unified.and_then(|path| mounted(mounts, None, path)) {
            let controllers = fs::read_to_string(own.join("cgroup.controllers"))?;
            if has_both(&controllers) {
                return Ok(Self::V2(own));
            }
        }
        let of = |controller: &str| {
            let named = |line: &&str| {
                line.split(':')
                    .nth(1)
                    .is_some_and(|list| list.split(',').any(|at| at == controller))
            };
            let path = cgroups.lines().find(named)?.splitn(3, ':').nth(2)?;
            mounted(mounts, Some(controller), path)
        };
        match (of("memory"), of("pids")) {
            (Some(memory), Some(pids)) => Ok(Self::V1 { memory, pids }),
            _ => Err(io::Error::other("the controllers memory and pids are not mounted")),
        }
    }
}

fn has_both(controllers: &str) -> bool {
    ["memory", "pids"].iter().all(|wanted| controllers.split_whitespace().any(|at| at == *wanted))
}

/// Where a group's directory is, of a controller of the first version or of the second.
fn mounted(mounts: &str, controller: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let fits = match controller {
            None => name == "cgroup2",
            Some(wanted) => name == "cgroup" && options.split(',').any(|at| at == wanted),
        };
        // A container may see a part of the tree alone, by its full name.
        let below =
            Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/"));
        fits.then(|| Some(Path::new(point).join(below.ok()?)))?
    })
}

/// A group of this agent's below `own`.
fn place(own: &Path) -> io::Result<PathBuf> {
    remove_stale(own);
    let base = own.join(format!("{PREFIX}{}-{}", std::process::id(), unique()));
    fs::create_dir(&base).map_err(|error| at(&base, &error))?;
    Ok(base)
}

/// Tells several sandboxes of one process apart.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The same in the second version, where the group above must hold no process: either that which
/// was given to us, which we leave for a group below it, or the one above that.
fn v2_place(own: &Path) -> io::Result<PathBuf> {
    let given = enable(own).or_else(|_| {
        let leaf = own.join("wasmgrid");
        let made = fs::create_dir(&leaf);
        let this = std::process::id().to_string();
        made.and_then(|()| write(&leaf, PROCESSES, &this)).and_then(|()| enable(own)).inspect_err(
            |_| {
                // Others are in it. What cannot be undone harms nobody.
                let _ = write(own, PROCESSES, &this);
                let _ = fs::remove_dir(&leaf);
            },
        )
    });
    let above = match (given, own.parent()) {
        (Ok(()), _) => own,
        (Err(_), Some(above)) if enable(above).is_ok() => above,
        (Err(error), _) => return Err(error),
    };
    let base = place(above)?;
    enable(&base)?;
    Ok(base)
}

/// Gives the groups below this one both controllers.
fn enable(group: &Path) -> io::Result<()> {
    let path = group.join(BELOW);
    if has_both(&fs::read_to_string(&path).map_err(|error| at(&path, &error))?) {
        return Ok(());
    }
    write(group, BELOW, "+memory +pids")
}

/// Removes what agents left that were killed.
fn remove_stale(own: &Path) {
    let Ok(entries) = fs::read_dir(own) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let agent = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if agent.is_some_and(|agent| !Path::new("/proc").join(agent).exists()) {
            remove_tree(&entry.path());
        }
    }
}

/// A group and those below it, as far as they are empty: they are directories whose files go by
/// themselves.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn write(group: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = group.join(file);
    fs::write(&path, value).map_err(|error| at(&path, &error))
}

/// Not every kernel has every file.
fn optional(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A file that is not there is one that may not be made.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
31 24 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
33 31 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory
34 31 0:29 /docker/ab /sys/fs/cgroup/pids rw,nosuid shared:12 - cgroup cgroup rw,pids
";

    #[test]
    fn groups_of_the_first_version_are_found_also_in_a_container() {
        let cgroups = "8:pids:/docker/ab\n4:cpu,memory:/user/1\n";
        let own = Own::find(cgroups, V1_MOUNTS).expect("both are there");
        let memory = PathBuf::from("/sys/fs/cgroup/memory/user/1");
        assert_eq!(own, Own::V1 { memory, pids: "/sys/fs/cgroup/pids/".into() });
        Own::find("4:memory:/\n", V1_MOUNTS).expect_err("no pids");
    }

    #[test]
    fn a_group_of_the_second_version_is_taken_where_it_has_the_controllers() {
        let tree = tempfile::tempdir().expect("a folder");
        let mounts =
            format!("30 24 0:26 / {} rw shared:9 - cgroup2 cgroup2 rw\n", tree.path().display());
        let own = tree.path().join("unit");
        fs::create_dir(&own).expect("made");
        fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").expect("written");
        assert_eq!(Own::find("0::/unit\n", &mounts).expect("found"), Own::V2(own.clone()));
        fs::write(own.join("cgroup.controllers"), "cpu\n").expect("written");
        Own::find("0::/unit\n", &mounts).expect_err("no controllers");
    }

    #[test]
    fn a_runner_of_the_second_version_has_its_limits_and_no_swap() {
        let tree = tempfile::tempdir().expect("a folder");
        let groups =
            Cgroups { tree: Tree::V2(tree.path().into()), memory: ByteCount(7), next: 1.into() };
        // Kept, since the files of this tree do not go by themselves.
        let group = std::mem::ManuallyDrop::new(groups.put(42).expect("placed"));
        let at = |file: &str| fs::read_to_string(group.directories[0].join(file)).expect(file);
        assert_eq!((at("memory.max"), at("memory.swap.max")), ("7".into(), "0".into()));
        assert_eq!((at("pids.max"), at("cgroup.procs")), ("64".into(), "42".into()));
    }

    #[test]
    fn controllers_are_given_to_the_groups_below_once() {
        let tree = tempfile::tempdir().expect("a folder");
        let control = tree.path().join(BELOW);
        fs::write(&control, "cpu\n").expect("written");
        enable(tree.path()).expect("enabled");
        assert_eq!(fs::read_to_string(&control).expect("there"), "+memory +pids");
        fs::write(&control, "cpu memory pids\n").expect("written");
        enable(tree.path()).expect("as it is");
        assert_eq!(fs::read_to_string(&control).expect("there"), "cpu memory pids\n");
    }
}
