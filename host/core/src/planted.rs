//! Bugs for the simulator to catch (`tests/sim`): each breaks one rule on purpose. They exist
//! only in debug builds with the feature `planted-bugs`, which the simulator's tests alone turn
//! on; every other build has a constant `false` in their places.

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A result is committed whatever its lease.
    NoFencing,
    /// The numbers of leases begin anew with each scheduler.
    LostLeaseCounter,
    /// A cancel is acknowledged and told to workers, and what they send still counts.
    CommitAfterCancel,
    /// Tasks that come back from a worker are not queued again.
    NoRequeue,
    /// A lost host counts twice against its tasks.
    DoubleHostLoss,
    /// A worker that joins again is believed whatever attempt it brings.
    StaleAdoption,
    /// A task whose hosts died is given out with others.
    SuspectInCompany,
    /// What a producer appends again counts again.
    RepeatedExtend,
    /// A repeated call counts again if its function has another job by now.
    RepeatedCall,
    /// A retry runs all of a job's tasks.
    RetryOfAll,
    /// A lease is believed for an input that was appended after its term.
    LeaseOfLostInput,
    /// What a worker lost is given to it again, whoever else is there.
    LostToTheSame,
    /// A worker that joins is believed what it says it holds, without a proof.
    UnprovedLease,
    /// A worker may hold a lease for ever.
    EndlessLease,
    /// Tasks are given out however many of their tenant are on workers.
    QuotaIgnored,
    /// What a tenant is said to have used includes results that were discarded.
    LateUsage,
}
