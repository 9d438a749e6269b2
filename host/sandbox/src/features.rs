//! What of WebAssembly a task may use: one list for admission, which validates with it, and for the
//! engine.

use wasmparser::WasmFeatures;

/// The WebAssembly features a task may use: a closed list, so that an upgrade of the engine opens
/// nothing by itself.
///
/// Garbage collection, exceptions, threads, memory64 and stack switching are off because most of
/// the engine's advisories were there; relaxed SIMD because its results depend on the processor.
/// `GC_TYPES` off leaves `funcref`, which every toolchain uses, and takes `externref`, which none
/// of the WASI ones does.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);
