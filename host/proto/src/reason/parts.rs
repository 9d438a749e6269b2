//! What reasons are made of beside names and numbers. Each reads as the part of a sentence.

use alloc::{string::ToString, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{JobState, Micros, Resource, text::Name, wire::bounded};

/// Makes an enum without data that reads as a text each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

words! {
    /// What the role of a client does not allow. Variants are only ever appended.
    Action {
        /// Drain workers.
        DrainWorkers = "drain workers",
        /// Cordon and uncordon workers.
        CordonWorkers = "cordon workers",
        /// Make tokens.
        MakeTokens = "make tokens",
        /// See tokens.
        SeeTokens = "see tokens",
        /// Revoke tokens.
        RevokeTokens = "revoke tokens",
        /// See who has joined.
        SeeMembers = "see who has joined",
        /// Remove members.
        RemoveMembers = "remove anybody",
        /// Set quotas.
        SetQuotas = "set quotas",
        /// Replace or retire the grid's authority.
        ReplaceAuthority = "replace the grid's authority",
        /// See what the scheduler counts.
        SeeMetrics = "see metrics",
        /// Read the audit log.
        ReadAudit = "read the audit log",
        /// Make keys of the role operator.
        MakeOperatorKeys = "make keys of the role operator",
    }
}

words! {
    /// A text that has a longest length. Variants are only ever appended.
    Length {
        /// The name of a job.
        JobName = "job's name",
        /// The key of a required label.
        LabelKey = "key of a label that the job requires",
        /// The value of a required label.
        LabelValue = "value of a label that the job requires",
        /// The name under which a command finds itself.
        Program = "program name of the command",
        /// One grant.
        Grant = "grant",
        /// All arguments and grants of a job.
        Texts = "job's arguments and grants",
        /// An idempotency key.
        Key = "idempotency key",
        /// The name by which jobs are listed.
        NameFilter = "name to list jobs by",
        /// The tenant by which jobs are listed.
        TenantFilter = "tenant to list jobs by",
    }
}

words! {
    /// A list of a job that has a largest size. Variants are only ever appended.
    Count {
        /// Required labels.
        Labels = "labels that the job requires",
        /// Arguments.
        Arguments = "arguments",
        /// Exit codes beside 0.
        ExitCodes = "exit codes that count as success",
        /// Blobs.
        Blobs = "blobs",
        /// Grants.
        Grants = "grants",
    }
}

words! {
    /// What a client sends before the job that names it. Variants are only ever appended.
    Upload {
        /// A module.
        Module = "module",
        /// A blob.
        Blob = "blob",
    }
}

words! {
    /// What a job of the same idempotency key has instead. Variants are only ever appended.
    KeyUse {
        /// The same spec with other inputs.
        OtherInputs = "has other inputs",
        /// Another spec.
        OtherJob = "asks for something else",
    }
}

words! {
    /// What is wrong with a request for a token. Variants are only ever appended.
    TokenFault {
        /// It is for a scheduler.
        Scheduler = "a token cannot be for a scheduler; copy the scheduler's own credentials",
        /// It has no use or no time.
        NoUse = "a token needs at least one use and a time to live over 0",
        /// It has labels, and is not for a worker.
        Labels = "only a worker has labels; make a token of the role worker with them",
        /// It has a tenant, and is for a worker.
        Tenant = "a worker owns no jobs; make a token of the role client for a tenant",
        /// It has a tenant, and is for a gateway.
        GatewayTenant = "a gateway owns no jobs, it speaks for the tenants of keys; leave the tenant out",
    }
}

words! {
    /// What is wrong with a request for a key. Variants are only ever appended.
    KeyFault {
        /// Nobody asks a grid in its role.
        Role = "a key has the role client or operator; a worker or a gateway joins with a token",
        /// It has no time.
        NoTime = "a key needs a time to live over 0, or none",
    }
}

/// Why a token is not accepted. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenProblem {
    /// There is none of this number and secret.
    Unknown,
    /// As many have joined with it as may.
    UsedUp,
    /// An operator took it back.
    Revoked,
    /// Its time is over.
    Expired {
        /// The scheduler's date.
        now: Micros,
    },
}

impl fmt::Display for TokenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the token is unknown"),
            Self::UsedUp => f.write_str("the token was used up"),
            Self::Revoked => f.write_str("an operator revoked the token"),
            Self::Expired { now } => {
                write!(f, "by the scheduler's clock, {now}, the token has expired")
            }
        }
    }
}

/// Why a job takes no more inputs. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotOpen {
    /// It has ended.
    Ended(JobState),
    /// More of its tasks failed than may.
    GaveUp,
    /// Its inputs are closed.
    Closed {
        /// So many indices it has.
        at: u64,
    },
}

impl fmt::Display for NotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(state) => write!(f, "it has ended: {state}"),
            Self::GaveUp => f.write_str("too many of its tasks have failed"),
            Self::Closed { at } => write!(f, "it was closed at {at}"),
        }
    }
}

/// What a tenant would have beyond its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excess {
    /// Of what.
    pub resource: Resource,
    /// How much it has.
    pub used: u64,
    /// How much the request needs beside that.
    pub more: u64,
    /// How much it may have.
    pub allowed: u64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, used, more, allowed } = *self;
        let [used, more, allowed] = [used, more, allowed].map(|amount| resource.amount(amount));
        write!(
            f,
            "uses {used} of its quota of {allowed} {resource}, and this request needs {more} more; {}",
            resource.remedy()
        )
    }
}

/// Some tasks of a job, for a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indices(#[serde(deserialize_with = "bounded")] pub Vec<u64>);

impl fmt::Display for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join(" and "))
    }
}

/// The first names of a list, and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The first of them, at most [`Names::MAX`].
    #[serde(deserialize_with = "bounded")]
    some: Vec<Name>,
    all: u64,
}

impl Names {
    /// Names that are told.
    pub const MAX: usize = 8;

    /// Of this list.
    pub fn of<T: fmt::Display>(all: impl ExactSizeIterator<Item = T>) -> Self {
        let count = all.len() as u64;
        Self { some: all.take(Self::MAX).map(|name| Name::of(&name)).collect(), all: count }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some: Vec<&str> = self.some.iter().take(Self::MAX).map(|name| &**name).collect();
        let rest = if self.all > some.len() as u64 { ", …" } else { "" };
        write!(f, "{}{rest} ({} in all)", some.join(", "), self.all)
    }
}
