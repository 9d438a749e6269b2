//! One pass over a file: everything is counted against the caps before it is looked at, what is
//! not a function's body is validated against the features that are on, bodies are read for their
//! structure, and the file's own imports, exports and types are kept. What they mean is for the
//! kinds to say.

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, Error, FrameKind, Parser, TypeRef,
    ValidPayload, Validator, types::Types,
};

use super::{body, features, sections::Sections, work::Work};
use crate::{Caps, Refusal, features::FEATURES};

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

/// Reads all of `bytes`.
pub(super) fn scan<'a>(bytes: &'a [u8], caps: &Caps) -> Result<Scan<'a>, Refusal> {
    let invalid = |error: Error| features::refusal(&error);
    let mut validator = Validator::new_with_features(FEATURES);
    let mut sections = Sections::new(bytes, caps);
    let mut work = Work::default();
    let mut frames: Vec<FrameKind> = Vec::new();
    let mut end = None;
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        sections.count(&payload)?;
        if work.validate(&payload, &mut validator, sections.tally(), bytes)? {
            continue;
        }
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(_, body) => body::check(&body, sections.tally(), &mut frames)?,
            // The last end is that of the file itself.
            ValidPayload::End(types) => end = Some(types),
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    let types = end.filter(|_| sections.is_at_end()).ok_or_else(|| Refusal::Invalid {
        offset: bytes.len() as u64,
        reason: "the file ends too early".into(),
    })?;
    Ok(sections.finish(types))
}

/// Reads all of `bytes` and validates bodies too, which is what the engine does: says for a module
/// that does not compile which rule it breaks, and where.
///
/// # Errors
/// [`Refusal::Invalid`] or [`Refusal::Feature`].
pub(crate) fn validate(bytes: &[u8]) -> Result<(), Refusal> {
    Validator::new_with_features(FEATURES)
        .validate_all(bytes)
        .map(|_| ())
        .map_err(|error| features::refusal(&error))
}
