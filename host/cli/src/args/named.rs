//! Pairs of a name and a value on the command line.

use std::{fmt, str::FromStr};

/// A `NAME=WEIGHT` of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantWeight {
    /// The name in its certificate.
    pub name: String,
    /// From 1 to [`TenantWeight::MAX`].
    pub weight: u32,
}

impl TenantWeight {
    /// Enough to tell any two tenants apart.
    const MAX: u32 = 1_000;
}

/// A text that is not a tenant's weight; whoever reports it names the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME=WEIGHT with a whole number from 1 to {}", TenantWeight::MAX)]
pub struct TenantWeightError;

impl FromStr for TenantWeight {
    type Err = TenantWeightError;

    fn from_str(text: &str) -> Result<Self, TenantWeightError> {
        let weight = |text: &str| text.trim().parse().ok().filter(|n| (1..=Self::MAX).contains(n));
        let (name, weight) = text
            .split_once('=')
            .and_then(|(name, number)| Some((name.trim(), weight(number)?)))
            .filter(|(name, _)| !name.is_empty())
            .ok_or(TenantWeightError)?;
        Ok(Self { name: name.into(), weight })
    }
}

/// A `KEY=VALUE` that a worker has or a job requires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Before the `=`; not empty.
    pub key: String,
    /// Behind it.
    pub value: String,
}

/// A text that is not a label; whoever reports it names the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE")]
pub struct LabelError;

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().into(), value: value.trim().into() })
            }
            _ => Err(LabelError),
        }
    }
}

impl fmt::Display for TenantWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.weight)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}
