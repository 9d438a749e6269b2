//! The driver's side of certificates: who asks is known by its link, what is asked is done beside
//! the driver.

use std::collections::BTreeSet;

use wasmgrid_proto::wire::{
    ApiError, AuthorityRequest, Denied, Renew, RenewSoon, Renewed, Reply, ToWorker,
};

use super::{Driver, Event, workers::Worker};
use crate::links::LinkId;

impl Driver {
    /// A worker wants its next certificate; also before it has joined.
    pub(super) fn renew_worker(&mut self, link: LinkId, renew: Renew) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        if worker.renewing {
            return self.misunderstand(link, "asked for two certificates at once");
        }
        worker.renewing = true;
        let (peer, enroller, done) =
            (worker.peer.clone(), self.enroller.clone(), self.done.clone());
        self.tasks.spawn(async move {
            let answer = enroller.renew(&peer, &renew).await;
            // The driver is gone only when the server ends.
            let _ = done.send(Event::Renewed { link, answer }).await;
        });
    }

    pub(super) fn renewed(&mut self, link: LinkId, answer: Result<Renewed, ApiError>) {
        let Some(worker) = self.state.workers.get_mut(&link) else { return };
        worker.renewing = false;
        let message = match answer {
            Ok(renewed) => ToWorker::Renewed(renewed),
            Err(error) => ToWorker::NotRenewed(Denied { reason: error.message }),
        };
        self.say_of_certificates(link, message);
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
            self.say_of_certificates(link, ToWorker::RenewSoon(RenewSoon {}));
        }
    }

    fn say_of_certificates(&mut self, link: LinkId, message: ToWorker) {
        let Some(worker) = self.state.workers.get(&link) else { return };
        if worker.outbox.push(message).is_err() {
            self.close(link, "it does not read what it is sent");
        }
    }

    pub(super) fn renew_client(&mut self, link: LinkId, id: u64, renew: Renew) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let (peer, enroller) = (client.peer.clone(), self.enroller.clone());
        let renewed = async move { enroller.renew(&peer, &renew).await.map(Reply::Renewed) };
        self.answer_beside(link, id, renewed);
    }

    pub(super) fn authority_request(&mut self, link: LinkId, id: u64, asked: AuthorityRequest) {
        let Some(client) = self.state.clients.get(&link) else { return };
        let (peer, enroller) = (client.peer.clone(), self.enroller.clone());
        self.answer_beside(link, id, async move { enroller.authority(&peer, asked).await });
    }

    fn answer_beside(
        &mut self,
        link: LinkId,
        id: u64,
        asked: impl Future<Output = Result<Reply, ApiError>> + Send + 'static,
    ) {
        let done = self.done.clone();
        self.tasks.spawn(async move {
            let reply = asked.await;
            // The driver is gone only when the server ends.
            let _ = done.send(Event::Answer { link, id, reply }).await;
        });
    }
}
