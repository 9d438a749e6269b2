//! Components: which of the two kinds one is, and whether all it imports is provided.

use wasmgrid_proto::ModuleKind;
use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, TypeBounds,
    component_types::{ComponentDefinedType, ComponentEntityType, ComponentValType},
    types::TypesRef,
};

use super::{
    admitted::{Admitted, short, some_of},
    interface::{self, COMMAND, GUEST},
    scan::{ComponentImport, Scan},
};
use crate::Refusal;

/// The type of `run` in `wasmgrid:task/guest`.
const GUEST_RUN: &str =
    "func(list<u8>) -> result<list<u8>, variant { rejected(string), retry(string) }>";
/// The type of `run` in `wasi:cli/run`.
const COMMAND_RUN: &str = "func() -> result";

pub(super) fn classify(scan: &Scan<'_>) -> Result<Admitted, Refusal> {
    let mut exports: Vec<String> =
        scan.component_exports.iter().map(|(name, _)| (*name).to_owned()).collect();
    exports.sort();
    // The grid's own export comes first: the SDK's binaries have both.
    let (kind, name, expected) = find(scan, &GUEST)
        .map(|name| (ModuleKind::Task, name, GUEST_RUN))
        .or_else(|| find(scan, &COMMAND).map(|name| (ModuleKind::Command, name, COMMAND_RUN)))
        .ok_or_else(|| foreign_world(&exports))?;
    check_run(scan.types.as_ref(), name, expected)?;
    Ok(Admitted { kind, imports: imports(&scan.component_imports)?, exports })
}

fn find<'a>(scan: &Scan<'a>, wanted: &interface::Provided) -> Option<&'a str> {
    scan.component_exports
        .iter()
        .find(|(name, kind)| *kind == ComponentExternalKind::Instance && wanted.is(name))
        .map(|(name, _)| *name)
}

fn foreign_world(exports: &[String]) -> Refusal {
    let near = exports.iter().find_map(|export| {
        let path = export.split('@').next()?;
        let wanted = [GUEST, COMMAND].into_iter().find(|wanted| wanted.path == path)?;
        Some(format!(
            "a component that exports {}, where {} is run here",
            short(export),
            wanted.name()
        ))
    });
    let found = near.unwrap_or_else(|| format!("a component that exports {}", some_of(exports)));
    Refusal::NotATask { found: found.into() }
}

/// Whether `run` in the exported instance `name` has the type it is called with.
fn check_run(types: TypesRef<'_>, name: &str, expected: &str) -> Result<(), Refusal> {
    let refuse = |found: String| {
        let found = format!("{found} where `run: {expected}` is called").into();
        Err(Refusal::NotATask { found })
    };
    let Some(ComponentEntityType::Instance(instance)) =
        types.component_item_for_export(name).map(|item| item.ty)
    else {
        return refuse(format!("a component whose {name} is not an instance"));
    };
    match types.get(instance).and_then(|instance| instance.exports.get("run")).map(|item| item.ty) {
        Some(ComponentEntityType::Func(function)) => {
            let found = function_type(types, function);
            if found == expected {
                return Ok(());
            }
            refuse(format!("a component whose {name} has `run: {found}`"))
        }
        _ => refuse(format!("a component whose {name} has no function `run`")),
    }
}

fn function_type(
    types: TypesRef<'_>,
    function: wasmparser::component_types::ComponentFuncTypeId,
) -> String {
    let Some(function) = types.get(function) else { return "func".into() };
    let parameters: Vec<_> =
        function.params.iter().map(|(_, ty)| value_type(types, ty, TYPE_DEPTH)).collect();
    let result = function
        .result
        .as_ref()
        .map(|ty| format!(" -> {}", value_type(types, ty, TYPE_DEPTH)))
        .unwrap_or_default();
    let start = if function.async_ { "async func" } else { "func" };
    format!("{start}({}){result}", parameters.join(", "))
}

/// How deep a type is written out: deeper than any that is expected, and shallow enough for a
/// message. Types of the component model can double in size at each level.
const TYPE_DEPTH: u32 = 4;

/// A value's type as WIT has it, named types written out, as far as the two `run`s need it.
fn value_type(types: TypesRef<'_>, ty: &ComponentValType, depth: u32) -> String {
    let id = match ty {
        ComponentValType::Primitive(primitive) => return primitive.to_string(),
        ComponentValType::Type(id) => *id,
    };
    let Some(depth) = depth.checked_sub(1) else { return "…".into() };
    let inner = |ty: &ComponentValType| value_type(types, ty, depth);
    match types.get(id) {
        Some(ComponentDefinedType::Primitive(primitive)) => primitive.to_string(),
        Some(ComponentDefinedType::List { element, .. }) => format!("list<{}>", inner(element)),
        Some(ComponentDefinedType::Result { ok, err, .. }) => match (ok, err) {
            (None, None) => "result".into(),
            (Some(ok), None) => format!("result<{}>", inner(ok)),
            (ok, Some(err)) => {
                let ok = ok.as_ref().map_or_else(|| "_".into(), inner);
                format!("result<{ok}, {}>", inner(err))
            }
        },
        Some(ComponentDefinedType::Variant(variant)) if variant.cases.len() <= 4 => {
            let cases: Vec<_> = variant
                .cases
                .iter()
                .map(|(name, case)| match &case.ty {
                    Some(ty) => format!("{name}({})", inner(ty)),
                    None => name.to_string(),
                })
                .collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        _ => "another type".into(),
    }
}

fn imports(imports: &[ComponentImport<'_>]) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::with_capacity(imports.len());
    for import in imports {
        match import.ty {
            // A name for a type that is known already asks for nothing.
            ComponentTypeRef::Type(TypeBounds::Eq(_)) => continue,
            ComponentTypeRef::Instance(_) => {}
            other => return Err(not_an_interface(import, other)),
        }
        if let Some((reason, remedy)) = interface::missing(import.name) {
            let (import, offset) = (short(import.name).into_owned().into(), import.offset);
            let (reason, remedy) = (reason.into(), remedy.into());
            return Err(Refusal::Import { import, offset, reason, remedy });
        }
        names.push(import.name.to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn not_an_interface(import: &ComponentImport<'_>, ty: ComponentTypeRef) -> Refusal {
    Refusal::Import {
        import: short(import.name).into_owned().into(),
        offset: import.offset,
        reason: format!("it is a {} by itself; tasks are given interfaces alone", ty.kind().desc())
            .into(),
        remedy: "link what provides it into the component (`wac plug`)".into(),
    }
}
