//! The driver's side of certificates: who asks is known by its link, the enroller signs.

use std::{collections::BTreeSet, sync::Arc};

use wasmgrid_proto::wire::{
    ApiError, AuthorityRequest, Denied, Renew, RenewSoon, Renewed, ToWorker,
};

use super::{Ask, Driver, Effect, LinkId, Observer, workers::Worker};

impl<O: Observer> Driver<O> {
    /// A worker wants its next certificate; also before it has joined.
    pub(super) fn renew_worker(&mut self, link: LinkId, renew: Renew) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        if worker.renewing {
            return self.misunderstand(link, "asked for two certificates at once");
        }
        worker.renewing = true;
        let peer = worker.peer.clone();
        self.effects.push(Effect::Enroll(Ask::RenewWorker { link, peer, renew }));
    }

    pub(super) fn renewed(&mut self, link: LinkId, answer: Result<Renewed, ApiError>) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        worker.renewing = false;
        let message = match answer {
            Ok(renewed) => ToWorker::Renewed(renewed),
            Err(error) => ToWorker::NotRenewed(Denied { error }),
        };
        self.say_to_worker(link, message);
    }

    /// Tells workers of these names, or all, to renew their certificates.
    pub(super) fn renew_soon(&mut self, names: Option<&BTreeSet<String>>) {
        let is_meant = |worker: &Worker| {
            let name = worker.peer.identity.name();
            worker.peer.certificate.is_some() && names.is_none_or(|names| names.contains(name))
        };
        let meant = self.state.workers.iter().filter(|(_, worker)| is_meant(worker));
        let links: Vec<LinkId> = meant.map(|(link, _)| *link).collect();
        for link in links {
            self.say_to_worker(link, ToWorker::RenewSoon(RenewSoon {}));
        }
    }

    pub(super) fn renew_client(&mut self, link: LinkId, id: u64, renew: Renew) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let peer = client.peer.clone();
        self.effects.push(Effect::Enroll(Ask::RenewClient { link, id, peer, renew }));
    }

    pub(super) fn authority_request(&mut self, link: LinkId, id: u64, asked: AuthorityRequest) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let (peer, by) = (client.peer.clone(), Arc::clone(&client.caller));
        self.effects.push(Effect::Enroll(Ask::Authority { link, id, peer, by, asked }));
    }
}
