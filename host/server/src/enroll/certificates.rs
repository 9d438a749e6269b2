//! The certificates that members have: renewed over their own links, remembered by the last one of
//! each, and signed by an authority that can be replaced.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmgrid_net::{Credentials, NetError, Peer, Signed, Validity};
use wasmgrid_proto::{
    Caller, Digest, Micros, Reason,
    reason::Names,
    text::Detail,
    wire::{
        ApiError, AuthorityRequest, AuthorityStatus, FormerAuthority, MemberCertificate, Renew,
        Renewed, Reply, Role, SignedBy,
    },
};
use wasmgrid_store::Entry;

use super::{Enroller, Notice, known::only_keys, meta, parse, unreadable};
use crate::{
    clock,
    config::Enrollment,
    driver::act_on_authority,
    members::{Member, member_key},
};

const CERTIFICATE_PREFIX: &str = "certificate/";

/// Under which it is remembered when the former authority ends by the grid's own time.
const FORMER_ENDS: &str = "former-authority-ends";

/// Certificates in one answer, of about 120 bytes each at most.
const CERTIFICATES_MAX: usize = 4_096;

/// The longest signing request: one for an Ed25519 key takes far less.
pub(super) const REQUEST_MAX: usize = 4 << 10;

/// The last certificate that a member was given, as the store has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) issued: Micros,
    pub(super) ends: Micros,
    /// BLAKE3 of its authority's certificate.
    authority: [u8; 32],
}

/// A certificate with whose it is.
pub(super) type Known = ((Role, String), Given);

impl Enroller {
    /// Signs the next certificate of a member for what the one says that its link was authenticated
    /// with: nothing that the member asks for counts, but its key.
    ///
    /// # Errors
    /// [`ApiError`], where it has none, its key cannot be signed, or the store does not take it.
    pub(crate) async fn renew(&self, member: &Peer, renew: &Renew) -> Result<Renewed, ApiError> {
        let enrollment = self.enrollment()?;
        if member.certificate.is_none() {
            return Err(Reason::NoCertificate.into());
        }
        let (role, name) = (member.identity.role(), member.identity.name());
        let _turn = self.turn.lock().await;
        if let Some(removed) = self.members.turns_away(member) {
            return Err(removed.into());
        }
        let _signing = self.signing.read().await;
        let signed = sign(enrollment, &renew.csr, (role, name), &member.labels)?;
        let key = member_key(&member.identity);
        let before = self.members.get(&key).unwrap_or_else(|| Member::seen_at(clock::date()));
        // Who joins again with this key is known by it, whichever authority there is then.
        let request = Some(Digest::of(&renew.csr));
        let only_keys = only_keys(Some(&before), &signed.renewed.certificate)?;
        let known = Member { request, only_keys, ..before };
        self.write_member(key, known, vec![given(role, name, &signed)?]).await?;
        tracing::info!(%role, name, ends = %signed.certificate.validity.ends, "certificate renewed");
        Ok(signed.renewed)
    }

    /// Makes a member's key and certificate here.
    ///
    /// # Errors
    /// As [`Self::renew`].
    pub(crate) async fn issue(&self, role: Role, name: &str) -> Result<Credentials, ApiError> {
        let enrollment = self.enrollment()?;
        let _signing = self.signing.read().await;
        let made = enrollment.authority.issue(role, name, enrollment.validity);
        let credentials = made.map_err(|error| Reason::BadName { reason: Detail::of(&error) })?;
        let Validity { issued, ends } = credentials.validity();
        let authority = enrollment.authority.ca_hash();
        self.write(vec![entry(role, name, &Given { issued, ends, authority })?]).await?;
        Ok(credentials)
    }

    /// What is asked of the authority, by whom. The authority is in files, not in the store: the audit
    /// log says that it is replaced or retired before that is done, so that no crash hides it. If it
    /// then fails, a later entry says so.
    ///
    /// # Errors
    /// [`ApiError`], where there is none here, or it cannot be done.
    pub(crate) async fn authority(
        &self,
        (asker, by): (&Peer, &Caller),
        request: AuthorityRequest,
    ) -> Result<Reply, ApiError> {
        let act = act_on_authority(&request).map(|act| self.audit(by, act)).transpose()?;
        let entries = act.into_iter().collect();
        match request {
            AuthorityRequest::Certificates { after } => {
                self.certificates((asker, by), after.as_ref()).await.map(Reply::Authority)
            }
            AuthorityRequest::Replace => self.replace(entries).await.map(|()| Reply::Done),
            AuthorityRequest::Retire { force } => {
                self.retire(asker, force, entries).await.map(|()| Reply::Done)
            }
        }
    }

    async fn certificates(
        &self,
        (asker, by): (&Peer, &Caller),
        after: Option<&(Role, String)>,
    ) -> Result<AuthorityStatus, ApiError> {
        let authority = &self.enrollment()?.authority;
        let (fingerprint, former) = (authority.ca_hash(), authority.former());
        // Who asks by way of a gateway has no certificate of its own.
        let own = by.gateway.is_none().then(|| member_key(&asker.identity));
        let mut all = self.known().await?;
        all.retain(|(member, _)| {
            let is_shown = by.role == Role::Operator || member.0 == Role::Worker;
            (is_shown || own.as_ref() == Some(member)) && after.is_none_or(|after| member > after)
        });
        let more = all.len().saturating_sub(CERTIFICATES_MAX) as u64;
        let shown = |((role, name), given): Known| {
            let Given { issued, ends, authority } = given;
            let signed_by = match authority {
                authority if authority == fingerprint => SignedBy::Current,
                authority if former.is_some_and(|(former, _)| authority == former) => {
                    SignedBy::Former
                }
                _ => SignedBy::Retired,
            };
            MemberCertificate { role, name, issued, ends, signed_by }
        };
        Ok(AuthorityStatus {
            fingerprint,
            ends: authority.ends(),
            former: former.map(|(fingerprint, ends)| FormerAuthority { fingerprint, ends }),
            certificates: all.into_iter().take(CERTIFICATES_MAX).map(shown).collect(),
            more,
        })
    }

    async fn replace(&self, entries: Vec<Entry>) -> Result<(), ApiError> {
        self.replace_and_present(entries).await?;
        // The driver is gone only when the server ends.
        let _ = self.notices.send(Notice::RenewSoon { names: None }).await;
        Ok(())
    }

    async fn replace_and_present(&self, mut entries: Vec<Entry>) -> Result<(), ApiError> {
        let enrollment = self.enrollment()?;
        let _signing = self.signing.write().await;
        done(Some(enrollment.authority.check_replaceable()))?;
        let ends = self.known().await?.into_iter().map(|(_, given)| given.ends).max();
        let life = u64::try_from(enrollment.validity.as_micros()).unwrap_or(u64::MAX);
        let of_new = Micros(clock::date().0.saturating_add(life));
        let until = ends.unwrap_or_default().max(of_new);
        // By the grid's own time too: a clock that is wrong for a while ends no authority.
        let date = clock::date();
        let by_time = self.clock.now().after(until.since(date));
        entries.push(meta(FORMER_ENDS.into(), &by_time)?);
        self.write(entries).await?;
        let authority = Arc::clone(&enrollment.authority);
        let replaced = self.readers.beside(move || authority.replace(until)).await;
        done(replaced)?;
        self.present();
        tracing::warn!(
            until = %until,
            "the grid has a new authority; the former one stays trusted until it is retired"
        );
        Ok(())
    }

    async fn retire(&self, asker: &Peer, force: bool, entries: Vec<Entry>) -> Result<(), ApiError> {
        let enrollment = self.enrollment()?;
        let _signing = self.signing.write().await;
        let Some((former, _)) = enrollment.authority.former() else {
            return Err(Reason::NoFormerAuthority.into());
        };
        let date = clock::date();
        let known = self.known().await?;
        let stay = known.iter().filter(|(_, one)| one.authority == former && one.ends > date);
        // Who was removed is out already, whichever authority its certificate is of.
        let stay: Vec<_> = stay
            .map(|(member, _)| member)
            .filter(|member| !self.members.has_removed(member))
            .collect();
        let own = (asker.identity.role(), asker.identity.name().to_owned());
        if stay.contains(&&own) {
            return Err(Reason::OwnCertificateFormer.into());
        }
        if !stay.is_empty() && !force {
            let names = Names::of(stay.iter().map(|(role, name)| format!("{role} {name}")));
            return Err(Reason::MembersLockedOut { names }.into());
        }
        self.write(entries).await?;
        self.end_former(stay.len()).await
    }

    /// Trusts the former authority no more; `signing` is held for it.
    async fn end_former(&self, out: usize) -> Result<(), ApiError> {
        let authority = Arc::clone(&self.enrollment()?.authority);
        done(self.readers.beside(move || authority.retire().map(drop)).await)?;
        self.present();
        tracing::warn!(out, "the former authority is no longer trusted");
        Ok(())
    }

    /// Ends the former authority where its last certificate has ended.
    pub(super) async fn end_former_in_time(&self) -> Result<(), ApiError> {
        let former = self.enrollment()?.authority.former();
        if former.is_none_or(|(_, ends)| ends > clock::date()) {
            return Ok(());
        }
        let by_time = self.read(FORMER_ENDS.into()).await?;
        let by_time = by_time.map(|bytes| parse::<Micros>(FORMER_ENDS, &bytes)).transpose()?;
        if by_time.is_none_or(|ends| ends <= self.clock.now()) {
            let _signing = self.signing.write().await;
            self.end_former(0).await?;
        }
        Ok(())
    }

    /// The last certificate of each member, by role and name.
    pub(super) async fn known(&self) -> Result<Vec<Known>, ApiError> {
        let metas = self.readers.metas(CERTIFICATE_PREFIX).await.map_err(|e| unreadable(&e))?;
        let mut known = Vec::new();
        for (key, bytes) in metas {
            let member = key.strip_prefix(CERTIFICATE_PREFIX).and_then(|key| key.split_once('/'));
            let Some((role, name)) = member else { continue };
            let Ok(role) = role.parse() else { continue };
            known.push(((role, name.to_owned()), parse(&key, &bytes)?));
        }
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(known)
    }

    /// # Errors
    /// Where there is no enrollment here.
    pub(super) fn enrollment(&self) -> Result<&Enrollment, ApiError> {
        self.enrollment.as_ref().ok_or_else(|| Reason::NoAuthority.into())
    }
}

/// Signs a member's key.
pub(super) fn sign(
    enrollment: &Enrollment,
    request: &[u8],
    (role, name): (Role, &str),
    labels: &[(String, String)],
) -> Result<Signed, ApiError> {
    let refused = |error: &dyn std::fmt::Display| {
        ApiError::from(Reason::BadCertificate { reason: Detail::of(error) })
    };
    if request.len() > REQUEST_MAX {
        let why = format!("it has {} bytes, {REQUEST_MAX} allowed", request.len());
        return Err(refused(&why));
    }
    let (authority, validity) = (&enrollment.authority, enrollment.validity);
    authority.sign(request, role, name, labels, validity).map_err(|error| refused(&error))
}

/// What remembers the certificate that a member was given.
pub(super) fn given(role: Role, name: &str, signed: &Signed) -> Result<Entry, ApiError> {
    let Validity { issued, ends } = signed.certificate.validity;
    let authority = signed.authority_hash();
    entry(role, name, &Given { issued, ends, authority })
}

fn entry(role: Role, name: &str, given: &Given) -> Result<Entry, ApiError> {
    meta(format!("{CERTIFICATE_PREFIX}{role}/{name}"), given)
}

/// Of what was done with the authority's file.
fn done(result: Option<Result<(), NetError>>) -> Result<(), ApiError> {
    let Some(result) = result else { return Err(Reason::Stopping.into()) };
    result.map_err(|error| {
        let reason = Detail::of(&error);
        match error {
            NetError::Certificate { .. } => Reason::AuthorityInUse { reason }.into(),
            _ => Reason::AuthorityFailed { reason }.into(),
        }
    })
}
