//! What a job names, its module and its blobs: sent if the scheduler answers that it is missing. A
//! scheduler that has them is asked nothing before the submit.

use std::collections::BTreeSet;

use bytes::Bytes;
use wasmgrid_proto::{Digest, JobStatus, Reason};

use crate::{Client, ClientError, JobStream, SubmitRequest, client::key_of};

/// The bytes of what a job names.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its module.
    pub module: Bytes,
    /// Its blobs.
    pub blobs: Vec<Bytes>,
}

/// What a scheduler lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Module(Digest),
    Blob(Digest),
}

impl Client {
    /// As [`Client::submit`], and sends the module and the blobs that the scheduler lacks, each once.
    ///
    /// # Errors
    /// As [`Client::submit`], [`Client::put_module`] and [`Client::put_blob`].
    pub async fn submit_with(
        &self,
        submit: SubmitRequest,
        named: &Named,
    ) -> Result<(JobStatus, Option<JobStream>), ClientError> {
        let submit = SubmitRequest { key: Some(key_of(submit.key)?), ..submit };
        let mut sent = BTreeSet::new();
        loop {
            let error = match self.submit(submit.clone()).await {
                Ok(submitted) => return Ok(submitted),
                Err(error) => error,
            };
            // What is missing although it was sent would be missing again.
            match missing(&error).filter(|missing| sent.insert(*missing)) {
                Some(Missing::Module(digest)) if is(digest, &named.module) => {
                    self.send_module(digest, named.module.clone()).await?;
                }
                Some(Missing::Blob(digest)) => {
                    let blob = named.blobs.iter().find(|blob| is(digest, blob));
                    self.send_blob(digest, blob.ok_or(error)?.clone()).await?;
                }
                _ => return Err(error),
            }
        }
    }
}

fn is(digest: Digest, bytes: &Bytes) -> bool {
    Digest::of(bytes) == digest
}

fn missing(error: &ClientError) -> Option<Missing> {
    let ClientError::Api(error) = error else { return None };
    match *error.reason {
        Reason::NoModule { digest } => Some(Missing::Module(digest)),
        Reason::NoBlob { digest, .. } => Some(Missing::Blob(digest)),
        _ => None,
    }
}
