//! A program's memory is its own: nothing of the host's lies in it, and nothing else makes it grow.

use wasmgrid_proto::{ByteCount, Limits, ModuleKind, Outcome, TaskSpec};

use super::super::{command, run_one, spec};

/// A call of each sort, most of which put something between 0 and 4096.
const CALLS: &str = "
    (drop (call $args_sizes (i32.const 256) (i32.const 260)))
    (drop (call $args (i32.const 512) (i32.const 1024)))
    (drop (call $environ_sizes (i32.const 264) (i32.const 268)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 272)))
    (drop (call $random (i32.const 280) (i32.const 16)))
    (drop (call $prestat (i32.const 3) (i32.const 300)))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 2048) (i32.const 16) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 308)))
    (drop (call $sleep (i64.const 1000)))
    (drop (call $yield))
    (i32.store (i32.const 16) (i32.const 2048))
    (i32.store (i32.const 20) (i32.const 1024))
    (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
    (drop (call $write (i32.const 2) (i32.const 2048) (i32.const 1024)))";

/// Functions that write over the memory behind its first 4096 bytes, and that count what is not as
/// it was written.
const PATTERN: &str = "
    (func $end (result i32) (i32.mul (memory.size) (i32.const 65536)))
    (func $mark (param $at i32) (result i32)
        (i32.xor (i32.mul (local.get $at) (i32.const -1640531535)) (i32.const 0x5bd1e995)))
    (func $cover (local $at i32)
        (local.set $at (i32.const 4096))
        (loop $again
            (i32.store (local.get $at) (call $mark (local.get $at)))
            (br_if $again (i32.lt_u
                (local.tee $at (i32.add (local.get $at) (i32.const 4))) (call $end)))))
    (func $changed (result i32) (local $at i32) (local $changed i32)
        (local.set $at (i32.const 4096))
        (loop $again
            (if (i32.ne (i32.load (local.get $at)) (call $mark (local.get $at)))
                (then (local.set $changed (i32.add (local.get $changed) (i32.const 1)))))
            (br_if $again (i32.lt_u
                (local.tee $at (i32.add (local.get $at) (i32.const 4))) (call $end))))
        (local.get $changed))";

/// Puts out how many words are not as they were written, and how many pages there are.
const REPORT: &str = "
    (i32.store (i32.const 400) (call $changed))
    (i32.store (i32.const 404) (memory.size))
    (drop (call $write (i32.const 1) (i32.const 400) (i32.const 8)))";

/// Runs a body of 4 pages, which must end well; gives the words that changed, and the pages.
async fn run(body: &str) -> (u32, u32) {
    let module = command(&format!("{body} {REPORT}"), PATTERN);
    let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), &[b'x'; 4096]).await;
    assert_eq!(ended.outcome, Outcome::Ok);
    let word = |at: usize| u32::from_le_bytes(ended.output[at..at + 4].try_into().unwrap());
    assert_eq!(ended.usage.memory_bytes, u64::from(word(4)) << 16, "the program's pages alone");
    (word(0), word(4))
}

#[tokio::test]
async fn a_program_that_writes_over_its_whole_memory_finds_it_unchanged() {
    assert_eq!(run(&format!("(call $cover) {CALLS}")).await, (0, 4));
}

#[tokio::test]
async fn an_allocator_that_takes_what_it_finds_behind_its_data_shares_it_with_nobody() {
    // As C libraries did: it looks at the memory's size when it is first asked, which is after the
    // first calls of the host, and takes all that is there.
    assert_eq!(run(&format!("{CALLS} (call $cover) {CALLS} {CALLS}")).await, (0, 4));
    // And goes on from there by what it asks for.
    let grows = "(drop (memory.grow (i32.const 3)))";
    assert_eq!(run(&format!("{CALLS} {grows} (call $cover) {CALLS}")).await, (0, 7));
}

#[tokio::test]
async fn a_program_has_all_of_its_memory_limit() {
    // 4 pages from the start, and as many as the limit has beside them.
    let module = command(
        "(i32.store (i32.const 400) (memory.grow (i32.const 12)))
         (i32.store (i32.const 404) (memory.grow (i32.const 1)))
         (drop (call $write (i32.const 1) (i32.const 400) (i32.const 8)))",
        "",
    );
    let limits = Limits { memory: ByteCount(16 << 16), ..Limits::default() };
    let spec = TaskSpec { limits, ..spec(&module, ModuleKind::Preview1) };
    let ended = run_one(&module, &spec, b"").await;
    assert_eq!(ended.output, [4, 0, 0, 0, 255, 255, 255, 255]);
    assert_eq!(ended.usage.memory_bytes, 16 << 16);
}

#[tokio::test]
async fn a_start_function_may_call_wasi_as_well() {
    let module = command(
        "(drop (call $write (i32.const 1) (i32.const 1024) (i32.const 4)))",
        r#"(func $begin (drop (call $write (i32.const 1) (i32.const 1028) (i32.const 6))))
           (start $begin)
           (data (i32.const 1024) "mainbegin ")"#,
    );
    let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
    assert_eq!((ended.outcome, &ended.output[..]), (Outcome::Ok, &b"begin main"[..]));
}
