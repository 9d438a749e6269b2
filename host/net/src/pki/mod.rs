//! Keys and certificates: how they are made, signed, renewed and kept.

mod authority;
mod ca;
mod credentials;
pub(crate) mod files;
pub(crate) mod labels;
mod renewal;
pub(crate) mod validity;

pub use authority::{Authority, Recognized, Signed};
pub use credentials::Credentials;
pub use labels::{LabelsError, check_labels};
pub use renewal::Renewal;
pub use validity::{Certificate, Validity};
