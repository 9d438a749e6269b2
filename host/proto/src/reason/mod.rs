//! Why a request was refused, as data, by which clients and a gateway decide and from which they make
//! texts for people. A reason's own text names no command and no flag; the command line adds those.
//!
//! # Growth
//! An [`ApiError`] travels as its [code](ErrorCode), the [name](Reason::name) of its reason, the
//! reason's text and its encoded data. A reader that does not know the reason, or not this shape of
//! it, gets [`Reason::Unknown`] with the code, name and text. So reasons may be appended at any time;
//! a reason may get more fields at its end, which older readers skip.

mod parts;
mod table;

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Text;

pub use parts::{
    Action, Count, Excess, Indices, KeyFault, KeyUse, Length, Names, NotOpen, TokenFault,
    TokenProblem, Upload,
};
pub use table::{Entry, Reason};

/// Bytes of a reason's text: the longest has three details and a name.
const TEXT_MAX: usize = 4 << 10;

/// Bytes of a reason's name.
const NAME_MAX: usize = 64;

/// Why a request was refused: a [`Reason`] and its category. `Display` is the reason's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(from = "Form", into = "Form")]
#[error("{reason}")]
#[non_exhaustive]
pub struct ApiError {
    /// The category of the reason.
    pub code: ErrorCode,
    /// What is wrong.
    pub reason: Box<Reason>,
}

impl From<Reason> for ApiError {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code(), reason: Box::new(reason) }
    }
}

/// The categories of reasons for which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request is wrong in itself.
    Invalid,
    /// There is no such job, worker or module.
    NotFound,
    /// The module or the job is not accepted.
    Refused,
    /// The caller's role does not allow it.
    Forbidden,
    /// The state of the job does not allow it (it is closed, or has ended).
    Conflict,
    /// Not now: the store cannot write, or the scheduler is stopping. Nothing was done.
    Unavailable,
    /// It existed and was deleted: for example results that the grid no longer keeps.
    Gone,
    /// This release does not know the request, or something in it that must not be ignored.
    Unsupported,
}

impl ErrorCode {
    /// All of them, each at the place of its number on the wire.
    pub const ALL: [Self; 8] = [
        Self::Invalid,
        Self::NotFound,
        Self::Refused,
        Self::Forbidden,
        Self::Conflict,
        Self::Unavailable,
        Self::Gone,
        Self::Unsupported,
    ];

    /// A short name that stays the same.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Gone => "gone",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error as it travels.
#[derive(Serialize, Deserialize)]
struct Form {
    /// The place of the code in [`ErrorCode::ALL`].
    code: u8,
    name: Text<NAME_MAX>,
    text: Text<TEXT_MAX>,
    /// The reason, encoded.
    data: Vec<u8>,
}

impl From<ApiError> for Form {
    fn from(error: ApiError) -> Self {
        let ApiError { code, reason } = error;
        // A reason holds nothing that has no encoding; without it, the reader has its name.
        let data = postcard::to_allocvec(&*reason).unwrap_or_default();
        Self { code: code as u8, name: reason.name().into(), text: Text::of(&*reason), data }
    }
}

impl From<Form> for ApiError {
    fn from(form: Form) -> Self {
        let Form { code, name, text, data } = form;
        let known = postcard::take_from_bytes::<Reason>(&data).ok().map(|(reason, _)| reason);
        let known = known.filter(|reason| reason.name() == &*name);
        // A category that is not known here is final: it must not lead to a repeated request.
        let code = ErrorCode::ALL.get(usize::from(code)).copied().unwrap_or(ErrorCode::Refused);
        known.unwrap_or(Reason::Unknown { code, name, text }).into()
    }
}

#[cfg(test)]
mod tests;
