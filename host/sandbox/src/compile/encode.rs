//! Makes the component that a core module says it is: one that was built for a world of interfaces,
//! which stands in a custom section of it. Nothing is added to what the module does.

use std::borrow::Cow;

use wasmparser::Parser;
use wit_component::ComponentEncoder;

use crate::Refusal;

/// `bytes` as a component: itself where it is one, else made of the core module it is.
///
/// # Errors
/// [`Refusal::Encode`] where no component can be made of it.
pub(super) fn component(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if Parser::is_component(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    ComponentEncoder::default()
        .module(bytes)
        .and_then(|mut encoder| encoder.encode())
        .map(Cow::Owned)
        .map_err(|error| Refusal::Encode { reason: format!("{error:#}").into() })
}
