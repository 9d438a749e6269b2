//! How a call of preview 1 fails: by a number that the program is given, or by the task's end.

use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::{host::open, stop::Stop};

/// Why a call failed, as preview 1 numbers it; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(u16);

impl Errno {
    pub(super) const ACCES: Self = Self(2);
    pub(super) const BADF: Self = Self(8);
    pub(super) const ILSEQ: Self = Self(25);
    pub(super) const INVAL: Self = Self(28);
    pub(super) const IO: Self = Self(29);
    pub(super) const ISDIR: Self = Self(31);
    pub(super) const LOOP: Self = Self(32);
    pub(super) const NAMETOOLONG: Self = Self(37);
    pub(super) const NOENT: Self = Self(44);
    pub(super) const NOMEM: Self = Self(48);
    pub(super) const NOTDIR: Self = Self(54);
    pub(super) const NOTSOCK: Self = Self(57);
    pub(super) const NOTSUP: Self = Self(58);
    pub(super) const OVERFLOW: Self = Self(61);
    pub(super) const PERM: Self = Self(63);
    pub(super) const ROFS: Self = Self(69);
    pub(super) const SPIPE: Self = Self(70);

    pub(super) fn number(self) -> u32 {
        self.0.into()
    }
}

/// What programs of both versions of WASI are told alike.
impl From<ErrorCode> for Errno {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Access => Self::ACCES,
            ErrorCode::IllegalByteSequence => Self::ILSEQ,
            ErrorCode::Invalid => Self::INVAL,
            ErrorCode::IsDirectory => Self::ISDIR,
            ErrorCode::Loop => Self::LOOP,
            ErrorCode::NameTooLong => Self::NAMETOOLONG,
            ErrorCode::NoEntry => Self::NOENT,
            ErrorCode::InsufficientMemory => Self::NOMEM,
            ErrorCode::NotDirectory => Self::NOTDIR,
            ErrorCode::Overflow => Self::OVERFLOW,
            ErrorCode::NotPermitted => Self::PERM,
            ErrorCode::ReadOnly => Self::ROFS,
            _ => Self::IO,
        }
    }
}

/// How a call ended otherwise than well.
#[derive(Debug)]
pub(super) enum Fault {
    /// The program is told.
    Errno(Errno),
    /// The task ends.
    Stop(wasmtime::Error),
}

/// What a function of preview 1 comes to.
pub(super) type Answer<T = ()> = Result<T, Fault>;

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::Errno(code.into())
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(error: rustix::io::Errno) -> Self {
        open::code(error).into()
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop.into())
    }
}

impl From<wasmtime::Trap> for Fault {
    fn from(trap: wasmtime::Trap) -> Self {
        Self::Stop(trap.into())
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stop(error)
    }
}
