//! Who calls functions: calls of one function by one key share their requests to the grid.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use wasmgrid_client::{CallResult, Caller, Client, ClientError};
use wasmgrid_proto::Digest;

use crate::grid::ActFor;

/// Functions that are called at once; beyond that, one that was not called lately is called anew.
const CALLERS_MAX: usize = 1_024;

/// One version of a function, or any, as somebody calls it.
pub type Callee = (ActFor, String, Option<Digest>);

/// Those that are called.
#[derive(Default)]
pub struct Callers(Mutex<BTreeMap<Callee, Caller>>);

impl Callers {
    /// Calls a function with an input.
    ///
    /// # Errors
    /// If the grid does not take the call.
    pub async fn call(
        &self,
        client: &Client,
        callee: Callee,
        input: Bytes,
    ) -> Result<CallResult, ClientError> {
        let caller = self.caller(client, &callee)?;
        let result = caller.call(input).await;
        if result.is_err() {
            // Its link may be over: the next call has another one.
            self.lock().remove(&callee);
        }
        result
    }

    fn caller(&self, client: &Client, callee: &Callee) -> Result<Caller, ClientError> {
        let mut callers = self.lock();
        if let Some(caller) = callers.get(callee) {
            return Ok(caller.clone());
        }
        let (_, name, module) = callee;
        let caller = client.caller(name, *module)?;
        if callers.len() >= CALLERS_MAX {
            // Calls that it has go on.
            callers.pop_first();
        }
        callers.insert(callee.clone(), caller.clone());
        Ok(caller)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Callee, Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
