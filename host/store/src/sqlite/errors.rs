//! What `SQLite` cannot do, as errors of a store; and what it cannot hold.

use rusqlite::ErrorCode;

use crate::StoreError;

/// `SQLITE_IOERR_SHMSIZE`: the index beside the WAL could not be made larger.
const SHM_SIZE: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// `SQLite` has signed integers only.
pub fn to_sql(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Invalid(format!("the number {number}")))
}

/// Makes an error of what `SQLite` says, by its kind.
pub fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + Copy {
    use rusqlite::Error as E;
    move |error| match error {
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => {
            StoreError::Damaged { what: error.to_string(), place: format!("a row, while {doing}") }
        }
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full(error.into()),
            // The index beside the WAL cannot grow. Where the group was written to the WAL
            // before, the same group is written over it.
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == SHM_SIZE) => {
                StoreError::Full(error.into())
            }
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged {
                what: error.to_string(),
                place: format!("a page, while {doing}"),
            },
            _ => StoreError::Io { doing, source: error.into() },
        },
    }
}
