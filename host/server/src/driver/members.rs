//! The driver's side of who may be here: clients and operators that are listed, members that are
//! removed, and tokens. The enroller keeps the durable part of it.

use std::{collections::BTreeMap, sync::Arc};

use wasmgrid_core::Input;
use wasmgrid_net::Peer;
use wasmgrid_proto::{
    Act, Caller, MemberStatus, Micros, Reason, TokenGives, TokenStatus,
    text::Name,
    wire::{ApiError, Reply, Role, TokenRequest},
};

use super::{
    Ask, Driver, Effect, LinkId, Observer,
    outbox::{Closing, Ending},
    sizes::{fitting, member_bytes, token_bytes},
    speaker::{caller, impostor},
};
use crate::members::{Member, MemberKey, member_key, own_tenant};

/// When members' last links ended, since the start, by the date.
pub(super) type Seen = BTreeMap<MemberKey, Micros>;

impl<O: Observer> Driver<O> {
    /// Whether a link that was just given to the server may stay: its peer has one of these roles,
    /// and was not removed. If not, the link is ended. A peer that nobody knew is written down.
    pub(super) fn lets_in(
        &mut self,
        link: LinkId,
        peer: &Peer,
        roles: &[Role],
        what: &str,
    ) -> bool {
        let role = peer.identity.role();
        if !roles.contains(&role) {
            let closing = Closing {
                reason: format!("a {role} cannot connect as a {what}"),
                how: Ending::InOrder,
            };
            self.effects.push(Effect::Close { link, closing });
            return false;
        }
        if let Some(reason) = impostor(peer) {
            self.impostor(peer);
            let closing = Closing { reason: reason.to_string(), how: Ending::Misunderstood };
            self.effects.push(Effect::Close { link, closing });
            return false;
        }
        if let Some(removed) = self.members.turns_away(peer) {
            tracing::warn!(
                name = peer.identity.name(),
                from = peer.address,
                "turned away: removed"
            );
            let closing = Closing { reason: removed.to_string(), how: Ending::Removed };
            self.effects.push(Effect::Close { link, closing });
            return false;
        }
        let key = member_key(&peer.identity);
        if peer.key.is_some() && self.members.get(&key).is_none() {
            self.effects.push(Effect::Enroll(Ask::Note { key }));
        }
        true
    }

    /// A member that is no gateway has said that it acts for somebody: enters that into the audit log.
    pub(super) fn impostor(&mut self, peer: &Peer) {
        let (Some(act_for), Some(reason)) = (peer.act_for(), impostor(peer)) else { return };
        tracing::warn!(%peer, tenant = %act_for.tenant, "turned away: it is no gateway");
        let (by, act) = (caller(peer, &self.members).into(), Act::acting_for(&act_for).into());
        let reason = Name::from(reason.name());
        self.grid.handle(self.state.now, Input::Refused { by, act, reason });
        self.take_outputs();
    }

    pub(super) fn create_token(
        &mut self,
        link: LinkId,
        id: u64,
        token: TokenRequest,
        gives: TokenGives,
    ) {
        let Some(by) = self.caller_on(link) else { return };
        self.effects.push(Effect::Enroll(Ask::CreateToken { link, id, by, token, gives }));
    }

    pub(super) fn revoke_token(&mut self, link: LinkId, id: u64, token: u64) {
        let Some(by) = self.caller_on(link) else { return };
        self.effects.push(Effect::Enroll(Ask::RevokeToken { link, id, by, token }));
    }

    /// Who asks on a link.
    pub(super) fn caller_on(&self, link: LinkId) -> Option<Arc<Caller>> {
        self.state.clients.get(&link).map(|client| Arc::clone(&client.caller))
    }

    pub(super) fn tokens_read(
        &mut self,
        link: LinkId,
        id: u64,
        found: Result<Vec<TokenStatus>, ApiError>,
    ) {
        let reply = found.map(|left| {
            let all = left.len() as u64;
            let tokens = fitting(left.into_iter(), token_bytes);
            let more = all - tokens.len() as u64;
            Reply::Tokens { tokens, more }
        });
        self.answer(link, id, reply);
    }

    /// Clients and operators after `after`.
    pub(super) fn members_request(&mut self, link: LinkId, id: u64, after: Option<&MemberKey>) {
        let mut linked: BTreeMap<MemberKey, u64> = BTreeMap::new();
        for client in self.state.clients.values() {
            *linked.entry(member_key(&client.peer.identity)).or_default() += 1;
        }
        let (now, seen) = (self.state.date, &self.state.seen);
        let status = |(key, member): (MemberKey, Member)| {
            let links = linked.get(&key).copied().unwrap_or_default();
            let seen_at = if links > 0 { Some(now) } else { seen.get(&key).copied() };
            let (role, name) = key;
            let tenant = member.tenant.unwrap_or_else(|| own_tenant(role, &name));
            let Member { machine, joined_at, .. } = member;
            MemberStatus { role, name, tenant, machine, joined_at, links, seen_at }
        };
        let left = self.members.list(after);
        let all = left.len() as u64;
        let members = fitting(left.into_iter().map(status), member_bytes);
        let more = all - members.len() as u64;
        self.answer(link, id, Ok(Reply::Members { members, more }));
    }

    /// An operator wants a member taken away.
    pub(super) fn remove_member(&mut self, link: LinkId, id: u64, role: Role, name: String) {
        let Some(by) = self.caller_on(link) else { return };
        let key = (role, name);
        if let Err(error) = self.check_removal(link, &key) {
            let act = Act::removal(role, &key.1);
            return self.refuse_act(link, id, (by, act), error);
        }
        let is_known = role == Role::Worker && self.grid.knows_worker(&key.1);
        self.effects.push(Effect::Enroll(Ask::Remove { link, id, by, key, is_known }));
    }

    fn check_removal(&self, link: LinkId, key: &MemberKey) -> Result<(), ApiError> {
        let (role, name) = key;
        if *role == Role::Scheduler {
            return Err(Reason::SchedulerStays.into());
        }
        let asker = self.state.clients.get(&link).map(|client| &client.peer.identity);
        if asker.is_some_and(|asker| member_key(asker) == *key) {
            return Err(Reason::OwnRemoval { role: *role, name: name.as_str().into() }.into());
        }
        let mut workers = self.state.workers.values();
        let is_own = *role == Role::Worker
            && workers.any(|one| one.peer.key.is_none() && one.peer.identity.name() == name);
        if is_own {
            return Err(Reason::BuiltInWorker { name: name.as_str().into() }.into());
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
        let members = &self.members;
        let unwanted = |peer: &Peer| {
            let why = (member_key(&peer.identity) == *key).then(|| members.turns_away(peer));
            why.flatten()
        };
        let clients = self.state.clients.iter().map(|(link, client)| (*link, &client.peer));
        let workers = self.state.workers.iter().map(|(link, worker)| (*link, &worker.peer));
        let links = clients.chain(workers);
        let links: Vec<_> =
            links.filter_map(|(link, peer)| Some((link, unwanted(peer)?))).collect();
        for (link, removed) in links {
            self.expel_link(link, removed.to_string());
        }
    }
}
