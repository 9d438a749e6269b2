//! Modules that want more memory or tables than they may have.

use wasmgrid_proto::Limit;

use super::{
    Attack, Expect,
    make::{command, command_with, for_ever, task, wat},
};

/// The default limits of a task.
const MEMORY: u64 = 64 << 20;
const TABLE: u64 = 10_000;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = at_the_start();
    attacks.extend(while_it_runs());
    attacks
}

fn at_the_start() -> Vec<Attack> {
    let memory = |used| Expect::exactly(Limit::Memory, used, MEMORY);
    let table = |used| Expect::exactly(Limit::TableElements, used, TABLE);
    vec![
        Attack::new(
            "an initial memory of 4 GiB",
            || wat(r#"(module (memory (export "memory") 65536) (func (export "_start")))"#),
            memory(4 << 30),
        ),
        Attack::new(
            "an initial memory of 65 MiB",
            || command_with(1_040, "", ""),
            memory(65 << 20),
        ),
        Attack::new("two memories of 40 MiB each", two_memories, memory(80 << 20)),
        Attack::new("data spread over 4 GiB", sparse_data, memory(4 << 30)),
        Attack::new(
            "a table of 10 million",
            || command("", "(table 10000000 funcref)"),
            table(10_000_000),
        ),
        Attack::new("a table of 10,001", || command("", "(table 10001 funcref)"), table(10_001)),
        Attack::new(
            "two tables of 6,000 each",
            || command("", "(table 6000 funcref) (table 6000 funcref)"),
            table(12_000),
        ),
    ]
}

fn two_memories() -> Vec<u8> {
    wat(r#"(module (memory (export "memory") 640) (memory 640) (func (export "_start")))"#)
}

/// A byte in each 64 MiB of the address space.
fn sparse_data() -> Vec<u8> {
    let data: String = (0..64u64)
        .map(|place| format!(r#"(data (i32.const {}) "x")"#, (place << 26) as u32 as i32))
        .collect();
    wat(&format!(
        r#"(module (memory (export "memory") 65536) {data} (data (i32.const -1) "x")
            (func (export "_start")))"#
    ))
}

fn while_it_runs() -> Vec<Attack> {
    vec![
        Attack::out_of_fuel("endless memory.grow", || {
            command(for_ever!("(drop (memory.grow (i32.const 1)))"), "")
        }),
        Attack::out_of_fuel("endless memory.grow of all there is", || {
            command(for_ever!("(drop (memory.grow (i32.const 65535)))"), "")
        }),
        Attack::out_of_time("endless memory.grow with fuel without end", || {
            command(for_ever!("(drop (memory.grow (i32.const 1)))"), "")
        }),
        Attack::new(
            "memory.grow until it fails, and all of it used",
            || task(GROW_AND_USE, ""),
            // 64 MiB are there from the start.
            Expect::output(1_024u32.to_le_bytes()),
        )
        .memory_bytes(MEMORY)
        .fuel(1_000_000_000),
        Attack::new(
            "table.grow until it fails",
            || {
                task(
                    "(loop $more (br_if $more (i32.ge_s
                        (table.grow $t (ref.null func) (i32.const 100)) (i32.const 0))))
                     (i32.store (i32.const 2048) (i32.le_u (table.size $t) (i32.const 10000)))
                     (call $ok (i32.const 2048) (i32.const 4))",
                    "(table $t 1 funcref)",
                )
            },
            Expect::output(1u32.to_le_bytes()),
        ),
    ]
}

/// Grows by a page until that fails, writes over everything, and says how many pages there are.
const GROW_AND_USE: &str = "
    (loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
    (memory.fill (i32.const 1048576) (i32.const 1) (i32.const 66060288))
    (i32.store (i32.const 2048) (memory.size))
    (call $ok (i32.const 2048) (i32.const 4))";
