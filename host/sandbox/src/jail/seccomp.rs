//! The system calls that are left: a list, so that a call which a new kernel brings is refused
//! until somebody has thought about it. Found by tracing runners and compilers over the tests of
//! this workspace, in debug and release, and by reading what the engine and the C library call.
//!
//! A call that is not on the list fails with `ENOSYS`, as on a kernel that does not have it. The
//! C library, the standard library and the engine all try calls that a machine may lack and go
//! on without them; to kill the process instead would make a dead runner of each update of theirs,
//! and would take nothing more from whoever broke out of a guest. A call of another architecture
//! kills it: nothing here makes one.

use std::{collections::BTreeMap, io};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::inmate::Inmate;

/// What every child needs.
const BOTH: &[c_long] = &[
    // The allocator, compiled code and stacks. `mmap` and `mprotect` are below.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // The socket and what is already open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_close,
    // Locks.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    // Threads: their start, their caches and their end. `clone` is below.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    // Traps are signals, whose handlers and stacks the engine sets up for each thread.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Who am I: for panics and for `abort`, which is a signal to itself.
    libc::SYS_gettid,
    libc::SYS_getpid,
    // Hash maps, and guests that were granted randomness.
    libc::SYS_getrandom,
    // Calls of the clock where it is not read in user space.
    libc::SYS_clock_gettime,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What runners need beyond that.
const RUNNER: &[c_long] = &[
    // The socket: messages, the descriptors of code in them, its end.
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    // Compiled code is mapped by its length; memory images of modules are made of it.
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    // The engine's pool gives back memory in one call where it can.
    libc::SYS_process_madvise,
    // New code is seen by all cores, where the processor does not see to it.
    libc::SYS_membarrier,
    // The clock of deadlines, and sleeps of guests that were granted the real clock.
    libc::SYS_clock_nanosleep,
    libc::SYS_ppoll,
];

/// What runners need beyond that where jobs may be granted directories: landlock says which.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_getdents64,
    libc::SYS_pread64,
    libc::SYS_readlinkat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
];

/// What runners need beyond that where each task has a process: its pipe, its clock, its end, and
/// that it ends with the runner. Which processes a signal reaches is for landlock and the user to say.
const FORKING: &[c_long] = &[
    libc::SYS_pipe2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_setitimer,
    libc::SYS_wait4,
    libc::SYS_kill,
    libc::SYS_getppid,
];

/// Of `fcntl`: more descriptors of the socket, seals on memory images, and how a directory to be
/// listed was opened.
const FCNTL: [libc::c_int; 5] =
    [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_GETFL, libc::F_ADD_SEALS, libc::F_GET_SEALS];

/// All the namespaces that `clone` can make.
const CLONE_NEW: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// `PAGEMAP_SCAN` of the kernel's `linux/fs.h`: `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;

/// What may be called, and with which arguments: no conditions are any arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

pub(super) fn allow_only(inmate: Inmate) -> io::Result<()> {
    let rules = rules(inmate).map_err(io::Error::other)?;
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let program = program(rules, refused, SeccompAction::Allow)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// What a compiler needs until its threads have started: a thread, its own limits, and a second
/// filter.
const STARTING: &[c_long] =
    &[libc::SYS_clone, libc::SYS_prlimit64, libc::SYS_prctl, libc::SYS_seccomp];

/// Takes that from a compiler, with all its threads.
pub(super) fn forbid_threads() -> io::Result<()> {
    let rules: Rules = STARTING.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let program = program(rules, SeccompAction::Allow, refused)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// A filter that does `otherwise` with calls that no rule matches.
fn program(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(io::Error::other)?;
    BpfProgram::try_from(filter).map_err(io::Error::other)
}

fn rules(inmate: Inmate) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = BOTH.iter().map(|call| (*call, Vec::new())).collect();
    // Signals to itself alone. A process made by this one has another number, and gets none.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![when(&[equals(0, own)?])?]);
    // What is new is not executable; a runner makes code so by `mprotect` when it is complete.
    rules.insert(libc::SYS_mmap, vec![when(&[without(2, libc::PROT_EXEC)?])?]);
    // Its own limits: a thread's stack is as large as one says, and it may lower them.
    rules.insert(libc::SYS_prlimit64, vec![when(&[equals(0, 0)?])?]);
    // Threads, and processes only where tasks have their own. The newer `clone3` has its flags
    // where no filter sees them; without it the C library takes this one.
    let mut clone = vec![without(0, CLONE_NEW)?];
    if !matches!(inmate, Inmate::Runner { forks: true, .. }) {
        clone.push(with(0, libc::CLONE_THREAD)?);
    }
    rules.insert(libc::SYS_clone, vec![when(&clone)?]);
    match inmate {
        Inmate::Compiler { .. } => {
            rules.insert(libc::SYS_mprotect, vec![when(&[without(2, libc::PROT_EXEC)?])?]);
            // For `forbid_threads`.
            rules.insert(libc::SYS_seccomp, Vec::new());
            let promise = equals(0, number(libc::PR_SET_NO_NEW_PRIVS))?;
            rules.insert(libc::SYS_prctl, vec![when(&[promise])?]);
        }
        Inmate::Runner { pagemap, forks, allowed } => {
            rules.extend(RUNNER.iter().map(|call| (*call, Vec::new())));
            rules.insert(libc::SYS_mprotect, Vec::new());
            let mut settings = vec![libc::PR_SET_NAME];
            if forks {
                rules.extend(FORKING.iter().map(|call| (*call, Vec::new())));
                settings.push(libc::PR_SET_PDEATHSIG);
            }
            let settings = settings.iter().map(|setting| when(&[equals(0, number(*setting))?]));
            rules.insert(libc::SYS_prctl, settings.collect::<Result<_, _>>()?);
            let commands = FCNTL.iter().map(|command| when(&[equals(1, number(*command))?]));
            rules.insert(libc::SYS_fcntl, commands.collect::<Result<_, _>>()?);
            if !allowed.is_empty() {
                rules.extend(FILES.iter().map(|call| (*call, Vec::new())));
            }
            if pagemap {
                rules.insert(libc::SYS_ioctl, vec![when(&[equals(1, PAGEMAP_SCAN)?])?]);
            }
        }
    }
    Ok(rules)
}

fn when(conditions: &[SeccompCondition]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.to_vec())
}

/// The argument, of 32 bits, is this.
fn equals(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// The argument has all these bits.
fn with(argument: u8, bits: libc::c_int) -> Result<SeccompCondition, seccompiler::BackendError> {
    let bits = number(bits);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)
}

/// The argument has none of these bits.
fn without(argument: u8, bits: libc::c_int) -> Result<SeccompCondition, seccompiler::BackendError> {
    let masked = SeccompCmpOp::MaskedEq(number(bits));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, masked, 0)
}

/// As the kernel's registers have it.
fn number(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}
