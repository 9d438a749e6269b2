//! Bugs for the simulator to catch, as the core has some (`wasmgrid_core::Planted`): only debug
//! builds with the feature `planted-bugs` have them, which the simulator's tests alone turn on.

use super::Settings;

/// A rule of the driver that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverBug {
    /// What must wait for a commit does not wait.
    AckBeforeSync,
    /// A watch that goes on begins one result too late.
    CursorOffByOne,
    /// Entries of the audit log are written beside the journal, as what nobody waits for.
    AuditApart,
}

impl Settings {
    /// Whether the rule is to be broken.
    #[cfg(all(feature = "planted-bugs", debug_assertions))]
    pub(super) fn breaks(&self, rule: DriverBug) -> bool {
        self.planted == Some(rule)
    }

    /// Whether the rule is to be broken: never.
    #[cfg(not(all(feature = "planted-bugs", debug_assertions)))]
    pub(super) const fn breaks(&self, _rule: DriverBug) -> bool {
        false
    }
}
