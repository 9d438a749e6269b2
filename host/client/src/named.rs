//! What a job names, its module and its blobs: sent if the scheduler answers that it is missing. A
//! scheduler that has them is asked nothing before the submit.

use std::collections::BTreeSet;

use bytes::Bytes;
use wasmgrid_proto::{Digest, FunctionStatus, JobSpec, JobStatus, Reason};

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
            match self.submit(submit.clone()).await {
                Ok(submitted) => return Ok(submitted),
                Err(error) => self.send_missing(error, named, &mut sent).await?,
            }
        }
    }

    /// Deploys a function as [`Client::deploy`] does, and sends what it names if the grid lacks it.
    ///
    /// # Errors
    /// As [`Client::deploy`], [`Client::put_module`] and [`Client::put_blob`].
    pub async fn deploy_with(
        &self,
        name: &str,
        spec: JobSpec,
        named: &Named,
    ) -> Result<FunctionStatus, ClientError> {
        let mut sent = BTreeSet::new();
        loop {
            match self.deploy(name, spec.clone()).await {
                Ok(status) => return Ok(status),
                Err(error) => self.send_missing(error, named, &mut sent).await?,
            }
        }
    }

    /// Sends what a job was refused for the lack of, once.
    async fn send_missing(
        &self,
        error: ClientError,
        named: &Named,
        sent: &mut BTreeSet<Missing>,
    ) -> Result<(), ClientError> {
        // What is missing although it was sent would be missing again.
        match missing(&error).filter(|missing| sent.insert(*missing)) {
            Some(Missing::Module(digest)) if is(digest, &named.module) => {
                self.send_module(digest, named.module.clone()).await
            }
            Some(Missing::Blob(digest)) => {
                let blob = named.blobs.iter().find(|blob| is(digest, blob));
                self.send_blob(digest, blob.ok_or(error)?.clone()).await
            }
            _ => Err(error),
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
