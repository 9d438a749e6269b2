//! Submits jobs to a grid and streams their results, over any link that the caller dials.
//!
//! If a link is lost, the client dials again and repeats the unanswered requests that are safe to
//! repeat. Results arrive in the order of the job's result log, without gaps and without repeats,
//! however often the link is lost. This crate prints nothing and reads no configuration.
//!
//! # A scheduler in the same process
//!
//! The caller supplies the function that opens a link. The book (`docs/book/src/reference/client.md`)
//! has a program that connects to a cluster. Here a scheduler without workers is part of the program,
//! so that its job waits until it is cancelled:
//!
//! ```
//! use std::{future::ready, sync::Arc};
//!
//! use bytes::Bytes;
//! use wasmgrid_client::{Client, JobEvent, SubmitRequest};
//! use wasmgrid_net::{Identity, Role, in_process};
//! use wasmgrid_proto::{Digest, InputBlock, JobSpec, JobState, ModuleInfo, ModuleKind, TaskSpec};
//! use wasmgrid_server::{Admission, Admit, Server, ServerConfig};
//! use wasmgrid_store::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // This admission accepts any bytes as a task.
//! let admission = Admission {
//!     admit: Admit::Here(Arc::new(|module: &[u8]| {
//!         Ok(ModuleInfo {
//!             digest: Digest::of(module),
//!             size_bytes: module.len() as u64,
//!             kind: ModuleKind::Task,
//!             imports: Vec::new(),
//!             exports: Vec::new(),
//!         })
//!     })),
//!     check_task: Arc::new(|_, _| Ok(())),
//! };
//! let store = Box::new(MemoryStore::default());
//! let server = Server::start(ServerConfig::new("lab"), store, admission)?;
//! let (ada, scheduler) =
//!     (Identity::new("lab", Role::Client, "ada")?, Identity::new("lab", Role::Scheduler, "one")?);
//! let handle = server.handle();
//! let client = Client::connect(move || {
//!     let (ours, theirs) = in_process(ada.clone(), scheduler.clone());
//!     handle.client(theirs);
//!     ready(Ok(ours))
//! })
//! .await?;
//!
//! let module = client.put_module(Bytes::from_static(b"a module")).await?;
//! let submit = SubmitRequest {
//!     spec: JobSpec::new("squares".into(), TaskSpec::new(module, ModuleKind::Task)),
//!     key: None,
//!     inputs: InputBlock::Numbers { start: 1, step: 1, count: 100 },
//!     payload: Bytes::new(),
//!     closed: true,
//!     watch: true,
//! };
//! let (status, results) = client.submit(submit).await?;
//! assert_eq!(status.counts.queued, 100);
//! let mut results = results.ok_or("a job that is watched has results")?;
//! client.cancel(status.job).await?;
//! loop {
//!     match results.next().await.ok_or("the last event is the job's end")?? {
//!         JobEvent::Ended(status) => break assert_eq!(status.state, JobState::Cancelled),
//!         JobEvent::Results { .. } | JobEvent::Update(_) => {}
//!     }
//! }
//! client.shutdown().await;
//! server.shutdown().await?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod actor;
mod client;
mod counted;
mod error;
mod functions;
mod inputs;
mod keys;
mod named;
mod numbers;
mod operate;
mod paged;
mod room;
mod sendable;
mod stream;
mod upload;

pub use client::{Client, ClientConfig, ClientLink, Producer, SubmitRequest};
pub use error::ClientError;
pub use functions::{CallResult, Caller};
pub use inputs::StoredInputs;
pub use named::Named;
pub use room::{Room, Taken};
pub use stream::{JobEvent, JobStream};
pub use upload::Uploads;
pub use wasmgrid_net::Validity;

/// The programs of the book's page are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/book/src/reference/client.md")]
struct Book;
