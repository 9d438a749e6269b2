//! Who calls functions: calls of one function by one key share their requests to the grid.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::time::Instant;
use wasmgrid_client::{CallResult, Caller, Client, ClientError};
use wasmgrid_proto::Digest;

use crate::grid::ActFor;

/// Functions that are called at once; beyond that, the one that was not called for longest is called anew.
const CALLERS_MAX: usize = 1_024;

/// One version of a function, or any, as somebody calls it.
pub type Callee = (ActFor, String, Option<Digest>);

/// Those that are called.
#[derive(Default)]
pub struct Callers(Mutex<BTreeMap<Callee, Called>>);

struct Called {
    caller: Caller,
    last: Instant,
}

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
        // What the grid refuses is about that call. After anything else the link may be over, and the next
        // call has another one.
        if !matches!(result, Ok(_) | Err(ClientError::Api(_))) {
            self.lock().remove(&callee);
        }
        result
    }

    fn caller(&self, client: &Client, callee: &Callee) -> Result<Caller, ClientError> {
        let mut callers = self.lock();
        if let Some(called) = callers.get_mut(callee) {
            called.last = Instant::now();
            return Ok(called.caller.clone());
        }
        let (_, name, module) = callee;
        let caller = client.caller(name, *module)?;
        if callers.len() >= CALLERS_MAX {
            // Calls that it has go on.
            let oldest = callers.iter().min_by_key(|(_, called)| called.last);
            let oldest = oldest.map(|(callee, _)| callee.clone());
            oldest.map(|callee| callers.remove(&callee));
        }
        let called = Called { caller: caller.clone(), last: Instant::now() };
        callers.insert(callee.clone(), called);
        Ok(caller)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Callee, Called>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
