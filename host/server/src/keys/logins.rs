//! The codes with which people log in. They are in no store: a scheduler that starts anew knows none,
//! and whoever asks for another one has it at once.

use std::collections::BTreeMap;

use wasmgrid_proto::{Caller, Digest, Micros, Millis};

use super::key::Maker;
use crate::members::MemberKey;

/// For how long a code is good: a browser opens in less.
const LOGIN_LIFE: Millis = Millis(2 * 60 * 1_000);

/// Codes at a time of one member. The oldest ends for a new one.
const OF_ONE: usize = 8;

/// Codes at a time in all.
const IN_ALL: usize = 1_000;

/// The codes that were not used, by their hashes: how long the search takes tells nothing of a code.
#[derive(Debug, Default)]
pub(super) struct Logins(BTreeMap<Digest, Login>);

#[derive(Debug)]
struct Login {
    of: Maker,
    /// The date from which on it is not good.
    expires: Micros,
    /// The same by the grid's own time.
    until: Micros,
}

impl Logins {
    /// Adds a code of a caller. Says until when it is good.
    pub(super) fn add(
        &mut self,
        code: Digest,
        by: &Caller,
        (now, date): (Micros, Micros),
    ) -> Micros {
        self.0.retain(|_, login| login.until > now);
        let of = Maker::of(by);
        while self.0.values().filter(|login| login.of == of).count() >= OF_ONE {
            self.drop_oldest(|login| login.of == of);
        }
        while self.0.len() >= IN_ALL {
            self.drop_oldest(|_| true);
        }
        let (expires, until) = (date.after(LOGIN_LIFE), now.after(LOGIN_LIFE));
        self.0.insert(code, Login { of, expires, until });
        expires
    }

    fn drop_oldest(&mut self, of: impl Fn(&Login) -> bool) {
        let found = self.0.iter().filter(|(_, login)| of(login));
        let oldest = found.min_by_key(|(_, login)| login.until).map(|(code, _)| *code);
        if let Some(code) = oldest {
            self.0.remove(&code);
        }
    }

    /// Who has asked for a code, if that is good; it never is again.
    pub(super) fn take(&mut self, code: &Digest, (now, date): (Micros, Micros)) -> Option<Maker> {
        let login = self.0.remove(code)?;
        (login.until > now && login.expires > date).then_some(login.of)
    }

    /// Drops the codes of a member.
    pub(super) fn forget(&mut self, (role, name): &MemberKey) {
        self.0.retain(|_, login| login.of.role != *role || *login.of.name != **name);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
