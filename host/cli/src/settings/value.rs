//! What the values of settings can be, and how each is written on a command line and in a file.

use std::{
    fmt,
    path::{Path, PathBuf, absolute},
    str::FromStr,
};

use clap::{
    ArgMatches, ValueEnum,
    builder::{
        BoolishValueParser, EnumValueParser, PathBufValueParser, TypedValueParser as _, ValueParser,
    },
};
use wasmgrid_proto::{ByteCount, Millis};
use wasmgrid_worker::sandbox::CapSetting;

use crate::args::{
    CertificateLife, HostPort, HttpListen, Isolation, Label, Listen, Maximum, MetricsListen,
    TenantWeight,
};

/// How a value is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a string.
    Text,
    /// As a string that is a path; a relative one begins at the file's folder.
    Path,
    /// As an integer.
    Number,
    /// As `true` or `false`; the flag alone is `true`.
    Switch,
}

/// A value of a setting.
pub trait Value: Clone + Send + Sync + Sized + 'static {
    /// How files have it.
    const KIND: Kind = Kind::Text;

    /// Reads what stands in a file.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// As it is written in a file, exactly.
    fn written(&self) -> String;

    /// Reads what follows a flag.
    fn parser() -> ValueParser {
        ValueParser::new(|text: &str| Self::parse(text))
    }
}

/// What a setting holds: a value that may be missing, or any number of values.
pub trait Holds: Default {
    /// One of its values.
    type Value: Value;

    /// Whether there may be several.
    const IS_LIST: bool;

    /// It with these values.
    fn of(values: Vec<Self::Value>) -> Self;

    /// Its values.
    fn values(&self) -> &[Self::Value];

    /// What a flag or its variable set.
    fn given(matches: &ArgMatches, key: &str) -> Self {
        let values = matches.try_get_many::<Self::Value>(key).ok().flatten();
        Self::of(values.into_iter().flatten().cloned().collect())
    }

    /// What a file sets; relative paths begin in `folder`.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    fn read(value: &toml::Value, folder: &Path) -> Result<Self, String> {
        let values = match (Self::IS_LIST, value) {
            (true, toml::Value::Array(values)) => values.as_slice(),
            (true, value) => return Err(format!("{value}: expected a list in brackets")),
            (false, value) => std::slice::from_ref(value),
        };
        let read =
            |value: &toml::Value| Self::Value::parse(&text(Self::Value::KIND, value, folder)?);
        values.iter().map(read).collect::<Result<_, _>>().map(Self::of)
    }

    /// As a file has it; `None` if it is not set.
    fn written(&self) -> Option<toml::Value> {
        let written = |value: &Self::Value| {
            let text = value.written();
            match Self::Value::KIND {
                Kind::Text | Kind::Path => toml::Value::String(text),
                Kind::Number => {
                    text.parse().map_or(toml::Value::String(text), toml::Value::Integer)
                }
                Kind::Switch => toml::Value::Boolean(text == "true"),
            }
        };
        let mut values: Vec<_> = self.values().iter().map(written).collect();
        match Self::IS_LIST {
            true if values.is_empty() => None,
            true => Some(toml::Value::Array(values)),
            false => values.pop(),
        }
    }
}

/// What is to be parsed of one value in a file.
fn text(kind: Kind, value: &toml::Value, folder: &Path) -> Result<String, String> {
    match (kind, value) {
        (Kind::Text, toml::Value::String(text)) => Ok(text.clone()),
        // It would be the file's own folder.
        (Kind::Path, toml::Value::String(text)) if text.is_empty() => {
            Err("\"\": expected a path that is not empty".into())
        }
        (Kind::Path, toml::Value::String(text)) => {
            Ok(folder.join(text).to_string_lossy().into_owned())
        }
        (Kind::Number, toml::Value::Integer(number)) => Ok(number.to_string()),
        (Kind::Switch, toml::Value::Boolean(switch)) => Ok(switch.to_string()),
        _ => Err(format!("{value}: expected {kind}")),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text in quotes",
            Self::Path => "a path in quotes",
            Self::Number => "a number",
            Self::Switch => "true or false",
        })
    }
}

impl<T: Value> Holds for Option<T> {
    type Value = T;

    const IS_LIST: bool = false;

    fn of(mut values: Vec<T>) -> Self {
        values.pop()
    }

    fn values(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Value> Holds for Vec<T> {
    type Value = T;

    const IS_LIST: bool = true;

    fn of(values: Self) -> Self {
        values
    }

    fn values(&self) -> &[T] {
        self
    }
}

/// Values that are written as they are shown.
macro_rules! texts {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error| format!("{error}"))
            }

            fn written(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

texts!(CapSetting, CertificateLife, HostPort, HttpListen, Listen, MetricsListen, Millis, String);

/// The same of types whose errors do not name the value: before what is wrong with a flag it stands
/// anyway.
macro_rules! named_outside {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error| format!("{text:?}: {error}"))
            }

            fn written(&self) -> String {
                self.to_string()
            }

            fn parser() -> ValueParser {
                ValueParser::new(|text: &str| text.parse::<Self>())
            }
        }
    )*};
}

named_outside!(Label, Maximum, TenantWeight);

impl Value for ByteCount {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn written(&self) -> String {
        exactly(*self)
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Switch;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn written(&self) -> String {
        self.to_string()
    }

    fn parser() -> ValueParser {
        BoolishValueParser::new().into()
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Path;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn written(&self) -> String {
        self.to_string_lossy().into_owned()
    }

    /// It means the same in any folder, as a later start may have another one.
    fn parser() -> ValueParser {
        let whole = |path: PathBuf| match path.to_str() {
            Some(_) => Ok(absolute(&path).unwrap_or(path)),
            None => Err("settings are kept as UTF-8, and this path is not"),
        };
        PathBufValueParser::new().try_map(whole).into()
    }
}

impl Value for Isolation {
    fn parse(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
            .map_err(|_| format!("{text:?}: expected process, task or in-process"))
    }

    fn written(&self) -> String {
        let name = self.to_possible_value();
        name.map(|name| name.get_name().to_owned()).unwrap_or_default()
    }

    fn parser() -> ValueParser {
        EnumValueParser::<Self>::new().into()
    }
}

/// How many tasks run at once: from 1 to [`Slots::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots(u32);

impl Slots {
    /// Each is a process.
    pub const MAX: u32 = 4096;

    /// As many, if that is allowed.
    pub fn new(slots: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&slots).then_some(Self(slots))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let slots = text.parse().ok().and_then(Self::new);
        slots.ok_or_else(|| format!("expected 1 to {}", Self::MAX))
    }
}

impl Value for Slots {
    const KIND: Kind = Kind::Number;

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|wrong| format!("{text}: {wrong}"))
    }

    fn written(&self) -> String {
        self.0.to_string()
    }

    /// The value stands before what is wrong with a flag.
    fn parser() -> ValueParser {
        ValueParser::new(|text: &str| text.parse::<Self>())
    }
}

/// Memory for all tasks of a worker: at least [`TaskMemory::MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskMemory(ByteCount);

impl TaskMemory {
    /// With less, hardly any task fits the worker, and its jobs wait without an end.
    pub const MIN: ByteCount = ByteCount(1 << 20);

    /// As much, if that is enough.
    pub fn new(bytes: ByteCount) -> Option<Self> {
        (bytes >= Self::MIN).then_some(Self(bytes))
    }

    /// The amount.
    pub const fn get(self) -> ByteCount {
        self.0
    }
}

impl Value for TaskMemory {
    fn parse(text: &str) -> Result<Self, String> {
        Self::new(ByteCount::parse(text)?).ok_or_else(|| format!("expected at least {}", Self::MIN))
    }

    fn written(&self) -> String {
        exactly(self.0)
    }
}

/// A quantity of which there is some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboveZero<T>(T);

impl<T: Copy + Default + PartialEq> AboveZero<T> {
    /// As much, if it is not nothing.
    pub fn new(quantity: T) -> Option<Self> {
        (quantity != T::default()).then_some(Self(quantity))
    }

    /// The quantity.
    pub const fn get(self) -> T {
        self.0
    }
}

impl<T: Value + Copy + Default + PartialEq> Value for AboveZero<T> {
    const KIND: Kind = T::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(T::parse(text)?).ok_or_else(|| "it must be greater than 0".into())
    }

    fn written(&self) -> String {
        self.0.written()
    }
}

/// An amount of bytes that reads back the same.
pub fn exactly(bytes: ByteCount) -> String {
    let short = bytes.to_string();
    if short.parse() == Ok(bytes) { short } else { format!("{}B", bytes.0) }
}
