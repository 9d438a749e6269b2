//! From a module's bytes to compiled code: admitted, adapted, compiled. Runs where a module may
//! take the process with it: in a compiler, or in process where that was asked for.

use std::borrow::Cow;

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
/// admitted again. The component that is made of it is looked at as well, since it is another file;
/// one that was a component already is not read twice.
pub(crate) fn translate(
    engine: &Engine,
    caps: &Caps,
    module: &[u8],
) -> Result<Translated, Refusal> {
    let kind = admit::kind(module, caps)?;
    let component = adapt::adapt(module).map_err(|refusal| invalid_or(module, refusal))?;
    if let Cow::Owned(component) = &component {
        let expected = if kind == ModuleKind::Preview1 { ModuleKind::Command } else { kind };
        // The caps held for what it was made of.
        let found = admit::kind(component, &Caps::most())?;
        if found != expected {
            let reason = format!("it became a {found} where a {expected} was promised");
            return Err(Refusal::Adapt { reason });
        }
    }
    let code = engine
        .precompile_component(&component)
        .map_err(|error| invalid_or(module, Refusal::Compile { reason: format!("{error:#}") }))?;
    Ok(Translated { kind, code })
}

/// Why a module that was admitted does not compile. The engine is the first to validate its
/// functions, and says what it finds as text, with a place in what was made of the file; so a
/// module that fails is validated once more as it was submitted.
fn invalid_or(module: &[u8], otherwise: Refusal) -> Refusal {
    admit::validate(module).err().unwrap_or(otherwise)
}
