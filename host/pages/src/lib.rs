//! The grid's web pages as values: a struct of what a page shows goes in, HTML comes out. Nothing here
//! reads a clock, a file or the network, knows HTTP, or decides anything; a gateway fills the structs
//! from the scheduler's answers, and serves the strings.
//!
//! # For a gateway
//!
//! - Each page is a struct with plain fields: [`Overview`](overview::Overview), [`Jobs`](jobs::Jobs),
//!   [`Job`](job::Job), [`Task`](task::Task), [`Workers`](workers::Workers),
//!   [`Worker`](worker::Worker), [`Functions`](functions::Functions), [`Keys`](keys::Keys),
//!   [`About`](plain::About), [`Problem`](plain::Problem), [`Confirm`](cancel::Confirm). All are a
//!   [`Page`]: `html(&shell)` is the whole page, `path()` where it is served.
//! - [`Login`](login::Login) is for those who are not logged in, and needs no shell.
//! - [`Shell`] is what all pages share: who looks, the token against forgery, whether it is live.
//! - `GET PAGE/live` is a stream of server-sent events: for each of `page.live_parts()`, no more often
//!   than its [`Cadence`], [`event`]`(ID, &page.part(&shell, ID))`, if it differs from the last.
//!   `GET PAGE/part/ID` is the same text alone; `None` is a 404. Both have the page's own query
//!   ([`Page::query`]).
//! - [`assets()`] are the files that pages name, each with its path: to be served with their type,
//!   `Cache-Control: public, max-age=31536000, immutable` and `nosniff`.
//! - `Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src
//!   'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'` holds
//!   for all pages.
//!
//! What pages send back, all as `application/x-www-form-urlencoded` POST with [`CSRF_FIELD`]:
//! `/logout`, `/jobs/N/close`, `/jobs/N/retry`, `/jobs/N/cancel`, `/workers/NAME/cordon`, `…/uncordon`,
//! `…/drain`, `/keys/ID/revoke` ([`Confirm`](cancel::Confirm)). `POST /login?code=…` comes from the
//! page of [`LoginSays::Take`](login::LoginSays::Take), before there is a session: without the field.
//!
//! Texts of guests are [`Guest`] or [`GuestBlock`], sentences of ours [`Prose`]: both show any text as
//! text. Times are [`Micros`](wasmgrid_proto::Micros) by the scheduler's clock; `now` is it too.
//!
//! ```
//! use wasmgrid_pages::{Guest, Liveness, Page as _, Shell, plain::Problem};
//! use wasmgrid_proto::wire::Role;
//!
//! let shell = Shell {
//!     grid: Guest::new("lab"),
//!     user: Guest::new("ada"),
//!     role: Role::Operator,
//!     csrf: "token".into(),
//!     live: Liveness::Live,
//! };
//! let html = Problem::no_job("99", "30d").html(&shell);
//! assert!(html.contains("<h1>There is no job 99</h1>"));
//! ```
//!
//! `docs/design/pages.md` has the rules of the design. `cargo run --example gallery -p wasmgrid-pages
//! -- FOLDER` writes every page with made-up content, to be looked at.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod assets;
mod chart;
pub mod number;
mod page;
mod shell;
mod state;
mod text;
mod words;

pub use assets::{ASSETS, Asset, asset, assets};
pub use chart::{Axis, Bar, Block, Column, Fill, Lanes, Line, Spark, Strip, StripRow};
pub use number::{Count, When};
pub use page::{
    cancel, functions, job, jobs, keys, limits, login, overview, plain, task, worker, workers,
};
pub use shell::{CSRF_FIELD, Cadence, LivePart, Liveness, Nav, Page, Shell, event};
pub use state::{Shape, State, Tone};
pub use text::{Guest, GuestBlock, Prose, path_part};
pub use words::{needs, remedy};
