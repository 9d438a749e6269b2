//! The features that are off, and what a reader's error means to the one who submitted the module.

use wasmparser::{Error, WasmFeatures};

use crate::Refusal;

/// The features that are off, and how a program is built without each. The first that fits wins.
const REFUSED: &[(WasmFeatures, &str, &str)] = &[
    (
        WasmFeatures::MEMORY64,
        "64-bit memories (memory64)",
        "build for a wasm32 target; a task has at most 4 GiB",
    ),
    (
        WasmFeatures::THREADS.union(WasmFeatures::SHARED_EVERYTHING_THREADS),
        "shared memory or atomics (threads)",
        "build without threads: wasm32-wasip1, not wasm32-wasip1-threads; many tasks run at once instead",
    ),
    (
        WasmFeatures::EXCEPTIONS.union(WasmFeatures::LEGACY_EXCEPTIONS),
        "exceptions",
        "build without them (`-fno-exceptions`, or panic=abort)",
    ),
    (
        WasmFeatures::RELAXED_SIMD,
        "relaxed SIMD, whose results depend on the processor",
        "build without it (`-C target-feature=-relaxed-simd`); plain SIMD works",
    ),
    (
        WasmFeatures::GC.union(WasmFeatures::GC_TYPES),
        "garbage-collected or host references (GC)",
        "build with a toolchain that brings its own memory management",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "typed function references",
        "build with a toolchain that uses tables of functions",
    ),
    (
        WasmFeatures::CM_ASYNC
            .union(WasmFeatures::CM_ASYNC_STACKFUL)
            .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
            .union(WasmFeatures::CM_ERROR_CONTEXT),
        "the asynchronous component model (WASI 0.3)",
        "build for WASI 0.2 (`--target wasm32-wasip2`)",
    ),
];

/// What a reader's or validator's error means to the one who submitted the module.
pub(super) fn refusal(error: &Error) -> Refusal {
    let offset = error.offset() as u64;
    match error.missing_wasm_feature() {
        // The validator's name of the feature is that of memories, and its words tell them apart.
        Some(WasmFeatures::MEMORY64) if error.message().contains("tables") => Refusal::Feature {
            feature: "64-bit tables (memory64)".into(),
            offset,
            remedy: "build for a wasm32 target; a table has at most 2^32 elements".into(),
        },
        Some(missing) => off(missing, offset),
        None if error.message().starts_with(TYPE_SIZE) => type_size(offset),
        None => Refusal::Invalid { offset, reason: error.message().into() },
    }
}

/// The module uses a feature that is off.
pub(super) fn off(missing: WasmFeatures, offset: u64) -> Refusal {
    let known = REFUSED.iter().find(|(features, ..)| features.intersects(missing));
    let (feature, remedy) = known.map_or_else(
        || {
            let name = missing.iter_names().next().map_or("of an unknown name", |(name, _)| name);
            (format!("the WebAssembly feature {}", name.to_lowercase()), "build without it")
        },
        |(_, feature, remedy)| ((*feature).to_owned(), *remedy),
    );
    Refusal::Feature { feature: feature.into(), offset, remedy: remedy.into() }
}

/// How the validator begins when a type written out in full would be too large; a test holds it.
const TYPE_SIZE: &str = "effective type size exceeds the limit";

/// The validator's own cap, which types of a few bytes can reach by naming each other.
fn type_size(offset: u64) -> Refusal {
    Refusal::Cap {
        what: "the size of a type, written out in full,".into(),
        offset,
        found: "over 1000000 parts".into(),
        allowed: "1000000".into(),
        remedy: "use fewer or smaller types".into(),
        raised_by: None,
    }
}
