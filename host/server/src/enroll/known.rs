//! What the enroller writes down of members: who they are, and that they were taken away.

use wasmgrid_net::key_of;
use wasmgrid_proto::{
    Act, Caller, Digest, Reason,
    text::Detail,
    wire::{ApiError, Role},
};
use wasmgrid_store::Entry;

use super::{Enroller, meta};
use crate::{
    clock,
    members::{Member, MemberKey, Members},
};

/// Keys with which a name is good that somebody had before who was taken away: the last one that was
/// signed, and the one before it, in case its owner never got the last.
const KEYS_KEPT: usize = 2;

impl Enroller {
    /// Writes down what is known of a member, durably, and goes by it.
    pub(super) async fn write_member(
        &self,
        key: MemberKey,
        member: Member,
        mut entries: Vec<Entry>,
    ) -> Result<(), ApiError> {
        entries.push(meta(Members::store_key(&key), &member)?);
        self.write(entries).await?;
        self.members.set(key, member);
        Ok(())
    }

    /// Somebody is linked who did not join with a token: its name is nobody else's from now on.
    ///
    /// # Errors
    /// Where the store does not take that.
    pub(crate) async fn note(&self, key: MemberKey) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        if self.members.get(&key).is_some() {
            return Ok(());
        }
        self.write_member(key, Member::seen_at(clock::date()), Vec::new()).await
    }

    /// Takes a member away, durably, and says in the audit log who did: its name is good with no key it ever had. `is_known` where the
    /// grid knows it though it did not join with a token.
    ///
    /// # Errors
    /// Where there is no such member, or the store does not take that.
    pub(crate) async fn remove(
        &self,
        (by, act): (&Caller, Act),
        key: MemberKey,
        is_known: bool,
    ) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let member = self.members.get(&key);
        if !is_known && member.as_ref().is_none_or(|member| member.removed_at.is_some()) {
            return Err(self.no_member(key, member.as_ref()).into());
        }
        let date = clock::date();
        let member = member.unwrap_or_else(|| Member::seen_at(date));
        let member = Member { removed_at: Some(date), ..member };
        // What it made it has the secrets of.
        let tenant = self.tenant_of(&key).unwrap_or_default();
        let (ended, mut entries) = self.keys_of_removed(&key, &tenant)?;
        entries.push(self.audit(by, act)?);
        self.write_member(key.clone(), member, entries).await?;
        self.end_keys(&ended);
        self.forget_logins(&key);
        Ok(())
    }

    fn no_member(&self, (role, name): MemberKey, member: Option<&Member>) -> Reason {
        let others: &[Role] = match role {
            Role::Client => &[Role::Operator, Role::Gateway],
            Role::Operator => &[Role::Client, Role::Gateway],
            Role::Gateway => &[Role::Client, Role::Operator],
            Role::Worker | Role::Scheduler => &[],
        };
        let is_other = |role: &Role| {
            let found = self.members.get(&(*role, name.clone()));
            found.is_some_and(|member| member.removed_at.is_none())
        };
        let other = others.iter().copied().find(is_other);
        let name = name.as_str().into();
        match (other, member.and_then(|member| member.removed_at)) {
            (Some(other), _) => Reason::OtherRole { role, name, other },
            (None, Some(at)) => Reason::AlreadyRemoved { role, name, at },
            (None, None) => Reason::NoMember { role, name },
        }
    }
}

/// The keys with which a name is good that is given to the one of a certificate: any, unless somebody
/// had it before who was taken away.
///
/// # Errors
/// Where the certificate cannot be read.
pub(super) fn only_keys(
    before: Option<&Member>,
    certificate: &[u8],
) -> Result<Vec<Digest>, ApiError> {
    let mut keys = match before {
        Some(member) if member.removed_at.is_some() => Vec::new(),
        Some(member) if !member.only_keys.is_empty() => member.only_keys.clone(),
        _ => return Ok(Vec::new()),
    };
    let key = key_of(certificate)
        .map_err(|error| Reason::BadCertificate { reason: Detail::of(&error) })?;
    keys.retain(|known| *known != key);
    keys.push(key);
    keys.drain(..keys.len().saturating_sub(KEYS_KEPT));
    Ok(keys)
}
