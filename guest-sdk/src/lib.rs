#![doc = include_str!("../README.md")]
#![expect(clippy::test_attr_in_doctest, reason = "the README shows how authors test a task")]

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod allocator;
mod argument;
// Made from `wit/`, the one source of the interface between tasks and the grid, and kept: what makes
// them takes longer to build than everything else of a task. See `guest-sdk/bindings`.
#[cfg(target_arch = "wasm32")]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, reason = "generated")]
#[doc(hidden)]
#[rustfmt::skip]
pub mod bindings;
mod command;
mod context;
mod error;
mod fake;
#[cfg(target_arch = "wasm32")]
mod grid;
mod host;
mod results;
mod returned;
mod type_name;
mod value;

pub use argument::Input;
pub use context::{Context, Level};
pub use error::Error;
pub use fake::Fake;
/// The generator that [`Context::rng`] gives: its sequence is a function of its seed.
pub use fastrand::Rng;
pub use returned::{Failure, Output};
pub use wasmgrid_macros::task;

/// What `#[wasmgrid::task]` expands to. Not for use by hand; it may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use crate::argument::{Argument, Typed};
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings;
    pub use crate::command::main;
    #[cfg(target_arch = "wasm32")]
    pub use crate::grid::{Failure as GuestFailure, Guest, run};
    pub use crate::host::Task;
    pub use crate::returned::{AnyError, AnyValue, Failed, Returned, TypedValue, Value};
    pub use crate::value::{Given, TypedGiven};

    /// Exports the task to the grid; natively there is no grid to export to.
    #[cfg(not(target_arch = "wasm32"))]
    #[macro_export]
    #[doc(hidden)]
    macro_rules! __export {
        ($task:ident) => {};
    }

    /// Exports the task to the grid, under the name the grid looks for.
    #[cfg(target_arch = "wasm32")]
    #[macro_export]
    #[doc(hidden)]
    macro_rules! __export {
        ($task:ident) => {
            struct Export;
            impl $crate::__private::Guest for Export {
                fn run(
                    input: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<u8>,
                    $crate::__private::GuestFailure,
                > {
                    $crate::__private::run::<$task>(input)
                }
            }
            $crate::__private::bindings::export!(
                Export with_types_in $crate::__private::bindings
            );
        };
    }
}
