//! WASI preview 1 as a program meets it: what each function answers, with any pointer, on memory
//! that is the program's own alone.

mod files;
mod hostile;
mod memory;
mod polls;

use std::fmt::Write as _;

use wasmgrid_proto::{Grant, ModuleKind, Outcome, TaskSpec};
use wasmgrid_sandbox::{Isolation, SandboxConfig};

use super::{Bench, Ended, ISOLATIONS, assert_same, spec};
use crate::modules::wat;

/// The functions of preview 1 that the tests call, with their parameters: `i` of 32 bits, `I` of 64.
const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// What the errnos of preview 1 are called that the tests expect.
const OK: u32 = 0;
const BADF: u32 = 8;
const ILSEQ: u32 = 25;
const INVAL: u32 = 28;
const NAMETOOLONG: u32 = 37;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;
const NOTSOCK: u32 = 57;
const NOTSUP: u32 = 58;
const PERM: u32 = 63;
const ROFS: u32 = 69;
const SPIPE: u32 = 70;

/// A call by its name and arguments.
type Call<'a> = (&'a str, &'a [i64]);

/// A place in the memory, and what lies there from the start.
type Data<'a> = (u32, &'a [u8]);

/// How much of its memory, from 0 on, a program of [`asking`] shows at its end.
const SHOWN_BYTES: usize = 16 << 10;

/// Where it puts the answers, and what it writes them by.
const ANSWERS_AT: usize = 32 << 10;

/// What a program of [`asking`] was answered.
struct Answers {
    errnos: Vec<u32>,
    /// Its memory's first part, after the last call.
    memory: Vec<u8>,
}

impl Answers {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.memory[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.memory[at..at + 8].try_into().unwrap())
    }

    fn text(&self, at: usize, length: usize) -> &str {
        std::str::from_utf8(&self.memory[at..at + length]).unwrap()
    }
}

fn parameters(name: &str) -> &'static str {
    FUNCTIONS.iter().find(|(known, _)| *known == name).expect("a function").1
}

fn import(name: &str) -> String {
    let types: String = parameters(name)
        .chars()
        .map(|letter| if letter == 'i' { "i32 " } else { "i64 " })
        .collect();
    format!(
        r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {types}) (result i32)))"#
    )
}

fn call((name, arguments): Call<'_>) -> String {
    let parameters = parameters(name);
    assert_eq!(parameters.len(), arguments.len(), "{name}");
    let arguments: String = parameters
        .chars()
        .zip(arguments)
        .map(|(letter, value)| match letter {
            'i' => format!("(i32.const {value}) "),
            _ => format!("(i64.const {value}) "),
        })
        .collect();
    format!("(call ${name} {arguments})")
}

/// A command of one page of memory that does these calls in turn and then writes the errnos, and
/// its memory.
fn asking(data: &[Data<'_>], calls: &[Call<'_>]) -> Vec<u8> {
    let mut names: Vec<&str> = calls.iter().map(|(name, _)| *name).chain(["fd_write"]).collect();
    names.sort_unstable();
    names.dedup();
    let imports: String = names.into_iter().map(import).collect();
    let (mut segments, mut body) = (String::new(), String::new());
    for (at, bytes) in data {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        writeln!(segments, r#"(data (i32.const {at}) "{escaped}")"#).unwrap();
    }
    for (place, asked) in calls.iter().enumerate() {
        let at = ANSWERS_AT + 4 * place;
        writeln!(body, "(i32.store (i32.const {at}) {})", call(*asked)).unwrap();
    }
    let list = 60_000;
    let parts = [(ANSWERS_AT, 4 * calls.len()), (0, SHOWN_BYTES)];
    for (place, (at, length)) in parts.into_iter().enumerate() {
        let entry = list + 8 * place;
        writeln!(body, "(i32.store (i32.const {entry}) (i32.const {at}))").unwrap();
        writeln!(body, "(i32.store (i32.const {}) (i32.const {length}))", entry + 4).unwrap();
    }
    let write = call(("fd_write", &[1, list as i64, 2, 60_100]));
    wat(&format!(
        r#"(module {imports} (memory (export "memory") 1) {segments}
            (func $main (export "_start") {body} (drop {write})))"#
    ))
}

/// Runs a command with these grants, in each isolation, where it must end the same.
async fn run_with(module: &[u8], grants: &[Grant], input: &[u8]) -> Ended {
    let spec = TaskSpec { grants: grants.to_vec(), ..spec(module, ModuleKind::Preview1) };
    let mut first: Option<Ended> = None;
    for isolation in ISOLATIONS {
        let ended = run_in(isolation, module, &spec, input).await;
        match &first {
            Some(first) => assert_same(first, &ended, isolation),
            None => first = Some(ended),
        }
    }
    first.unwrap()
}

async fn run_in(isolation: Isolation, module: &[u8], spec: &TaskSpec, input: &[u8]) -> Ended {
    let allow_dirs = spec.grants.iter().filter_map(|grant| match grant {
        Grant::Dir { host, .. } => Some(host.into()),
        _ => None,
    });
    let mut bench = Bench::with(SandboxConfig {
        isolation,
        slots: 1,
        allow_dirs: allow_dirs.collect(),
        program: env!("CARGO_BIN_EXE_sandbox-children").into(),
        ..SandboxConfig::default()
    });
    let batch = bench.batch(module, spec, &[input]).await;
    bench.slot.input.run(batch).await.unwrap();
    let ended = bench.results(1).await.remove(0);
    bench.sandbox.shutdown().await;
    ended
}

/// Asks as [`asking`], and reads what was answered.
async fn ask(data: &[Data<'_>], calls: &[Call<'_>], grants: &[Grant], input: &[u8]) -> Answers {
    let ended = run_with(&asking(data, calls), grants, input).await;
    assert_eq!(ended.outcome, Outcome::Ok);
    let at = ended.output.len() - SHOWN_BYTES;
    let at = at - 4 * calls.len();
    let (errnos, memory) = ended.output[at..].split_at(4 * calls.len());
    let errnos = errnos.chunks(4).map(|errno| u32::from_le_bytes(errno.try_into().unwrap()));
    Answers { errnos: errnos.collect(), memory: memory.to_vec() }
}

/// That each of these calls is answered by this errno.
async fn assert_answers(
    data: &[Data<'_>],
    expected: &[(Call<'_>, u32)],
    grants: &[Grant],
    input: &[u8],
) -> Answers {
    let calls: Vec<_> = expected.iter().map(|(call, _)| *call).collect();
    let answers = ask(data, &calls, grants, input).await;
    for ((call, expected), found) in expected.iter().zip(&answers.errnos) {
        assert_eq!(found, expected, "{call:?}");
    }
    answers
}

/// Numbers as they lie in memory.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
