//! `--max NAME=VALUE`: what an operator lets a job ask of a worker.

use std::{fmt, str::FromStr};

use wasmgrid_proto::{ByteCount, Fuel, Limits, Millis};

use crate::settings::exactly;

/// The most of one limit that a job may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maximum {
    /// `fuel`
    Fuel(Fuel),
    /// `timeout`
    Timeout(Millis),
    /// `memory`
    Memory(ByteCount),
    /// `table`
    Table(u64),
    /// `output`
    Output(ByteCount),
    /// `record`
    Record(ByteCount),
    /// `log`
    Log(ByteCount),
}

/// What may stand before the `=`: the flags of `wasmgrid run` without their `-limit`.
const NAMES: &str = "fuel, timeout, memory, table, output, record or log";

/// A text that is not a maximum; whoever reports it names the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaximumError {
    /// It is not of the form NAME=VALUE.
    #[error("expected NAME=VALUE, such as memory=1GiB")]
    Form,
    /// The name is none of a limit.
    #[error("unknown limit {name:?}: expected {NAMES}")]
    Name {
        /// What was there.
        name: String,
    },
    /// The value does not fit the limit.
    #[error("{name}: {reason}")]
    Value {
        /// The limit.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

impl Maximum {
    /// Puts it into the operator's maxima.
    pub const fn apply(self, maxima: &mut Limits) {
        match self {
            Self::Fuel(most) => maxima.fuel = most,
            Self::Timeout(most) => maxima.deadline = most,
            Self::Memory(most) => maxima.memory = most,
            Self::Table(most) => maxima.table_elements = most,
            Self::Output(most) => maxima.output = most,
            Self::Record(most) => maxima.record = most,
            Self::Log(most) => maxima.log = most,
        }
    }
}

impl FromStr for Maximum {
    type Err = MaximumError;

    fn from_str(text: &str) -> Result<Self, MaximumError> {
        let (name, value) = text.split_once('=').ok_or(MaximumError::Form)?;
        let (name, value) = (name.trim(), value.trim());
        match name {
            "fuel" => read(name, value).map(Self::Fuel),
            "timeout" => read(name, value).map(Self::Timeout),
            "memory" => read(name, value).map(Self::Memory),
            "table" => read(name, value).map(Self::Table),
            "output" => read(name, value).map(Self::Output),
            "record" => read(name, value).map(Self::Record),
            "log" => read(name, value).map(Self::Log),
            _ => Err(MaximumError::Name { name: name.into() }),
        }
    }
}

impl fmt::Display for Maximum {
    /// As it is read, exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fuel(most) => write!(f, "fuel={most}"),
            Self::Timeout(most) => write!(f, "timeout={most}"),
            Self::Memory(most) => write!(f, "memory={}", exactly(*most)),
            Self::Table(most) => write!(f, "table={most}"),
            Self::Output(most) => write!(f, "output={}", exactly(*most)),
            Self::Record(most) => write!(f, "record={}", exactly(*most)),
            Self::Log(most) => write!(f, "log={}", exactly(*most)),
        }
    }
}

fn read<T: FromStr<Err: fmt::Display>>(name: &str, value: &str) -> Result<T, MaximumError> {
    let failed =
        |error: T::Err| MaximumError::Value { name: name.into(), reason: error.to_string() };
    value.parse().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_maximum() {
        let mut maxima = Limits::default();
        let texts =
            ["fuel=2G", "timeout=1h", "memory=1GiB", "table=7", "output=5B", "record=4B", "log=3B"];
        for text in texts {
            let maximum = text.parse::<Maximum>().expect(text);
            assert_eq!(maximum.to_string().parse(), Ok(maximum), "{text}");
            maximum.apply(&mut maxima);
        }
        let expected = Limits {
            fuel: Fuel(2_000_000_000),
            deadline: Millis(3_600_000),
            memory: ByteCount(1 << 30),
            table_elements: 7,
            output: ByteCount(5),
            record: ByteCount(4),
            log: ByteCount(3),
        };
        assert_eq!(maxima, expected);
    }

    #[test]
    fn what_is_no_maximum_is_told_what_would_be() {
        for (text, part) in [
            ("memory", "NAME=VALUE"),
            ("memry=1GiB", "fuel, timeout, memory"),
            ("memory=lots", "64MiB"),
            ("table=-1", "table"),
        ] {
            let error = text.parse::<Maximum>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
