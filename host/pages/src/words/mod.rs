//! Words for people: what helps where tasks wait, and what needs somebody.

mod needs;
mod wait;

pub use needs::needs;
pub use wait::remedy;
