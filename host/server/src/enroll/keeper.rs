//! What is done about certificates as time passes: the scheduler's own is made anew, a former
//! authority ends, and people are warned of what ends soon.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use wasmgrid_net::{Authority, Presented, Validity};
use wasmgrid_proto::{
    Micros, Millis,
    wire::{ApiError, Role},
};

use super::{Enroller, Notice};
use crate::{clock, config::Enrollment};

/// The longest time between two looks at the date, which a clock that is set may move at once.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The scheduler's own certificate is good for so many lives of members' ones, and made anew in the
/// first of them. Its key never leaves the process, and who could read it has the authority's too;
/// a member whose clock is ahead trusts it nonetheless.
const LIVES: u32 = 2;

/// How long before its end the authority is warned of: what it signs then has a shorter life, and
/// members need time to move to another one. It is for people to replace it: a clock that is wrong
/// for a while must not.
const WARN_OF_AUTHORITY: Millis = Millis(365 * 24 * 60 * 60 * 1_000);

/// After so long it is warned of again.
const WARN_AGAIN: Millis = Millis(30 * 24 * 60 * 60 * 1_000);

/// A listener, and for how long what it presents is not made anew.
pub(super) struct Shown {
    listener: Weak<Presented>,
    until: Validity,
}

/// Who was warned of: until when their certificates are good.
type Warned = BTreeSet<(Role, String, Micros)>;

impl Enroller {
    /// Makes a listener's certificates from now on, as long as it is there.
    pub(crate) fn add_listener(&self, listener: &Arc<Presented>) {
        if self.enrollment.is_none() {
            return;
        }
        let until = Validity { issued: Micros(0), ends: Micros(0) };
        let shown = Shown { listener: Arc::downgrade(listener), until };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
        self.present();
    }

    /// Makes anew what all listeners present.
    pub(super) fn present(&self) {
        self.present_where(|_| true);
    }

    fn present_where(&self, is_due: impl Fn(&Validity) -> bool) {
        let Some(enrollment) = &self.enrollment else { return };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain_mut(|shown| {
            let Some(listener) = shown.listener.upgrade() else { return false };
            if is_due(&shown.until) {
                match show(enrollment, &listener) {
                    Ok(until) => shown.until = until,
                    Err(error) => tracing::error!(%error, "failed to renew the scheduler's \
                         certificate"),
                }
            }
            true
        });
    }

    /// Looks at the date again and again.
    pub(crate) async fn keep(self: Arc<Self>) {
        let Some(enrollment) = &self.enrollment else { return };
        let look = (enrollment.validity / 20).clamp(LOOK_AGAIN, LOOK_EVERY);
        let (mut warned, mut warn_at) = (Warned::default(), Micros(0));
        loop {
            let date = clock::date();
            // A clock that was set back makes what was made before it not valid yet.
            self.present_where(|until| until.renew_at() <= date || until.issued > date);
            if let Err(error) = self.end_former_in_time().await {
                tracing::error!(%error, "the former authority is still trusted");
            }
            let ends = enrollment.authority.ends();
            if ends.since(date) < WARN_OF_AUTHORITY && date >= warn_at {
                warn_at = date.after(WARN_AGAIN);
                tracing::warn!(
                    %ends,
                    "the grid's authority expires, and every certificate with it; an operator must \
                     replace it"
                );
            }
            if let Err(error) = self.warn(&mut warned).await {
                tracing::debug!(%error, "failed to check certificates");
            }
            tokio::time::sleep(look).await;
        }
    }

    /// Tells of each certificate that ends soon, once; and its holder, whose clock may be wrong.
    async fn warn(&self, warned: &mut Warned) -> Result<(), ApiError> {
        let date = clock::date();
        let mut names = BTreeSet::new();
        for ((role, name), given) in self.known().await? {
            let ends = given.ends;
            let soon = Validity { issued: given.issued, ends }.warn_at() <= date && date < ends;
            if soon && warned.insert((role, name.clone(), ends)) {
                tracing::warn!(
                    %role,
                    name,
                    %ends,
                    "a certificate expires soon and was not renewed; its holder renews it when it \
                     next connects"
                );
                names.extend((role == Role::Worker).then_some(name));
            }
        }
        warned.retain(|(.., ends)| *ends > date);
        if !names.is_empty() {
            // The driver is gone only when the server ends.
            let _ = self.notices.send(Notice::RenewSoon { names: Some(names) }).await;
        }
        Ok(())
    }
}

/// Gives a listener a new certificate, and says until when that is one.
fn show(enrollment: &Enrollment, listener: &Presented) -> Result<Validity, wasmgrid_net::NetError> {
    let (authority, life): (&Authority, _) = (&enrollment.authority, enrollment.validity);
    let name = listener.identity().name();
    let credentials = authority.issue(Role::Scheduler, name, life.saturating_mul(LIVES))?;
    listener.replace(&credentials)?;
    let issued = credentials.validity().issued;
    let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    Ok(Validity { issued, ends: issued.after(Millis(life)) })
}
