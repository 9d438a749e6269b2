//! One pass over a file: it is validated against the features that are on, and its own imports,
//! exports and types are kept. What they mean is for the kinds to say.

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, Error, Parser, Payload, TypeRef,
    ValidPayload, Validator, WasmFeatures, types::Types,
};

use crate::{Refusal, engine};

/// What a file is made of at its top level.
pub(super) struct Scan<'a> {
    pub(super) encoding: Encoding,
    pub(super) core_imports: Vec<CoreImport<'a>>,
    pub(super) component_imports: Vec<ComponentImport<'a>>,
    /// Names and kinds of a component's exports.
    pub(super) component_exports: Vec<(&'a str, ComponentExternalKind)>,
    /// A core module that says which component it wants to become.
    pub(super) has_component_type: bool,
    pub(super) types: Types,
}

pub(super) struct CoreImport<'a> {
    pub(super) module: &'a str,
    pub(super) name: &'a str,
    pub(super) ty: TypeRef,
    pub(super) offset: u64,
}

pub(super) struct ComponentImport<'a> {
    pub(super) name: &'a str,
    pub(super) ty: ComponentTypeRef,
    pub(super) offset: u64,
}

/// Reads and validates all of `bytes`.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan<'_>, Refusal> {
    let mut validator = Validator::new_with_features(engine::FEATURES);
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    let mut top = TopLevel::default();
    let mut end = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| refusal(&error))?;
        match validator.payload(&payload).map_err(|error| refusal(&error))? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(allocations);
                function.validate(&body).map_err(|error| refusal(&error))?;
                allocations = function.into_allocations();
            }
            // The last end is that of the file itself.
            ValidPayload::End(types) => end = Some(types),
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
        top.see(payload).map_err(|error| refusal(&error))?;
    }
    let types = end.filter(|_| top.depth == 0).ok_or_else(|| Refusal::Invalid {
        offset: bytes.len() as u64,
        reason: "the file ends too early".into(),
    })?;
    Ok(Scan {
        encoding: top.encoding.unwrap_or(Encoding::Module),
        core_imports: top.core_imports,
        component_imports: top.component_imports,
        component_exports: top.component_exports,
        has_component_type: top.has_component_type,
        types,
    })
}

/// Gathers what stands at the top level, past nested modules and components.
#[derive(Default)]
struct TopLevel<'a> {
    depth: u32,
    encoding: Option<Encoding>,
    core_imports: Vec<CoreImport<'a>>,
    component_imports: Vec<ComponentImport<'a>>,
    component_exports: Vec<(&'a str, ComponentExternalKind)>,
    has_component_type: bool,
}

impl<'a> TopLevel<'a> {
    fn see(&mut self, payload: Payload<'a>) -> Result<(), Error> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.encoding.get_or_insert(encoding);
                self.depth = self.depth.saturating_add(1);
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            _ if self.depth != 1 => {}
            Payload::ImportSection(imports) => {
                for import in imports.into_imports_with_offsets() {
                    let (offset, import) = import?;
                    let offset = offset as u64;
                    let (module, name, ty) = (import.module, import.name, import.ty);
                    self.core_imports.push(CoreImport { module, name, ty, offset });
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.into_iter_with_offsets() {
                    let (offset, import) = import?;
                    let (name, offset) = (import.name.name, offset as u64);
                    self.component_imports.push(ComponentImport { name, ty: import.ty, offset });
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.component_exports.push((export.name.name, export.kind));
                }
            }
            Payload::CustomSection(section) => {
                self.has_component_type |= section.name().starts_with("component-type");
            }
            _ => {}
        }
        Ok(())
    }
}

/// The features that are off, and how a program is built without each. The first that fits wins.
const REFUSED: &[(WasmFeatures, &str, &str)] = &[
    (
        WasmFeatures::MEMORY64,
        "64-bit memories or tables (memory64)",
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

/// What a validator's error means to the one who submitted the module.
fn refusal(error: &Error) -> Refusal {
    let offset = error.offset() as u64;
    let Some(missing) = error.missing_wasm_feature() else {
        return Refusal::Invalid { offset, reason: error.message().into() };
    };
    let known = REFUSED.iter().find(|(features, ..)| features.intersects(missing));
    let (feature, remedy) = known.map_or_else(
        || {
            let name = missing.iter_names().next().map_or("of an unknown name", |(name, _)| name);
            (format!("the WebAssembly feature {}", name.to_lowercase()), "build without it")
        },
        |(_, feature, remedy)| ((*feature).to_owned(), *remedy),
    );
    Refusal::Feature { feature, offset, remedy: remedy.into() }
}
