//! Bombs in the code: too many functions, or functions that are too much.

use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, InstructionSink,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};

use super::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = of_counts();
    attacks.extend(of_bodies());
    attacks
}

fn of_counts() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "a million empty functions",
            || functions(1_000_000, &[], |_| {}),
            &["the number of functions is 1000000 at offset 0x", "at most 50000"],
        ),
        refused(
            "50,001 functions",
            || functions(50_001, &[], |_| {}),
            &["the number of functions is 50001 at offset 0x", "at most 50000"],
        ),
        refused(
            "49,000 live locals in a loop",
            || functions(1, &[(49_000, ValType::I64)], |code| live_loops(code, 49_000, 1)),
            &["the number of a function's locals is 49000 at offset 0x", "at most 2000"],
        ),
        refused(
            "50,000 locals in 8 KB",
            || functions(4, &[(50_000, ValType::I32)], |code| live_loops(code, 500, 1)),
            &["the number of a function's locals is 50000 at offset 0x", "at most 2000"],
        ),
        refused(
            "300 loops over 50,000 locals",
            || functions(1, &[(50_000, ValType::I32)], |code| loops_of_one_local(code, 300)),
            &["the number of a function's locals is 50000 at offset 0x", "at most 2000"],
        ),
        refused(
            "1.2 million locals in all",
            || functions(600, &[(2_000, ValType::I32)], |_| {}),
            &["the number of all functions' locals is 1002000", "at most 1000000"],
        ),
    ]
}

fn of_bodies() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "20,000 nested ifs",
            || {
                functions(1, &[], |code| {
                    nested(code, 20_000, |code| {
                        code.i32_const(1).if_(BlockType::Empty);
                    });
                })
            },
            &["the nesting of blocks is 1001 at offset 0x", "at most 1000"],
        ),
        refused(
            "100,000 nested blocks",
            || {
                functions(1, &[], |code| {
                    nested(code, 100_000, |code| {
                        code.block(BlockType::Empty);
                    });
                })
            },
            &["the nesting of blocks is 1001 at offset 0x", "at most 1000"],
        ),
        refused(
            "a 7.6 MB function without a branch",
            || functions(1, &[(1, ValType::I32)], |code| straight_line(code, 7_600_000)),
            &["the size of a function's body is", "at offset 0x", "at most 512KiB"],
        ),
        refused(
            "a br_table of 3 million places",
            || functions(1, &[], |code| br_table(code, 3_000_000)),
            &["the size of a function's body is", "at offset 0x", "at most 512KiB"],
        ),
        refused(
            "a br_table of 110,000 places",
            || functions(1, &[], |code| br_table(code, 110_000)),
            &["the number of a function's br_table targets is 110000", "at most 100000"],
        ),
        refused(
            "1.6 MB of deep operand stack",
            || functions(1, &[], |code| deep_operands(code, 800_000)),
            &["the size of a function's body is", "at offset 0x", "at most 512KiB"],
        ),
        refused(
            "400,000 calls in a function",
            || functions(1, &[], |code| calls(code, 400_000)),
            &["the size of a function's body is", "at offset 0x", "at most 512KiB"],
        ),
        refused(
            "calls with 1,000 results",
            || thousand_results(1_000),
            &["the number of a function's parameters or results is 1000", "at most 64"],
        ),
        refused(
            "a function with 900 parameters",
            || of_type(&[ValType::I32; 900], &[], |_| {}),
            &["the number of a function's parameters or results is 900", "at most 64"],
        ),
    ]
}

/// A module of 10 MB that is within every cap, and takes a compiler far longer than it may: it has
/// nothing but calls, five million of them.
#[must_use]
pub fn past_every_cap() -> Vec<u8> {
    functions(100, &[], |code| calls(code, 50_000))
}

/// A command with so many functions of these locals and this body; the first is `_start`.
fn functions(
    count: u32,
    locals: &[(u32, ValType)],
    body: impl Fn(&mut InstructionSink<'_>),
) -> Vec<u8> {
    let mut function = Function::new(locals.iter().copied());
    body(&mut function.instructions());
    function.instructions().end();
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    types.ty().function([], []);
    exports.export("_start", ExportKind::Func, 0).export("memory", ExportKind::Memory, 0);
    for _ in 0..count {
        functions.function(0);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&one_page());
    module.section(&exports).section(&code);
    module.finish()
}

/// A memory, as every toolchain gives one to a command.
fn one_page() -> MemorySection {
    let mut memories = MemorySection::new();
    let (memory64, shared, page_size_log2) = (false, false, None);
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64, shared, page_size_log2 });
    memories
}

/// A command with another function of this type and body.
fn of_type(
    parameters: &[ValType],
    results: &[ValType],
    body: impl Fn(&mut InstructionSink<'_>),
) -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    types.ty().function([], []);
    types.ty().function(parameters.iter().copied(), results.iter().copied());
    functions.function(0).function(1);
    exports.export("_start", ExportKind::Func, 0);
    let mut start = Function::new([]);
    start.instructions().end();
    let mut other = Function::new([]);
    body(&mut other.instructions());
    other.instructions().end();
    code.function(&start).function(&other);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}

/// A function of so many results, which calls itself over and over.
fn thousand_results(results: u32) -> Vec<u8> {
    let types = vec![ValType::I32; results as usize];
    of_type(&[], &types, |code| {
        for _ in 0..100 {
            code.call(1);
            for _ in 0..results {
                code.drop();
            }
        }
        code.call(1);
    })
}

/// `loops` loops, in each of which every one of `locals` is read and written, so that all are alive
/// in all of them.
fn live_loops(code: &mut InstructionSink<'_>, locals: u32, loops: u32) {
    for turn in 0..loops {
        code.loop_(BlockType::Empty);
        for local in 0..locals {
            let other = (local + turn + 1) % locals;
            code.local_get(other).local_set(local);
        }
        code.i32_const(0).br_if(0).end();
    }
}

/// Loops that each touch a local of their own, and leave all others alive around them.
fn loops_of_one_local(code: &mut InstructionSink<'_>, loops: u32) {
    for local in 0..loops {
        code.loop_(BlockType::Empty).local_get(local).i32_const(1).i32_add().local_tee(local);
        code.br_if(0).end();
    }
}

fn nested(code: &mut InstructionSink<'_>, depth: u32, open: impl Fn(&mut InstructionSink<'_>)) {
    for _ in 0..depth {
        open(code);
    }
    for _ in 0..depth {
        code.end();
    }
}

/// So many bytes, none of which jumps.
fn straight_line(code: &mut InstructionSink<'_>, bytes: u32) {
    // Each round has seven.
    for _ in 0..bytes / 7 {
        code.local_get(0).i32_const(7).i32_add().local_set(0);
    }
}

fn br_table(code: &mut InstructionSink<'_>, places: usize) {
    code.i32_const(0).br_table(vec![0; places], 0);
}

/// So many values on the operand stack at once.
fn deep_operands(code: &mut InstructionSink<'_>, values: u32) {
    for _ in 0..values {
        code.i32_const(1);
    }
    for _ in 1..values {
        code.i32_add();
    }
    code.drop();
}

fn calls(code: &mut InstructionSink<'_>, count: u32) {
    for _ in 0..count {
        code.call(0);
    }
}
