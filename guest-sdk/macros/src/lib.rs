//! The attribute `#[wasmgrid::task]`. The crate `wasmgrid` documents it for task authors.

mod only;
mod signature;
mod task;

use proc_macro::TokenStream;

/// Makes the function a task, and the crate a program that runs it.
///
/// The function takes the input and, if it wants them, a value that is the same for all tasks, by
/// `&`, and a `&mut wasmgrid::Context`; it stays an ordinary function, for tests. The attribute adds the program's `main`, so it stands on one
/// function, in `src/main.rs`, and on none called `main`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(arguments.into(), item.into(), only::check).into()
}
