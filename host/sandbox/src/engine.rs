//! The engine's configuration: every knob we turn, and why. Compilers and runners build their
//! engines here and nowhere else, since compiled code runs only in an engine of the same settings.
//!
//! What is left alone is left alone on purpose: 4 GiB reservations with guard pages (they make
//! bounds checks free), signal-based traps, decommits one at a time. Where a comment says
//! "measured", `make bench` measures it again.

use std::{
    fmt::Write as _,
    hash::{Hash, Hasher},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use wasmgrid_proto::ByteCount;
use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Enabled, Engine, Inlining, InstanceAllocationStrategy, OperatorCost, OptLevel,
    PoolingAllocationConfig, Strategy, WasmBacktraceDetails,
};

use crate::{SandboxError, compile::Publisher, features::FEATURES, program::BUILD};

/// What may differ between the engines of two workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// The most memory one linear memory may have: the operator's maximum, at most 4 GiB. It
    /// reserves address space alone. Default 4 GiB.
    pub max_memory: ByteCount,
    /// The most elements one table may have: the operator's maximum. Default 1,000,000.
    pub max_table_elements: u32,
    /// Makes every NaN the same on every machine, so that the outputs of float code can be
    /// compared between kinds of processor; measured at up to +130 % on float-heavy code.
    /// Default off.
    pub canonical_nans: bool,
    /// Lets the kernel say which pages a task has written, so that fewer are cleared; measured
    /// 7.1 → 4.7 µs a task. Only for hosts that cannot swap: Wasmtime 48 can otherwise leave
    /// data of an earlier instance in a page that was swapped out. Default off.
    pub pagemap_scan: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            max_memory: ByteCount(4 << 30),
            max_table_elements: 1_000_000,
            canonical_nans: false,
            pagemap_scan: false,
        }
    }
}

/// Stack of the guest's own frames: what ends in `trap(stack)` must not depend on the host.
const WASM_STACK_BYTES: usize = 512 << 10;

/// The fiber a task runs on: the guest's stack, and as much again for the host functions it calls.
const FIBER_STACK_BYTES: usize = 1 << 20;

/// Frames of a trap's backtrace: enough to find the place, below which a panic in Rust has ten of its
/// own; a recursion does not fill the log.
const BACKTRACE_FRAMES: usize = 32;

/// Fuel for each 64 KiB page that `memory.grow` asks for, the most the engine takes. At the
/// engine's 0, a loop of `memory.grow` used 60 times less fuel a second than a plain one.
const GROW_FUEL_PER_PAGE: u8 = u8::MAX;

/// Memories in the pool. A runner uses one at a time; the others stay warm for the
/// modules used last, which costs nothing to instantiate again. Measured: a pool with fewer
/// places than modules in turn adds 22 µs a task.
const WARM_MODULES: u32 = 64;

/// Stacks in the pool: tasks run without fibers, and each would be two mappings of every runner. With
/// 64 of them, three quarters of what a fork for a task has to copy would be these.
const STACKS: u32 = 1;

/// Core instances of one component. A Python component has 38 core modules.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Tables and memories of one core module. Toolchains make one of each; multi-memory a few.
const TABLES_PER_MODULE: u32 = 8;
const MEMORIES_PER_MODULE: u32 = 4;

/// The most elements that a table of a valid module can begin with (`wasmparser`'s own limit). The
/// pool has room for all of them, which is address space alone, so that it is the task's limit that
/// ends a module with a larger table than it may have.
const TABLE_ELEMENTS_MIN: u32 = 10_000_000;

/// Cleared by hand and kept for the next task instead of given back to the kernel: what a small
/// task touches. Measured on the task component of the SDK: 23.7 → 7.1 µs.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The same for tables, whose use is small. Measured: 4 µs a task.
const TABLE_KEEP_RESIDENT_BYTES: usize = 8 << 10;

/// The same for the fiber's stack: the frames of a usual task. Measured with zeroing: 0.8 µs.
const STACK_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// The configuration of a runner's engine: what compiled code depends on, and the pool its
/// instances live in. One engine a slot, never shared: two threads on one engine do not run
/// faster than one.
///
/// # Errors
/// Where a setting does not fit this machine's address width.
pub fn config(settings: &EngineSettings) -> Result<Config, SandboxError> {
    let mut config = compiler_config(settings);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)?));
    // A runner maps compiled code itself: its jail has no path to it.
    config.with_custom_code_memory(Some(Arc::new(Publisher)));
    config.async_stack_size(FIBER_STACK_BYTES);
    // What one task leaves on the stack must not be there for the next.
    config.async_stack_zeroing(true);
    // Shown to users: short.
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES));
    Ok(config)
}

/// The part of the configuration that compiled code depends on. A compiler has no pool: it
/// instantiates nothing, and its address space will be limited.
#[must_use]
pub fn compiler_config(settings: &EngineSettings) -> Config {
    let mut config = Config::new();
    // Cranelift at full optimisation: a module is compiled once and run many times, and the
    // other compiler (Winch) had an escape of its own.
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(OptLevel::Speed);
    // In the thread that asks; a compiler process has threads of its own for it, and turns it on.
    config.parallel_compilation(false);
    // Inlining between modules would make the fuel of a task depend on the optimiser.
    config.compiler_inlining(Inlining::No);

    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(FEATURES, true);

    // Fuel is the deterministic budget; the epoch is what ends a task at its deadline or when it
    // is cancelled. Measured together: 0-16 %.
    config.consume_fuel(true);
    config.operator_cost(operator_cost());
    config.epoch_interruption(true);

    // No async component model: measured 1.3 µs a task, and a quarter of the advisories.
    config.concurrency_support(false);
    config.shared_memory(false);

    // Data segments are mapped, not copied. It also fixes what fuel means: without it the
    // initialisation of data is charged.
    config.memory_init_cow(true);
    config.cranelift_nan_canonicalization(settings.canonical_nans);
    config.max_wasm_stack(WASM_STACK_BYTES);

    // Traps name functions and offsets, for 14 % of code size. Source lines are not looked up:
    // debug information of an unknown module would be parsed outside every limit.
    config.generate_address_map(true);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// The engine's own costs are one for each operator and one for each byte or element it moves: fine
/// where it is a few instructions, but these call into the engine. Measured in loops of them, where
/// one of fuel is 0.4 ns of a plain loop: a growth of a memory by nothing takes 57 ns and of a table
/// 44, a reference to a function 38, an `elem.drop` 7 and a `table.init` of nothing 9. Without these
/// costs a loop of them used up to 50 times less fuel a second than a plain one. A fill of nothing
/// takes 90 ns and one of a byte 5: programs make more of the latter, and pay half of the former.
fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    cost.variable.memory_grow_per_page = GROW_FUEL_PER_PAGE;
    cost.MemoryFill = 100;
    cost.MemoryGrow = 150;
    cost.TableGrow = 100;
    cost.RefFunc = 100;
    cost.ElemDrop = 30;
    cost.TableInit = 15;
    cost
}

fn pool(settings: &EngineSettings) -> Result<PoolingAllocationConfig, SandboxError> {
    let addressable = |what: &str, size: u64| {
        usize::try_from(size).map_err(|_| SandboxError::Settings {
            reason: format!("the largest {what} exceeds this machine's address space"),
        })
    };
    let max_memory = addressable("memory", settings.max_memory.0)?;
    let table_elements = settings.max_table_elements.max(TABLE_ELEMENTS_MIN);
    let max_table_elements = addressable("table", table_elements.into())?;
    let mut pool = PoolingAllocationConfig::new();
    pool.max_unused_warm_slots(WARM_MODULES)
        .total_component_instances(WARM_MODULES)
        .total_core_instances(WARM_MODULES * 4)
        .total_memories(WARM_MODULES)
        .total_tables(WARM_MODULES * 2)
        .total_stacks(STACKS)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memories_per_module(MEMORIES_PER_MODULE)
        .max_memory_size(max_memory)
        .table_elements(max_table_elements)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES)
        .pagemap_scan(if settings.pagemap_scan { Enabled::Auto } else { Enabled::No });
    Ok(pool)
}

/// Names what compiled code, and what it gives, depends on: two engines of the same fingerprint run
/// each other's code. 32 hexadecimal digits.
#[must_use]
pub fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Blake3Hasher(blake3::Hasher::new());
    // What a module is made into before it is compiled, and the functions that it calls.
    hasher.write(BUILD.as_bytes());
    // Holds the engine's version to the patch, the processor's features and all settings.
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().as_bytes().iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `Hash` into BLAKE3: the standard hasher's 64 bits are too few for a name, and not stable.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}
