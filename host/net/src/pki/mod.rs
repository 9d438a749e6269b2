//! Keys and certificates: how they are made, signed and kept.

mod authority;
mod credentials;
mod files;
pub(crate) mod labels;

pub use authority::Authority;
pub use credentials::Credentials;
pub use labels::{LabelsError, check_labels};
