//! Core modules: WASI preview 1 commands, and modules that say which component they would be.

use wasmgrid_proto::ModuleKind;
use wasmparser::{
    FuncType, TypeRef,
    types::{EntityType, TypesRef},
};

use super::{
    admitted::{Admitted, short, some_of},
    interface::{self, COMMAND, GUEST},
    scan::{CoreImport, Scan},
};
use crate::{
    Refusal,
    host::preview1::{self, MEMORY},
};

/// The export that makes a core module a command.
pub(crate) const START: &str = "_start";

pub(super) fn classify(scan: &Scan<'_>) -> Result<Admitted, Refusal> {
    let types = scan.types.as_ref();
    let mut exports: Vec<String> =
        types.core_exports().into_iter().flatten().map(|(name, _)| name.to_owned()).collect();
    exports.sort();
    let kind = match scan.has_component_type.then(|| promised_kind(&exports)).flatten() {
        Some(kind) => kind,
        None => check_start(types, &exports)?,
    };
    let check: fn(TypesRef<'_>, &CoreImport<'_>) -> Result<String, Refusal> = match kind {
        ModuleKind::Preview1 => preview1_import,
        ModuleKind::Task | ModuleKind::Command => interface_import,
    };
    let imports = scan.core_imports.iter().map(|import| check(types, import));
    let mut imports = imports.collect::<Result<Vec<_>, _>>()?;
    if kind == ModuleKind::Preview1 && !imports.is_empty() {
        check_memory(types)?;
    }
    imports.sort();
    imports.dedup();
    Ok(Admitted { kind, imports, exports })
}

/// What a module with a component's type will be: a component's exports are core functions named
/// `INTERFACE#FUNCTION` in it.
fn promised_kind(exports: &[String]) -> Option<ModuleKind> {
    let exports_run = |wanted: &interface::Provided| {
        exports.iter().any(|name| name.strip_suffix("#run").is_some_and(|name| wanted.is(name)))
    };
    if exports_run(&GUEST) {
        Some(ModuleKind::Task)
    } else if exports_run(&COMMAND) {
        Some(ModuleKind::Command)
    } else {
        None
    }
}

/// Whether the module is a command: it exports the function `_start`, without parameters or
/// results.
fn check_start(types: TypesRef<'_>, exports: &[String]) -> Result<ModuleKind, Refusal> {
    let start = types.core_exports().into_iter().flatten().find(|(name, _)| *name == START);
    let found = match start {
        None => format!("a core module without _start, which exports {}", some_of(exports)),
        Some((_, EntityType::Func(id) | EntityType::FuncExact(id))) => {
            match types.get(id).map(|ty| ty.unwrap_func()) {
                Some(ty) if ty.params().is_empty() && ty.results().is_empty() => {
                    return Ok(ModuleKind::Preview1);
                }
                ty => format!(
                    "a core module whose _start is {}, not () -> ()",
                    ty.map_or_else(|| "of no type".into(), show),
                ),
            }
        }
        Some((_, other)) => {
            format!("a core module whose _start is a {}, not a function", entity_kind(other))
        }
    };
    Err(Refusal::NotATask { found: found.into() })
}

const fn entity_kind(entity: EntityType) -> &'static str {
    match entity {
        EntityType::Func(_) | EntityType::FuncExact(_) => "function",
        EntityType::Table(_) => "table",
        EntityType::Memory(_) => "memory",
        EntityType::Global(_) => "global",
        EntityType::Tag(_) => "tag",
    }
}

/// Whether preview 1 finds the memory of the module that imports its functions.
fn check_memory(types: TypesRef<'_>) -> Result<(), Refusal> {
    let memory = types.core_exports().into_iter().flatten().find(|(name, _)| *name == MEMORY);
    let found = match memory {
        Some((_, EntityType::Memory(_))) => return Ok(()),
        Some((_, other)) => format!("exports a {} called `{MEMORY}`", entity_kind(other)),
        None => format!("exports no memory called `{MEMORY}`"),
    };
    Err(Refusal::NotATask {
        found: format!(
            "a core module that calls {} and {found}, which these calls need; build it with a WASI \
             toolchain, or export its memory",
            preview1::NAME
        )
        .into(),
    })
}

/// The full name of an import of a module that is to become a component, where it is provided.
fn interface_import(_: TypesRef<'_>, import: &CoreImport<'_>) -> Result<String, Refusal> {
    if import.module == preview1::NAME {
        return Err(refuse(
            import,
            "it is WASI preview 1, in a module that says that it becomes a component".into(),
            "build it for `--target wasm32-wasip2`, or make a component of it with `wasm-tools \
             component new` and an adapter"
                .into(),
        ));
    }
    if !import.module.contains(':') {
        let (reason, remedy) = foreign_import(import.module);
        return Err(refuse(import, reason.into(), remedy.into()));
    }
    match interface::missing(import.module) {
        None => Ok(import.module.to_owned()),
        Some((reason, remedy)) => Err(refuse(import, reason, remedy)),
    }
}

fn refuse(import: &CoreImport<'_>, reason: String, remedy: String) -> Refusal {
    let (reason, remedy) = (reason.into(), remedy.into());
    Refusal::Import { import: full_name(import).into(), offset: import.offset, reason, remedy }
}

fn full_name(import: &CoreImport<'_>) -> String {
    format!("{}.{}", short(import.module), short(import.name))
}

/// Why the imports of other module names are not provided, and what would help.
fn foreign_import(module: &str) -> (&'static str, &'static str) {
    match module {
        "wasi_unstable" => (
            "this is WASI before preview 1, which is no longer run",
            "build it again with a toolchain of 2020 or later",
        ),
        "env" => (
            "nothing is provided under `env`: it is a symbol the linker did not find, or one of Emscripten's",
            "link what defines it, or build with wasi-sdk instead of Emscripten",
        ),
        "wbg" | "__wbindgen_placeholder__" | "gojs" | "go" => (
            "it is JavaScript's, and there is none",
            "build for WASI: `--target wasm32-wasip2` (Rust), GOOS=wasip1 (Go)",
        ),
        _ if module.contains(':') => (
            "it is an interface of a component, in a core module that exports none",
            "make it a component first: `--target wasm32-wasip2`, or `wasm-tools component new`",
        ),
        _ => (
            "a WASI preview 1 command is given wasi_snapshot_preview1 alone",
            "build for WASI, and pass the data in the task's input",
        ),
    }
}

/// The full name of an import of a preview 1 command, where preview 1 has this function with this
/// signature.
fn preview1_import(types: TypesRef<'_>, import: &CoreImport<'_>) -> Result<String, Refusal> {
    if import.module != preview1::NAME {
        let (reason, remedy) = foreign_import(import.module);
        return Err(refuse(import, reason.into(), remedy.into()));
    }
    let TypeRef::Func(index) = import.ty else {
        let remedy = "build it again with a current wasi-sdk".into();
        return Err(refuse(import, "preview 1 has functions alone".into(), remedy));
    };
    let Some(expected) = preview1::signature(import.name) else {
        return Err(refuse(
            import,
            "WASI preview 1 has no such function".into(),
            "build for wasm32-wasip1 without extensions such as wasix or threads".into(),
        ));
    };
    let found = types.get(types.core_type_at_in_module(index)).map(|ty| ty.unwrap_func());
    match found {
        Some(found) if *found == expected => Ok(full_name(import)),
        Some(found) => Err(refuse(
            import,
            format!("its signature is {} where preview 1 has {}", show(found), show(&expected)),
            "build it again with a current wasi-sdk".into(),
        )),
        None => Err(refuse(import, "it has no signature".into(), "build it again".into())),
    }
}

fn show(signature: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| {
        types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    format!("({}) -> ({})", list(signature.params()), list(signature.results()))
}
