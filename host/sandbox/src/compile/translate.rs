//! From a module's bytes to compiled code: admitted, made a component where it says that it is one,
//! compiled. Runs where a module may take the process with it: in a compiler, or in process where
//! that was asked for.

use std::borrow::Cow;

use wasmgrid_proto::ModuleKind;
use wasmtime::Engine;

use super::encode;
use crate::{Caps, Refusal, admit};

/// Compiled code, and what kind of task it is the code of.
pub(crate) struct Translated {
    pub(crate) kind: ModuleKind,
    pub(crate) code: Vec<u8>,
}

/// Compiles `module` for engines of `engine`'s settings: a preview 1 command as the core module
/// that it is, everything else as a component.
///
/// The compiler trusts nobody: whoever submitted the module has admitted it before, yet it is
/// admitted again.
pub(crate) fn translate(
    engine: &Engine,
    caps: &Caps,
    module: &[u8],
) -> Result<Translated, Refusal> {
    let kind = admit::kind(module, caps)?;
    let compiled = match kind {
        ModuleKind::Preview1 => engine.precompile_module(module),
        ModuleKind::Task | ModuleKind::Command => {
            engine.precompile_component(&component(module, kind)?)
        }
    };
    let code = compiled
        .map_err(|error| Refusal::Compile { reason: format!("{error:#}").into() })
        .map_err(|refusal| invalid_or(module, refusal))?;
    Ok(Translated { kind, code })
}

/// The module as a component of the kind that it was admitted as. What is made of a core module is
/// looked at as well, since it is another file; one that was a component already is not read twice.
fn component(module: &[u8], kind: ModuleKind) -> Result<Cow<'_, [u8]>, Refusal> {
    let component = encode::component(module).map_err(|refusal| invalid_or(module, refusal))?;
    if let Cow::Owned(component) = &component {
        // The caps held for what it was made of.
        let found = admit::kind(component, &Caps::most())?;
        if found != kind {
            let reason = format!("it became a {found} instead of a {kind}").into();
            return Err(Refusal::Encode { reason });
        }
    }
    Ok(component)
}

/// Why a module that was admitted does not compile. The engine is the first to validate its
/// functions, and says what it finds as text, with a place in what was made of the file; so a
/// module that fails is validated once more as it was submitted.
fn invalid_or(module: &[u8], otherwise: Refusal) -> Refusal {
    admit::validate(module).err().unwrap_or(otherwise)
}
