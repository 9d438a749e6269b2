//! Files that cost more to look at or to compile than they may. Those in the list are
//! refused for what they are, before any compiler sees them.

mod components;
mod functions;
mod sections;

pub use functions::past_every_cap;

use super::Attack;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = functions::attacks();
    attacks.extend(sections::attacks());
    attacks.extend(components::attacks());
    attacks
}
