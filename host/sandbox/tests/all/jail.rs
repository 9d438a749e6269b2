//! The jail around runners and compilers, tried from inside and looked at from outside; and the
//! limits of compilation. A layer that the machine does not have is told and not tried.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use wasmgrid_proto::{ByteCount, Digest, Limit, Millis, ModuleKind, Outcome, TaskSpec};
use wasmgrid_sandbox::{
    Isolation, Layer, ModuleSource, PrepareError, Sandbox, SandboxConfig, SandboxError,
};

use crate::{
    modules::{command, wat},
    programs,
};

const CHILDREN: &str = env!("CARGO_BIN_EXE_sandbox-children");

/// No condition of a test is waited for longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a prisoner in a jail without these layers got: the error of each try, 0 where it was done.
struct Tries {
    tries: BTreeMap<String, i32>,
    missing: Vec<String>,
}

impl Tries {
    fn without(left_out: &[Layer]) -> Self {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut prisoner = Command::new(CHILDREN);
        prisoner.arg("prisoner").args(left_out.iter().map(|layer| layer.name()));
        // Descriptors and variables that a careless agent would leave to it.
        let status = prisoner
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        drop(prisoner);
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert!(status.unwrap().success(), "{said}");
        let (missing, tries): (Vec<_>, Vec<_>) =
            said.lines().partition(|line| line.starts_with("missing"));
        let missing = missing.iter().map(|line| line["missing ".len()..].to_owned()).collect();
        let tries = tries.iter().map(|line| {
            let (name, error) = line.split_once(' ').unwrap();
            (name.to_owned(), error.parse().unwrap())
        });
        Self { tries: tries.collect(), missing }
    }

    fn has(&self, layer: Layer) -> bool {
        let has = !self.missing.iter().any(|missing| missing == layer.name());
        if !has {
            println!("skipped: this machine has no {layer}");
        }
        has
    }

    #[track_caller]
    fn assert(&self, name: &str, errors: &[rustix::io::Errno]) {
        let error = self.tries[name];
        let wanted: Vec<_> = errors.iter().map(|error| error.raw_os_error()).collect();
        assert!(wanted.contains(&error), "{name} gave error {error}, and not one of {wanted:?}");
    }
}

use rustix::io::Errno;

/// All that a prisoner tries that would be of use to it.
const TRIES: [&str; 24] = [
    "bpf",
    "become-root",
    "chroot",
    "connect",
    "exec",
    "executable",
    "fork",
    "io-uring",
    "keys",
    "kill-parent",
    "leave-groups",
    "list-proc",
    "list-root",
    "make-file",
    "mount",
    "open-environment",
    "open-file",
    "perf",
    "ptrace-parent",
    "read-parent",
    "socket-inet",
    "socket-unix",
    "unshare",
    "userfaultfd",
];

#[test]
fn nothing_can_be_done_from_inside_a_runners_jail() {
    let jail = Tries::without(&[]);
    if !jail.has(Layer::Seccomp) {
        return;
    }
    for name in TRIES {
        let refused = [Errno::NOSYS];
        jail.assert(name, &refused);
    }
    assert_eq!(jail.tries["variables"], 0, "it has an environment");
    // The socket, and three streams that lead nowhere.
    assert_eq!(jail.tries["descriptors"], 4);
}

#[test]
fn each_layer_of_the_jail_holds_without_the_others() {
    // Files: by landlock, else by the empty root directory.
    let jail = Tries::without(&[Layer::Seccomp, Layer::Root]);
    if jail.has(Layer::Landlock) {
        for name in ["open-file", "list-root", "list-proc", "make-file", "exec"] {
            jail.assert(name, &[Errno::ACCESS]);
        }
        // Not known to all kernels that have landlock, so that others may refuse it as well.
        jail.assert("connect", &[Errno::ACCESS, Errno::NETUNREACH]);
        jail.assert("kill-parent", &[Errno::PERM]);
    }
    let jail = Tries::without(&[Layer::Seccomp, Layer::Landlock]);
    if jail.has(Layer::Root) {
        for name in ["open-file", "open-environment", "list-proc", "make-file", "exec"] {
            jail.assert(name, &[Errno::NOENT]);
        }
    }
    if jail.has(Layer::Namespaces) {
        jail.assert("connect", &[Errno::NETUNREACH]);
    }
    if jail.has(Layer::Capabilities) {
        for name in ["mount", "chroot", "leave-groups", "unshare"] {
            jail.assert(name, &[Errno::PERM]);
        }
        // A user namespace without a map has no root to become.
        jail.assert("become-root", &[Errno::PERM, Errno::INVAL]);
    }
    if jail.has(Layer::User) {
        jail.assert("kill-parent", &[Errno::PERM]);
        jail.assert("ptrace-parent", &[Errno::PERM]);
        jail.assert("fork", &[Errno::AGAIN]);
    }
}

/// The fields of `/proc/PID/status`.
fn status(process: u32) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Some(fields.map(|(name, value)| (name.into(), value.trim().into())).collect())
}

/// Waits for a child of this process, of this role and below this program's folder, that is in
/// its jail.
fn jailed(program: &Path, role: &str) -> u32 {
    let started = Instant::now();
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            // Behind it stands the build that it is to be of.
            let wanted = format!("{}\0{role}\0", program.display());
            let sealed = status(process).is_some_and(|status| status["Seccomp"] == "2");
            if command.starts_with(wanted.as_bytes()) && sealed {
                return process;
            }
        }
        assert!(started.elapsed() < PATIENCE, "no {role} is in a jail");
        std::thread::yield_now();
    }
}

/// A copy of the program under a name of the test's own, so that its processes are found.
fn program(directory: &Path) -> PathBuf {
    let program = directory.join("children");
    if fs::hard_link(CHILDREN, &program).is_err() {
        programs::install(Path::new(CHILDREN), &program);
    }
    program
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn assert_jailed(process: u32) {
    let status = status(process).unwrap();
    assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    if !is_root() {
        println!("skipped: only root can change a runner's user, and look at what it has open");
        return;
    }
    assert_eq!(status["CapBnd"], "0000000000000000");
    assert_eq!(status["Uid"], "65534\t65534\t65534\t65534");
    assert_eq!(status["Gid"], "65534\t65534\t65534\t65534");
    assert_eq!(status["Groups"], "");
    let proc = PathBuf::from(format!("/proc/{process}"));
    for namespace in ["net", "ipc", "uts", "mnt"] {
        let theirs = fs::read_link(proc.join("ns").join(namespace)).unwrap();
        let ours = fs::read_link(Path::new("/proc/self/ns").join(namespace)).unwrap();
        assert_ne!(theirs, ours, "{namespace}");
    }
    let devices = fs::read_to_string(proc.join("net/dev")).unwrap();
    assert_eq!(devices.lines().skip(2).count(), 1, "more than a loopback: {devices}");
    for entry in fs::read_dir(proc.join("fd")).unwrap() {
        let open = fs::read_link(entry.unwrap().path()).unwrap();
        let open = open.to_str().unwrap();
        let known = ["socket:", "pipe:", "/memfd:", "/dev/null"];
        assert!(known.iter().any(|known| open.starts_with(known)), "{open} is open");
    }
    let variables = fs::read_to_string(proc.join("environ")).unwrap();
    assert_eq!(variables, "", "its environment");
}

/// What a process is allowed of this.
fn limit(process: u32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_runner_is_in_its_jail() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    let config = SandboxConfig { program: program.clone(), ..SandboxConfig::default() };
    let (sandbox, _slots) = Sandbox::start(config).unwrap();
    let runner = tokio::task::spawn_blocking(move || jailed(&program, "runner")).await.unwrap();
    assert_jailed(runner);
    assert_eq!(limit(runner, "Max core file size"), "0");
    assert_eq!(limit(runner, "Max open files"), "4096");
    // Its threads start inside the jail; then it can start no more.
    let started = Instant::now();
    while limit(runner, "Max processes") != "0" {
        assert!(started.elapsed() < PATIENCE, "it may start processes");
        tokio::task::yield_now().await;
    }
    sandbox.shutdown().await;
}

/// The groups of this process's sandboxes, by the files that list their processes.
fn groups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut groups = Vec::new();
    let mut folders: Vec<PathBuf> = mounts
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .map(|line| line.split(' ').nth(4).unwrap().into())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
        let ours = format!("/wasmgrid-{}-", std::process::id());
        if folder.to_str().unwrap().contains(&ours) {
            groups.push(folder);
        }
    }
    groups
}

#[tokio::test]
async fn a_runner_has_a_control_group_that_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    let mut config = SandboxConfig { program: program.clone(), ..SandboxConfig::default() };
    // Told from those of other tests by it.
    config.max_limits.memory = ByteCount(123 << 20);
    let memory = ((123 << 20) + config.max_limits.output.0 + (512 << 20)).to_string();
    let (sandbox, _slots) = Sandbox::start(config).unwrap();
    let runner = tokio::task::spawn_blocking(move || jailed(&program, "runner")).await.unwrap();
    let of_runner = |group: &PathBuf| {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        processes.lines().any(|process| process == runner.to_string())
    };
    let groups: Vec<_> = groups().into_iter().filter(of_runner).collect();
    if groups.is_empty() {
        println!("skipped: this machine has no cgroup for a worker that is not its root");
        return;
    }
    let value = |file: &str| {
        let mut values = groups.iter().filter_map(|at| fs::read_to_string(at.join(file)).ok());
        values.next().map(|value| value.trim().to_owned())
    };
    assert_eq!(value("memory.max").or(value("memory.limit_in_bytes")), Some(memory));
    assert_eq!(value("pids.max").as_deref(), Some("64"));
    assert_eq!(value("memory.swap.max").or(value("memory.swappiness")).as_deref(), Some("0"));
    drop(_slots);
    sandbox.shutdown().await;
    drop(sandbox);
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?} are left");
}

fn spec(module: &[u8]) -> TaskSpec {
    TaskSpec { tenant: "test".into(), ..TaskSpec::new(Digest::of(module), ModuleKind::Preview1) }
}

async fn prepare(sandbox: &Sandbox, module: &[u8]) -> Result<(), PrepareError> {
    let source = ModuleSource::Bytes(Bytes::copy_from_slice(module));
    sandbox.prepare(&spec(module), source).await.map(drop)
}

/// Small, within every cap, and seconds of work: each local lives through each loop.
fn bomb() -> Vec<u8> {
    let locals = 1_900;
    let set: String = (1..locals).map(|at| format!("(local.set {at} (local.get 0))")).collect();
    let turn = "(loop $l (local.set 1 (i32.add (local.get 1) (local.get 2)))\
                (br_if $l (local.get 0)))";
    let used: String =
        (1..locals).map(|at| format!("(i32.store (i32.const 0) (local.get {at}))")).collect();
    let function = format!(
        "(func (param i32) (local {}) {set} {} {used})",
        "i32 ".repeat(locals),
        turn.repeat(400)
    );
    wat(&format!(
        r#"(module (memory (export "memory") 1) {} (func (export "_start")))"#,
        function.repeat(8)
    ))
}

fn compiling() -> SandboxConfig {
    SandboxConfig { slots: 0, program: CHILDREN.into(), ..SandboxConfig::default() }
}

#[tokio::test]
async fn a_module_that_takes_long_to_compile_ends_at_the_limit_and_costs_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let lines = format!("echo $1 >> '{}'\nexec '{CHILDREN}' \"$@\"\n", starts.display());
    let program = programs::script(directory.path(), "noting", &lines);
    let config = SandboxConfig { compile_cpu: Millis(1_000), program, ..compiling() };
    let (sandbox, _) = Sandbox::start(config).unwrap();
    let bomb = bomb();
    let error = prepare(&sandbox, &bomb).await.unwrap_err();
    let PrepareError::Refused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(
        refusal.outcome(),
        Outcome::Limit { limit: Limit::Compile, used: 1_000, allowed: 1_000 },
        "{refusal}"
    );
    let text = refusal.to_string();
    assert!(text.contains("1s") && text.contains("operator"), "{text}");
    prepare(&sandbox, &bomb).await.unwrap_err();
    assert_eq!(fs::read_to_string(starts).unwrap(), "compiler\n", "it was compiled again");
}

#[tokio::test]
async fn a_module_that_takes_much_memory_to_compile_ends_at_the_limit() {
    let config = SandboxConfig { compile_memory: ByteCount(16 << 20), ..compiling() };
    let (sandbox, _) = Sandbox::start(config).unwrap();
    let error = prepare(&sandbox, &bomb()).await.unwrap_err();
    let PrepareError::Refused(refusal) = error else { panic!("{error:?}") };
    let outcome = refusal.outcome();
    assert!(
        matches!(outcome, Outcome::Limit { limit: Limit::CompileMemory, allowed, .. } if allowed == 16 << 20),
        "{refusal}"
    );
    assert_eq!(outcome.to_string(), "limit(compile): used 16MiB of 16MiB allowed");
    assert!(refusal.to_string().contains("operator"), "{refusal}");
    prepare(&sandbox, &command()).await.expect("others are compiled as before");
}

/// How far a process stands back behind others, -20 to 19.
fn niceness(pid: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The 19th field; the second, in brackets, is a name.
    stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_compiler_is_in_its_jail_and_gives_way_to_runners() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    let config = SandboxConfig { program: program.clone(), ..compiling() };
    let (sandbox, _) = Sandbox::start(config).unwrap();
    let bomb = bomb();
    let compiling = prepare(&sandbox, &bomb);
    let looking = tokio::task::spawn_blocking(move || {
        let compiler = jailed(&program, "compiler");
        assert_jailed(compiler);
        // A machine's niceness ends at 19.
        let ours = niceness(std::process::id());
        assert_eq!(niceness(compiler), (ours + 10).min(19), "this process has {ours}");
        // Its threads start inside the jail; then it can start no more.
        let started = Instant::now();
        while limit(compiler, "Max processes") != "0" {
            assert!(started.elapsed() < PATIENCE, "it may start processes");
            std::thread::yield_now();
        }
        // The call that starts threads is refused to each of them then.
        let filters = |status: &BTreeMap<String, String>| status["Seccomp_filters"] == "2";
        while !status(compiler).is_some_and(|status| filters(&status)) {
            assert!(started.elapsed() < PATIENCE, "it may start threads");
            std::thread::yield_now();
        }
    });
    tokio::select! {
        looked = looking => looked.unwrap(),
        done = compiling => panic!("compiled too soon to be seen: {done:?}"),
    }
}

#[tokio::test]
async fn a_jail_that_is_required_and_incomplete_is_refused_by_its_layer() {
    let required = SandboxConfig { require_jail: true, ..SandboxConfig::default() };
    let inside = SandboxConfig { isolation: Isolation::InProcess, ..required.clone() };
    let error = Sandbox::start(inside).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SandboxError::Jail { layer: Layer::Process, .. }), "{text}");
    assert!(text.contains("in processes of their own"), "{text}");

    // A runner that does not begin as root cannot become nobody.
    let directory = tempfile::tempdir().unwrap();
    let program = if is_root() { unprivileged(directory.path()) } else { CHILDREN.into() };
    let (sandbox, _slots) = Sandbox::start(SandboxConfig { program, ..required.clone() }).unwrap();
    let why = sandbox.proven().await.unwrap_err();
    let text = why.to_string();
    assert!(matches!(why.error(), SandboxError::Jail { .. }), "{text}");
    if is_root() {
        assert!(text.contains("layer user") && text.contains("as root"), "{text}");
        let (sandbox, _slots) =
            Sandbox::start(SandboxConfig { program: CHILDREN.into(), ..required }).unwrap();
        sandbox.proven().await.unwrap();
        prepare(&sandbox, &command()).await.unwrap();
        sandbox.shutdown().await;
    }
}

/// The program behind a script that runs it as an ordinary user.
fn unprivileged(directory: &Path) -> PathBuf {
    let lines = format!("exec setpriv --reuid=1 --regid=1 --clear-groups '{CHILDREN}' \"$@\"\n");
    programs::script(directory, "children", &lines)
}

#[tokio::test]
async fn an_incomplete_jail_is_no_reason_not_to_run_where_it_is_not_required() {
    let directory = tempfile::tempdir().unwrap();
    let program = if is_root() { unprivileged(directory.path()) } else { CHILDREN.into() };
    let (sandbox, _) = Sandbox::start(SandboxConfig { program, ..compiling() }).unwrap();
    prepare(&sandbox, &command()).await.unwrap();
}
