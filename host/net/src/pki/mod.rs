//! Keys and certificates: how they are made, signed and kept.

mod authority;
mod credentials;
mod files;

pub use authority::Authority;
pub use credentials::Credentials;
