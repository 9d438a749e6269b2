//! The driver's side of who may be here: clients and operators that are listed, members that are
//! taken away, and tokens. What is written down of it the enroller does beside the driver.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use wasmgrid_core::Input;
use wasmgrid_net::Peer;
use wasmgrid_proto::{
    MemberStatus, Micros, TokenGives,
    wire::{ApiError, ErrorCode, Reply, Role, TokenRequest},
};

use super::{
    Driver, Event, api_error,
    sizes::{fitting, member_bytes, token_bytes},
};
use crate::{
    clock,
    enroll::Enroller,
    links::LinkId,
    members::{Member, MemberKey, member_key, own_tenant},
};

/// When members' last links ended, since the start, by the date.
pub(super) type Seen = BTreeMap<MemberKey, Micros>;

impl Driver {
    /// Why a peer is not let in; where it is one that nobody knows, it is written down.
    pub(super) fn turns_away(&self, peer: &Peer) -> Option<String> {
        let members = &self.enroller.members;
        let turned_away = members.turns_away(peer);
        let key = member_key(&peer.identity);
        if turned_away.is_none() && peer.key.is_some() && members.get(&key).is_none() {
            let enroller = self.enroller.clone();
            self.tasks.spawn(async move {
                if let Err(error) = enroller.note(key).await {
                    tracing::debug!(%error, "who is linked was not written down");
                }
            });
        }
        turned_away
    }

    pub(super) fn create_token(
        &self,
        link: LinkId,
        id: u64,
        token: TokenRequest,
        gives: TokenGives,
    ) {
        self.beside(link, id, async move |enroller| {
            enroller.create(token, gives).await.map(Reply::Token)
        });
    }

    pub(super) fn tokens_request(&self, link: LinkId, id: u64, after: Option<u64>) {
        self.beside(link, id, async move |enroller| {
            let left = enroller.tokens(after).await?;
            let all = left.len() as u64;
            let tokens = fitting(left.into_iter(), token_bytes);
            let more = all - tokens.len() as u64;
            Ok(Reply::Tokens { tokens, more })
        });
    }

    pub(super) fn revoke_token(&self, link: LinkId, id: u64, token: u64) {
        self.beside(link, id, async move |enroller| {
            enroller.revoke(token).await.map(|()| Reply::Done)
        });
    }

    /// Clients and operators behind `after`.
    pub(super) fn members_request(&mut self, link: LinkId, id: u64, after: Option<&MemberKey>) {
        let mut linked: BTreeMap<MemberKey, u64> = BTreeMap::new();
        for client in self.state.clients.values() {
            *linked.entry(member_key(&client.peer.identity)).or_default() += 1;
        }
        let (now, seen) = (clock::date(), &self.state.seen);
        let status = |(key, member): (MemberKey, Member)| {
            let links = linked.get(&key).copied().unwrap_or_default();
            let seen_at = if links > 0 { Some(now) } else { seen.get(&key).copied() };
            let (role, name) = key;
            let tenant = member.tenant.unwrap_or_else(|| own_tenant(role, &name));
            let Member { machine, joined_at, .. } = member;
            MemberStatus { role, name, tenant, machine, joined_at, links, seen_at }
        };
        let left = self.enroller.members.list(after);
        let all = left.len() as u64;
        let members = fitting(left.into_iter().map(status), member_bytes);
        let more = all - members.len() as u64;
        self.answer(link, id, Ok(Reply::Members { members, more }));
    }

    /// An operator wants a member taken away.
    pub(super) fn remove_member(&mut self, link: LinkId, id: u64, role: Role, name: String) {
        let key = (role, name);
        if let Err(error) = self.check_removal(link, &key) {
            return self.answer(link, id, Err(error));
        }
        let is_known = role == Role::Worker && self.grid.knows_worker(&key.1);
        let (enroller, done) = (self.enroller.clone(), self.done.clone());
        self.tasks.spawn(async move {
            let event = match enroller.remove(key.clone(), is_known).await {
                Ok(()) => Event::MemberRemoved { link, id, key },
                Err(error) => Event::Answer { link, id, reply: Err(error) },
            };
            // The driver is gone only when the server ends.
            let _ = done.send(event).await;
        });
    }

    fn check_removal(&self, link: LinkId, key: &MemberKey) -> Result<(), ApiError> {
        let conflict = |why: String| Err(api_error(ErrorCode::Conflict, why));
        let (role, name) = key;
        if *role == Role::Scheduler {
            let why = "a scheduler is no member that can be removed; stop its process instead";
            return Err(api_error(ErrorCode::Invalid, why.into()));
        }
        let asker = self.state.clients.get(&link).map(|client| &client.peer.identity);
        if asker.is_some_and(|asker| member_key(asker) == *key) {
            return conflict(format!(
                "you are the {role} {name:?}; another operator can remove you, and `wasmgrid context \
                 remove` takes the identity from this machine"
            ));
        }
        let mut workers = self.state.workers.values();
        let is_own = *role == Role::Worker
            && workers.any(|one| one.peer.key.is_none() && one.peer.identity.name() == name);
        if is_own {
            return conflict(format!(
                "the worker {name:?} runs in the scheduler's own process and needs no certificate; \
                 `wasmgrid up --no-worker` starts the grid without it"
            ));
        }
        Ok(())
    }

    /// A member was taken away, durably: its links end, and what it has runs elsewhere.
    pub(super) fn member_removed(&mut self, link: LinkId, id: u64, key: MemberKey) {
        tracing::info!(role = %key.0, name = key.1, "removed from the grid");
        self.expel(&key);
        self.state.seen.remove(&key);
        let (role, name) = key;
        if role == Role::Worker && self.grid.knows_worker(&name) {
            let request = self.pending(link, id, None, None);
            self.grid.handle(self.state.now, Input::RemoveWorker { request, name });
        } else {
            self.answer(link, id, Ok(Reply::Done));
        }
    }

    /// Ends all links of a member that may not be here.
    fn expel(&mut self, key: &MemberKey) {
        let members = self.enroller.members.clone();
        let unwanted = |peer: &Peer| {
            let why = (member_key(&peer.identity) == *key).then(|| members.turns_away(peer));
            why.flatten()
        };
        let clients = self.state.clients.iter().map(|(link, client)| (*link, &client.peer));
        let workers = self.state.workers.iter().map(|(link, worker)| (*link, &worker.peer));
        let links = clients.chain(workers);
        let links: Vec<_> =
            links.filter_map(|(link, peer)| Some((link, unwanted(peer)?))).collect();
        for (link, reason) in links {
            self.expel_link(link, reason);
        }
    }

    /// Asks the enroller, and answers with what it says.
    fn beside<F>(&self, link: LinkId, id: u64, ask: impl FnOnce(Arc<Enroller>) -> F)
    where
        F: Future<Output = Result<Reply, ApiError>> + Send + 'static,
    {
        let (asked, done) = (ask(self.enroller.clone()), self.done.clone());
        self.tasks.spawn(async move {
            let reply = asked.await;
            // The driver is gone only when the server ends.
            let _ = done.send(Event::Answer { link, id, reply }).await;
        });
    }
}
