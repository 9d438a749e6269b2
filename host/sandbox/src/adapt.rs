//! Makes components of core modules, so that the sandbox runs components alone. Only ever called
//! where a module may fail: in a compiler, not in the agent.

mod exit;

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider as provider;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::{
    Refusal,
    admit::{PREVIEW1, START},
};

/// Turns the imports of preview 1 into those of WASI 0.2, and `_start` into `wasi:cli/run`.
pub(crate) const COMMAND_ADAPTER: &[u8] = provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;

/// What a preview 1 command exports its memory as.
const MEMORY: &str = "memory";

/// `bytes` as a component: itself where it is one, else made of the core module it is.
///
/// # Errors
/// [`Refusal::Adapt`] where no component can be made of it.
pub fn adapt(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if Parser::is_component(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    // A module without `_start` that was built for a world of its own has no command to adapt.
    let adapter = if exports(bytes, START) { &exit::COMMAND } else { &exit::REACTOR };
    let adapter = adapter.as_ref().map_err(|reason| Refusal::Adapt { reason: reason.clone() })?;
    ComponentEncoder::default()
        .module(bytes)
        .and_then(|encoder| encoder.adapter(PREVIEW1, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map(Cow::Owned)
        .map_err(|error| Refusal::Adapt { reason: reason(bytes, &format!("{error:#}")) })
}

/// What keeps a module from being adapted, in words of its author's where the cause is known.
fn reason(module: &[u8], error: &str) -> String {
    if exports(module, START) && !exports(module, MEMORY) {
        return format!(
            "it exports no memory called `{MEMORY}`, which WASI preview 1 asks of a command; build \
             it with a WASI toolchain, or export one"
        );
    }
    error.to_owned()
}

fn exports(module: &[u8], name: &str) -> bool {
    Parser::new(0)
        .parse_all(module)
        .take_while(Result::is_ok)
        .flatten()
        .take_while(|payload| {
            !matches!(payload, Payload::Version { encoding: Encoding::Component, .. })
        })
        .any(|payload| match payload {
            Payload::ExportSection(exports) => {
                exports.into_iter().flatten().any(|export| export.name == name)
            }
            _ => false,
        })
}
