//! Compiled code: made once, kept, authenticated, and made by a process that may die.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use wasmgrid_proto::{ByteCount, Digest, Millis, ModuleKind, TaskSpec};
use wasmgrid_sandbox::{
    EngineSettings, Isolation, ModuleSource, PrepareError, Refusal, Sandbox, SandboxConfig,
    SandboxError, engine,
};
use wasmtime::{Engine, Module, component::Component};

use crate::{
    modules::{OFF, command, echo_component, echo_module, wat},
    programs,
};

fn config(isolation: Isolation, cache_dir: Option<&Path>) -> SandboxConfig {
    SandboxConfig {
        slots: 0,
        isolation,
        cache_dir: cache_dir.map(Path::to_owned),
        program: env!("CARGO_BIN_EXE_sandbox-children").into(),
        ..SandboxConfig::default()
    }
}

fn sandbox(isolation: Isolation, cache_dir: Option<&Path>) -> Sandbox {
    start(&config(isolation, cache_dir))
}

fn start(config: &SandboxConfig) -> Sandbox {
    Sandbox::start(config.clone()).unwrap().0
}

fn spec(module: &[u8], kind: ModuleKind) -> TaskSpec {
    TaskSpec { tenant: "test".into(), ..TaskSpec::new(Digest::of(module), kind) }
}

fn bytes(module: &[u8]) -> ModuleSource {
    ModuleSource::Bytes(Bytes::copy_from_slice(module))
}

/// The entries of a cache directory.
fn entries(directory: &Path) -> Vec<std::path::PathBuf> {
    let folders = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// Compiled code is what its kind is to an engine of a runner's configuration: a core module or a
/// component.
fn assert_loads(prepared: &wasmgrid_sandbox::Prepared) {
    use std::os::fd::AsRawFd as _;
    let engine = Engine::new(&engine::config(&SandboxConfig::default().engine_settings()).unwrap());
    let path = format!("/proc/self/fd/{}", prepared.code().as_raw_fd());
    let engine = engine.unwrap();
    // SAFETY: the code was made by this crate's compiler.
    unsafe {
        match prepared.kind() {
            ModuleKind::Preview1 => drop(Module::deserialize_file(&engine, path).unwrap()),
            _ => drop(Component::deserialize_file(&engine, path).unwrap()),
        }
    }
}

#[tokio::test]
async fn every_kind_is_compiled_by_a_process_and_in_process() {
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let sandbox = sandbox(isolation, None);
        for (module, kind) in [
            (command(), ModuleKind::Preview1),
            (echo_module(), ModuleKind::Task),
            (echo_component(), ModuleKind::Task),
        ] {
            let spec = spec(&module, kind);
            assert!(!sandbox.has(spec.module));
            let prepared = sandbox.prepare(&spec, bytes(&module)).await.unwrap();
            assert_eq!((prepared.digest(), prepared.kind()), (spec.module, kind));
            assert!(sandbox.has(spec.module));
            assert_loads(&prepared);
        }
    }
}

#[tokio::test]
async fn code_is_the_same_however_many_threads_make_it() {
    let functions: String = (0..400)
        .map(|n| format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))"))
        .collect();
    let module = wat(&format!(
        r#"(module (memory (export "memory") 1) {functions} (func (export "_start")))"#
    ));
    let spec = spec(&module, ModuleKind::Preview1);
    let mut made = Vec::new();
    // A process compiles with a thread a core.
    for isolation in [Isolation::Process, Isolation::InProcess, Isolation::Process] {
        let prepared = sandbox(isolation, None).prepare(&spec, bytes(&module)).await.unwrap();
        made.push(code(&prepared));
    }
    assert!(!made[0].is_empty() && made[0] == made[1] && made[1] == made[2]);
}

fn code(prepared: &wasmgrid_sandbox::Prepared) -> Vec<u8> {
    let mut code = fs::File::from(prepared.code().try_clone_to_owned().unwrap());
    let mut bytes = Vec::new();
    code.seek(SeekFrom::Start(0)).unwrap();
    code.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn the_compiler_of_the_trial_serves_one_module_more_and_changes_none() {
    let directory = tempfile::tempdir().unwrap();
    let (notes, children) =
        (directory.path().join("notes"), env!("CARGO_BIN_EXE_sandbox-children"));
    let lines = format!("echo $1 >> '{}'\nexec '{children}' \"$@\"\n", notes.display());
    let program = programs::script(directory.path(), "counted", &lines);
    let compilers = || {
        let notes = fs::read_to_string(&notes).unwrap();
        notes.lines().filter(|role| *role == "compiler").count()
    };
    let modules = [echo_component(), command(), echo_module()];
    let kinds = [ModuleKind::Task, ModuleKind::Preview1, ModuleKind::Task];
    for first in 0..modules.len() {
        fs::write(&notes, "").unwrap();
        let config = SandboxConfig {
            slots: 1,
            program: program.clone(),
            ..config(Isolation::Process, None)
        };
        let (sandbox, slots) = Sandbox::start(config).unwrap();
        sandbox.proven().await.unwrap();
        assert_eq!(compilers(), 1);
        for (asked, at) in [first, (first + 1) % modules.len()].into_iter().enumerate() {
            let (module, kind) = (&modules[at], kinds[at]);
            let prepared = sandbox.prepare(&spec(module, kind), bytes(module)).await.unwrap();
            assert_eq!(compilers(), 1 + asked, "the second has one of its own");
            let fresh = self::sandbox(Isolation::Process, None);
            let other = fresh.prepare(&spec(module, kind), bytes(module)).await.unwrap();
            assert_eq!(code(&prepared), code(&other));
        }
        sandbox.shutdown().await;
        drop(slots);
    }
}

#[tokio::test]
async fn compiled_code_is_sealed() {
    let module = command();
    let sandbox = sandbox(Isolation::InProcess, None);
    let prepared =
        sandbox.prepare(&spec(&module, ModuleKind::Preview1), bytes(&module)).await.unwrap();
    let file = fs::File::from(prepared.code().try_clone_to_owned().unwrap());
    assert!(std::io::Write::write(&mut &file, b"x").is_err());
    assert!(file.set_len(0).is_err());
}

#[tokio::test]
async fn a_module_that_is_not_at_hand_is_asked_for() {
    let module = command();
    let sandbox = sandbox(Isolation::InProcess, None);
    let spec = spec(&module, ModuleKind::Preview1);
    let error = sandbox.prepare(&spec, ModuleSource::Cached).await.unwrap_err();
    assert!(matches!(error, PrepareError::NeedsModule { digest } if digest == spec.module));
    sandbox.prepare(&spec, bytes(&module)).await.unwrap();
    sandbox.prepare(&spec, ModuleSource::Cached).await.unwrap();
}

#[tokio::test]
async fn bytes_of_another_module_are_not_taken_for_it() {
    let sandbox = sandbox(Isolation::InProcess, None);
    let spec = spec(&command(), ModuleKind::Preview1);
    let error = sandbox.prepare(&spec, bytes(&echo_component())).await.unwrap_err();
    assert!(matches!(error, PrepareError::WrongModule { expected, .. } if expected == spec.module));
    sandbox.prepare(&spec, bytes(&command())).await.unwrap();
}

#[tokio::test]
async fn concurrent_prepares_compile_once() {
    let module = echo_component();
    let sandbox = Arc::new(sandbox(Isolation::Process, None));
    let spec = spec(&module, ModuleKind::Task);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (sandbox, spec, source) = (Arc::clone(&sandbox), spec.clone(), bytes(&module));
        tasks.spawn(async move { sandbox.prepare(&spec, source).await.unwrap() });
    }
    let prepared = tasks.join_all().await;
    // One file: compiled again, it would be another.
    use std::os::fd::AsRawFd as _;
    assert!(prepared.iter().all(|each| each.code().as_raw_fd() == prepared[0].code().as_raw_fd()));
}

#[tokio::test]
async fn a_refusal_is_typed_and_remembered() {
    let module = wat("(module)");
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let sandbox = sandbox(isolation, None);
        let spec = spec(&module, ModuleKind::Preview1);
        let first = sandbox.prepare(&spec, bytes(&module)).await.unwrap_err();
        assert!(matches!(&first, PrepareError::Refused(Refusal::NotATask { .. })), "{first:?}");
        assert!(!sandbox.has(spec.module));
        // Without the module's bytes: nothing was compiled to say it again.
        let second = sandbox.prepare(&spec, ModuleSource::Cached).await.unwrap_err();
        assert_eq!(first.to_string(), second.to_string());
    }
}

/// A compiler that takes a while and dies of every module, noting in `notes` that it was asked.
fn bomb(directory: &Path) -> PathBuf {
    let notes = directory.join("notes");
    let lines = format!("echo $1 >> '{}'\nsleep 0.3\nkill -SEGV $$\n", notes.display());
    programs::script(directory, "bomb", &lines)
}

fn times_asked(directory: &Path) -> usize {
    fs::read_to_string(directory.join("notes")).unwrap().lines().count()
}

async fn refusal(sandbox: &Sandbox, module: &[u8]) -> String {
    let spec = spec(module, ModuleKind::Preview1);
    let refused = sandbox.prepare(&spec, bytes(module)).await.unwrap_err();
    assert!(matches!(refused, PrepareError::Refused(_)), "{refused:?}");
    refused.to_string()
}

#[tokio::test]
async fn a_refusal_that_took_long_is_remembered_on_disk_until_its_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let module = command();
    let mut config = SandboxConfig {
        program: bomb(directory.path()),
        ..config(Isolation::Process, Some(&cache))
    };
    let first = start(&config);
    let reason = refusal(&first, &module).await;
    assert_eq!(refusal(&first, &module).await, reason);
    assert_eq!(refusal(&start(&config), &module).await, reason);
    assert_eq!(times_asked(directory.path()), 1, "a restart pays nothing");

    let entry = entries(&cache).pop().unwrap();
    let mut altered = fs::read(&entry).unwrap();
    *altered.last_mut().unwrap() ^= 1;
    fs::write(&entry, altered).unwrap();
    assert_eq!(refusal(&start(&config), &module).await, reason);
    assert_eq!(times_asked(directory.path()), 2, "nobody else can have a module refused");

    config.caps.module_bytes += 1;
    assert_eq!(refusal(&start(&config), &module).await, reason);
    assert_eq!(times_asked(directory.path()), 3, "other rules may let it in");

    entries(&cache).iter().for_each(|entry| fs::remove_file(entry).unwrap());
    config.refusal_age = Millis(0);
    let forgetful = start(&config);
    assert_eq!(refusal(&forgetful, &module).await, reason);
    assert_eq!(refusal(&forgetful, &module).await, reason);
    assert_eq!(times_asked(directory.path()), 5, "over at once");
}

#[tokio::test]
async fn a_refusal_on_disk_holds_for_no_higher_limits_than_it_was_made_under() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let config = SandboxConfig {
        program: bomb(directory.path()),
        ..config(Isolation::Process, Some(&cache))
    };
    let module = command();
    let asked_under = async |compile_cpu: u64, compile_memory: u64| {
        let (compile_cpu, compile_memory) = (Millis(compile_cpu), ByteCount(compile_memory));
        let sandbox = start(&SandboxConfig { compile_cpu, compile_memory, ..config.clone() });
        refusal(&sandbox, &module).await;
        times_asked(directory.path())
    };
    assert_eq!(asked_under(2_000, 1 << 30).await, 1);
    assert_eq!(asked_under(2_000, 1 << 30).await, 1, "the same");
    assert_eq!(asked_under(1_000, 1 << 29).await, 1, "lower ones");
    assert_eq!(asked_under(100_000, 1 << 30).await, 2, "more time: it is compiled again");
    assert_eq!(asked_under(2_000, 1 << 30).await, 2, "and that is what holds from then on");
    assert_eq!(asked_under(100_000, 1 << 30).await, 2);
    assert_eq!(asked_under(100_000, 2 << 30).await, 3, "more memory");
}

#[tokio::test]
async fn those_who_wait_for_one_module_hear_one_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let config =
        SandboxConfig { program: bomb(directory.path()), ..config(Isolation::Process, None) };
    let sandbox = start(&config);
    let module = command();
    let (one, two, three) = tokio::join!(
        refusal(&sandbox, &module),
        refusal(&sandbox, &module),
        refusal(&sandbox, &module)
    );
    assert!(one == two && two == three);
    assert_eq!(times_asked(directory.path()), 1);
}

#[tokio::test]
async fn what_an_interrupted_write_has_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let module = command();
    let first = sandbox(Isolation::InProcess, Some(directory.path()));
    first.prepare(&spec(&module, ModuleKind::Preview1), bytes(&module)).await.unwrap();
    let entry = entries(directory.path()).pop().unwrap();
    let (old, new) = (entry.with_file_name(".tmpold"), entry.with_file_name(".tmpnew"));
    for unfinished in [&old, &new] {
        fs::write(unfinished, "half").unwrap();
    }
    let hour_ago = SystemTime::now() - Duration::from_secs(60 * 60);
    fs::File::options().append(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
    drop(sandbox(Isolation::InProcess, Some(directory.path())));
    assert!(!old.exists());
    assert!(new.exists(), "another worker may be writing it");
    assert!(entry.exists());
}

#[tokio::test]
async fn a_module_of_another_kind_than_the_job_says_is_refused() {
    let module = command();
    let sandbox = sandbox(Isolation::InProcess, None);
    let error =
        sandbox.prepare(&spec(&module, ModuleKind::Task), bytes(&module)).await.unwrap_err();
    assert!(error.to_string().contains("a wasmgrid task component, but it is a WASI preview 1"));
}

#[tokio::test]
async fn limits_above_the_operators_are_refused_by_name() {
    let module = command();
    let sandbox = sandbox(Isolation::InProcess, None);
    let mut spec = spec(&module, ModuleKind::Preview1);
    spec.limits.memory = ByteCount(8 << 30);
    let error = sandbox.prepare(&spec, bytes(&module)).await.unwrap_err().to_string();
    assert!(
        error.contains("a memory limit of 8GiB, but the operator allows at most 4GiB"),
        "{error}"
    );
}

#[tokio::test]
async fn compiled_code_outlives_the_sandbox_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let module = command();
    let spec = spec(&module, ModuleKind::Preview1);
    let first = sandbox(Isolation::Process, Some(directory.path()));
    first.prepare(&spec, bytes(&module)).await.unwrap();
    let second = sandbox(Isolation::Process, Some(directory.path()));
    assert!(second.has(spec.module));
    let prepared = second.prepare(&spec, ModuleSource::Cached).await.unwrap();
    assert_eq!(prepared.kind(), ModuleKind::Preview1);
    assert_loads(&prepared);
}

#[tokio::test]
async fn damaged_or_foreign_code_is_never_loaded_but_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    let (module, other) = (command(), echo_component());
    let (spec, other_spec) = (spec(&module, ModuleKind::Preview1), spec(&other, ModuleKind::Task));
    let first = sandbox(Isolation::InProcess, Some(directory.path()));
    first.prepare(&spec, bytes(&module)).await.unwrap();
    let path = entries(directory.path()).pop().unwrap();
    let sound = fs::read(&path).unwrap();
    first.prepare(&other_spec, bytes(&other)).await.unwrap();
    let foreign = entries(directory.path()).into_iter().find(|entry| *entry != path).unwrap();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut other_kind = sound.clone();
    other_kind[16] ^= 1;
    let cut = sound[..sound.len() - 1].to_vec();
    for damaged in [flipped, other_kind, cut, Vec::new(), fs::read(foreign).unwrap()] {
        fs::write(&path, damaged).unwrap();
        let again = sandbox(Isolation::InProcess, Some(directory.path()));
        let error = again.prepare(&spec, ModuleSource::Cached).await.unwrap_err();
        assert!(matches!(error, PrepareError::NeedsModule { .. }));
        again.prepare(&spec, bytes(&module)).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), sound);
    }
}

#[tokio::test]
async fn the_key_of_the_cache_is_the_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(sandbox(Isolation::InProcess, Some(directory.path())));
    let mode = fs::metadata(directory.path().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_cache_stays_within_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(Isolation::InProcess, Some(directory.path()));
    let first = start(&config);
    let module = command();
    first.prepare(&spec(&module, ModuleKind::Preview1), bytes(&module)).await.unwrap();
    let old = entries(directory.path()).pop().unwrap();
    let one = fs::metadata(&old).unwrap().len();

    config.cache_bytes = ByteCount(one + one / 2);
    let second = start(&config);
    let other = wat(r#"(module (memory (export "memory") 2) (func (export "_start")))"#);
    let other_spec = spec(&other, ModuleKind::Preview1);
    second.prepare(&other_spec, bytes(&other)).await.unwrap();
    assert!(!old.exists(), "the one used longest ago is dropped");
    assert_eq!(entries(directory.path()).len(), 1);
    assert!(start(&config).has(other_spec.module));
}

#[tokio::test]
async fn a_compiler_that_cannot_be_started_says_which_program() {
    let mut config = config(Isolation::Process, None);
    config.program = "/nowhere/wasmgrid".into();
    let sandbox = start(&config);
    let module = command();
    let spec = spec(&module, ModuleKind::Preview1);
    let error = sandbox.prepare(&spec, bytes(&module)).await.unwrap_err();
    assert!(matches!(error, PrepareError::Sandbox(SandboxError::Start { .. })));
    assert!(error.to_string().contains("/nowhere/wasmgrid compiler"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_no_compiler_is_the_machines_fault_and_not_the_modules() {
    let mut config = config(Isolation::Process, None);
    config.program = "/bin/true".into();
    let sandbox = start(&config);
    let module = command();
    let spec = spec(&module, ModuleKind::Preview1);
    let error = sandbox.prepare(&spec, bytes(&module)).await.unwrap_err();
    assert!(matches!(error, PrepareError::Sandbox(SandboxError::Child { .. })), "{error:?}");
}

#[test]
fn compilers_and_runners_agree_about_code() {
    for settings in [
        EngineSettings::default(),
        EngineSettings { canonical_nans: true, ..EngineSettings::default() },
    ] {
        let compiler = Engine::new(&engine::compiler_config(&settings)).unwrap();
        let runner = Engine::new(&engine::config(&settings).unwrap()).unwrap();
        assert_eq!(engine::fingerprint(&compiler), engine::fingerprint(&runner));
    }
}

#[test]
fn settings_that_change_code_change_the_fingerprint_and_others_do_not() {
    let fingerprint = |settings: EngineSettings| {
        engine::fingerprint(&Engine::new(&engine::compiler_config(&settings)).unwrap())
    };
    let default = fingerprint(EngineSettings::default());
    assert_eq!(default.len(), 32);
    assert_eq!(default, fingerprint(EngineSettings::default()));
    let canonical = EngineSettings { canonical_nans: true, ..EngineSettings::default() };
    assert_ne!(default, fingerprint(canonical));
    let small = EngineSettings { max_memory: ByteCount(1 << 20), ..EngineSettings::default() };
    assert_eq!(default, fingerprint(small));
}

#[test]
fn the_engine_too_refuses_the_features_that_are_off() {
    let engine = Engine::new(&engine::compiler_config(&EngineSettings::default())).unwrap();
    for fields in OFF {
        let component = wat(&format!("(component (core module {fields}))"));
        assert!(engine.precompile_component(&component).is_err(), "{fields}");
    }
    engine.precompile_component(&wat("(component (core module (memory 1)))")).unwrap();
}
