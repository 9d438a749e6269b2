//! From a module's bytes to compiled code: admitted, adapted, compiled. Runs where a module may
//! take the process with it: in a compiler, or in process where that was asked for.

use wasmgrid_proto::ModuleKind;
use wasmtime::Engine;

use crate::{Caps, Refusal, adapt, admit};

/// Compiled code, and what kind of task it is the code of.
pub(crate) struct Translated {
    pub(crate) kind: ModuleKind,
    pub(crate) code: Vec<u8>,
}

/// Compiles `module` for engines of `engine`'s settings.
///
/// The compiler trusts nobody: whoever submitted the module has admitted it before, yet it is
/// admitted again, and once more as the component that was made of it.
pub(crate) fn translate(
    engine: &Engine,
    caps: &Caps,
    module: &[u8],
) -> Result<Translated, Refusal> {
    let kind = admit::admit(module, caps)?.kind;
    let component = adapt::adapt(module)?;
    let expected = if kind == ModuleKind::Preview1 { ModuleKind::Command } else { kind };
    let found = admit::readmit(&component)?;
    if found != expected {
        let reason = format!("it became a {found} where a {expected} was promised");
        return Err(Refusal::Adapt { reason });
    }
    let code = engine
        .precompile_component(&component)
        .map_err(|error| Refusal::Compile { reason: format!("{error:#}") })?;
    Ok(Translated { kind, code })
}
