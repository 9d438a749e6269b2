//! Requests about functions. A tenant asks for its own alone: whoever deploys one for others acts for them.

use bytes::Bytes;
use wasmgrid_core::Input;
use wasmgrid_proto::{Digest, FunctionStatus, InputBlock, JobSpec, wire::Reply};

use super::{
    Driver, LinkId, Observer,
    content::check_inputs,
    sizes::{fitting, function_bytes, input_bytes},
};

impl<O: Observer> Driver<O> {
    pub(super) fn deploy_function(
        &mut self,
        link: LinkId,
        id: u64,
        name: String,
        mut spec: JobSpec,
    ) {
        let Some(client) = self.state.clients.get(&link) else { return };
        // As of a job: whose it is, is who proved to be it.
        spec.task.tenant.clone_from(&client.tenant);
        if let Err(error) = self.check_module(&spec) {
            return self.answer(link, id, Err(error));
        }
        let request = self.pending(link, id, None, None);
        let deploy = Input::DeployFunction { request, name, spec: Box::new(spec) };
        self.grid.handle(self.state.now, deploy);
    }

    pub(super) fn delete_function(&mut self, link: LinkId, id: u64, name: String) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let tenant = client.tenant.clone();
        let request = self.pending(link, id, None, None);
        self.grid.handle(self.state.now, Input::DeleteFunction { request, tenant, name });
    }

    pub(super) fn functions_request(&mut self, link: LinkId, id: u64, after: Option<&str>) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let all: Vec<FunctionStatus> = self.grid.functions(&client.tenant, after).collect();
        let count = all.len() as u64;
        let functions = fitting(all.into_iter(), function_bytes);
        let more = count - functions.len() as u64;
        self.answer(link, id, Ok(Reply::Functions { functions, more }));
    }

    pub(super) fn call(
        &mut self,
        link: LinkId,
        id: u64,
        (name, module): (String, Option<Digest>),
        (producer, number): (u64, u64),
        (inputs, payload): (InputBlock, Bytes),
    ) {
        if let Err(error) = check_inputs(&inputs) {
            return self.answer(link, id, Err(error));
        }
        let Some(client) = self.state.clients.get(&link) else { return };
        let tenant = client.tenant.clone();
        let (count, bytes) = (inputs.count(), input_bytes(&inputs, &payload));
        let request = self.pending(link, id, Some((inputs, payload)), None);
        let call = Input::Call { request, tenant, name, module, producer, number, count, bytes };
        self.grid.handle(self.state.now, call);
    }
}
