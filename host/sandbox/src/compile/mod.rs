//! Compiled code: made by the compiler, kept in memory and on disk.

mod code;

pub use code::Prepared;
pub(crate) use code::load;
