//! Each way a task can end by itself, and what comes back with it.

use wasmgrid_proto::{ModuleKind, Outcome, TrapKind};

use super::{command, run_one, spec, task};

#[tokio::test]
async fn a_task_gives_its_output_its_records_and_its_log() {
    let module = task(
        r#"(call $emit (i32.const 1024) (i32.const 3))
           (call $emit (i32.const 1024) (i32.const 0))
           (call $emit (i32.const 1027) (i32.const 5))
           (call $log (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 1027) (i32.const 5))
           (call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1027) (i32.const 5))
           (call $ok (local.get $in) (local.get $len))"#,
        r#"(data (i32.const 1024) "onethree")"#,
    );
    let ended = run_one(&module, &spec(&module, ModuleKind::Task), b"input").await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert_eq!(ended.output, b"input");
    assert_eq!(ended.records, [&b"one"[..], b"", b"three"]);
    assert_eq!(ended.log, "WARN one: three\nERROR three\n");
    assert!(ended.usage.fuel > 1_000, "host calls are charged: {}", ended.usage.fuel);
    assert_eq!(ended.usage.memory_bytes, 2 << 16);
}

#[tokio::test]
async fn a_task_may_reject_its_input_or_ask_for_a_retry() {
    for (kind, expected) in
        [(0, Outcome::Rejected("why".into())), (1, Outcome::Retry("why".into()))]
    {
        let module = task(
            &format!("(call $err (i32.const {kind}) (i32.const 1024) (i32.const 3))"),
            r#"(data (i32.const 1024) "why")"#,
        );
        let ended = run_one(&module, &spec(&module, ModuleKind::Task), b"").await;
        assert_eq!(ended.outcome, expected);
    }
}

#[tokio::test]
async fn a_task_knows_its_index_seed_and_limits() {
    let module =
        task("(call $info (i32.const 2048)) (call $ok (i32.const 2048) (i32.const 32))", "");
    let mut spec = spec(&module, ModuleKind::Task);
    spec.seed = 7;
    let ended = run_one(&module, &spec, b"").await;
    let words: Vec<_> =
        ended.output.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words[0], 0);
    assert_ne!(words[1], 7, "the seed is the task's, not the job's");
    assert_eq!(words[2..], [spec.limits.fuel.0, spec.limits.memory.0]);
}

#[tokio::test]
async fn a_command_reads_its_input_and_writes_its_output_and_log() {
    let module = command(
        r#"(local $got i32)
           (i32.store (i32.const 16) (i32.const 4096))
           (i32.store (i32.const 20) (i32.const 4096))
           (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
           (drop (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 24))))
           (drop (call $write (i32.const 2) (i32.const 4096) (i32.load (i32.const 24))))"#,
        "",
    );
    let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"some text").await;
    assert_eq!(ended.outcome, Outcome::Ok);
    assert_eq!((&ended.output[..], &ended.log[..]), (&b"some text"[..], "some text"));
}

#[tokio::test]
async fn a_command_has_its_arguments_and_no_environment_and_no_files() {
    let module = command(
        r#"(drop (call $args_sizes (i32.const 256) (i32.const 260)))
           (drop (call $args (i32.const 512) (i32.const 1024)))
           (drop (call $environ_sizes (i32.const 264) (i32.const 268)))
           (i32.store (i32.const 272) (call $open (i32.const 3) (i32.const 0) (i32.const 2048)
               (i32.const 16) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0)
               (i32.const 276)))
           (drop (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 260))))
           (drop (call $write (i32.const 1) (i32.const 264) (i32.const 12)))"#,
        r#"(data (i32.const 2048) "../../etc/passwd")"#,
    );
    let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
    assert_eq!(ended.outcome, Outcome::Ok);
    let (arguments, rest) = ended.output.split_at("task one two ".len());
    assert_eq!(arguments, b"task\0one\0two\0");
    assert_eq!(rest[..8], [0; 8], "variables and their bytes");
    assert_ne!(rest[8..], [0; 4], "the errno of opening a file");
}

#[tokio::test]
async fn a_commands_exit_code_is_its_outcome() {
    for (code, shown) in [
        (0, "ok"),
        (1, "exit code 1"),
        (126, "exit code 126"),
        (255, "exit code 255"),
        (256, "exit code 256 (0x100)"),
        (0xDEAD_BEEF, "exit code 3735928559 (0xdeadbeef)"),
    ] {
        let code: u32 = code;
        let module = command(&format!("(call $exit (i32.const {code}))"), "");
        let ended = run_one(&module, &spec(&module, ModuleKind::Preview1), b"").await;
        let expected = if code == 0 { Outcome::Ok } else { Outcome::Exit(code as i32) };
        assert_eq!(ended.outcome, expected);
        assert_eq!(ended.outcome.to_string(), shown);
    }
}

#[tokio::test]
async fn each_trap_has_its_kind_and_its_place() {
    let table = "(table $t 1 funcref) (type $void (func))";
    let cases = [
        ("unreachable", "", TrapKind::Unreachable),
        ("(i32.div_u (local.get $len) (i32.const 0))", "", TrapKind::DivisionByZero),
        ("(i32.load (i32.const -8))", "", TrapKind::MemoryOutOfBounds),
        (
            "(call_indirect $t (type $void) (i32.const 9)) (i32.const 0)",
            table,
            TrapKind::TableOutOfBounds,
        ),
        (
            "(call_indirect $t (type $void) (i32.const 0)) (i32.const 0)",
            table,
            TrapKind::BadIndirectCall,
        ),
        ("(i32.trunc_f32_s (f32.const 1e30))", "", TrapKind::IntegerOverflow),
        ("(call $deep) (i32.const 0)", "(func $deep (call $deep))", TrapKind::Stack),
        ("(call $emit (i32.const -16) (i32.const 64)) (i32.const 0)", "", TrapKind::ComponentRule),
        ("(call $emit (i32.const 0) (i32.const -1)) (i32.const 0)", "", TrapKind::ComponentRule),
        ("(i32.const -4)", "", TrapKind::ComponentRule),
    ];
    for (body, more, expected) in cases {
        let module = task(body, more);
        let ended = run_one(&module, &spec(&module, ModuleKind::Task), b"").await;
        let Outcome::Trap { kind, backtrace } = ended.outcome else {
            panic!("{body}: {:?}", ended.outcome)
        };
        assert_eq!(kind, expected, "{body}");
        assert!(!backtrace.is_empty(), "{body}");
        assert!(backtrace.len() <= 5_000, "{body}: {} bytes", backtrace.len());
    }
}
