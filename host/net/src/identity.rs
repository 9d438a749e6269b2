//! Who a peer is: the one SPIFFE id in its certificate, `spiffe://GRID/ROLE/NAME`.

use std::{fmt, str::FromStr};

use wasmgrid_proto::{
    Digest,
    text::Name,
    wire::{ActFor, Hello, PROTOCOL_MINOR, Role},
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::{
    error::{IdentityError, NAME_MAX},
    pki::{Certificate, labels},
    release::{self, Release},
};

/// A member of a grid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    grid: String,
    role: Role,
    name: String,
}

/// For whom there is a budget, over all links: a member; or what a gateway does for one tenant in one
/// role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    identity: Identity,
    acts_for: Option<(Role, Name)>,
}

impl Account {
    /// The member itself.
    #[must_use]
    pub fn own(identity: Identity) -> Self {
        Self { identity, acts_for: None }
    }
}

/// The other end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is, by its certificate.
    pub identity: Identity,
    /// The labels that its certificate has, sorted: an operator vouched for them.
    pub labels: Vec<(String, String)>,
    /// What else its certificate says; `None` of a peer that has shown none.
    pub certificate: Option<Certificate>,
    /// Of the key that its certificate is for; none inside one process, where there is none.
    pub key: Option<Digest>,
    /// Where it is: `IP:PORT`, or `in process`.
    pub address: String,
    /// What it said when the link opened: which protocol it speaks, and its release.
    pub hello: Hello,
    /// The minor version of the protocol that the link speaks.
    pub minor: u16,
}

impl Identity {
    /// The member `name` with `role` in `grid`.
    ///
    /// # Errors
    /// [`IdentityError::Name`], where a name holds what an identity cannot.
    pub fn new(grid: &str, role: Role, name: &str) -> Result<Self, IdentityError> {
        check_name("grid", grid)?;
        check_name("member", name)?;
        Ok(Self { grid: grid.to_owned(), role, name: name.to_owned() })
    }

    /// The identity a certificate in DER gives its holder. Says nothing of who signed it.
    ///
    /// # Errors
    /// [`IdentityError`], where it has none, several, or another kind.
    pub fn from_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let unreadable =
            |error: &dyn fmt::Display| IdentityError::Unreadable { reason: error.to_string() };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| unreadable(&e))?;
        let names = certificate.subject_alternative_name().map_err(|e| unreadable(&e))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        match uris.as_slice() {
            [uri] => uri.parse(),
            uris => Err(IdentityError::Count { found: uris.len() }),
        }
    }

    /// The grid's name.
    #[must_use]
    pub fn grid(&self) -> &str {
        &self.grid
    }

    /// What it may do.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its name, unique among those of its role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.grid, self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form { found: text.to_owned() };
        let mut parts = text.strip_prefix("spiffe://").ok_or_else(form)?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(grid), Some(role), Some(name), None) => Self::new(grid, role.parse()?, name),
            _ => Err(form()),
        }
    }
}

impl Peer {
    /// Who has this certificate, which the grid's authority has signed.
    ///
    /// # Errors
    /// [`IdentityError`], where it is no member's.
    pub(crate) fn of_certificate(der: &[u8], address: String) -> Result<Self, IdentityError> {
        let (identity, labels) = (Identity::from_certificate(der)?, labels::of_certificate(der)?);
        let (certificate, key) = (Some(Certificate::read(der)?), Some(key_of(der)?));
        let (hello, minor) = (release::ours(), PROTOCOL_MINOR);
        Ok(Self { identity, labels, certificate, key, address, hello, minor })
    }

    /// Somebody who shows no certificate.
    pub(crate) fn without_certificate(identity: Identity, address: String) -> Self {
        let (labels, hello, minor) = (Vec::new(), release::ours(), PROTOCOL_MINOR);
        Self { identity, labels, certificate: None, key: None, address, hello, minor }
    }

    /// The same, which has said this, on a link that speaks this minor version.
    pub(crate) fn saying(self, hello: Hello, minor: u16) -> Self {
        Self { hello, minor, ..self }
    }

    /// For whom it acts on the link, if it is a gateway that acts for somebody.
    #[must_use]
    pub fn act_for(&self) -> Option<ActFor> {
        self.hello.act_for()
    }

    /// True if it says that it acts for somebody, and is no gateway.
    #[must_use]
    pub fn is_impostor(&self) -> bool {
        self.identity.role != Role::Gateway && self.act_for().is_some()
    }

    /// Whose the link is among those who have budgets.
    #[must_use]
    pub fn account(&self) -> Account {
        let acts_for = self.act_for().map(|ActFor { role, tenant, .. }| (role, tenant));
        Account { identity: self.identity.clone(), acts_for }
    }

    /// Which release it is.
    #[must_use]
    pub fn release(&self) -> Release {
        Release::of(&self.hello)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.identity.role, self.identity.name, self.address)
    }
}

/// The digest of the key that a certificate (DER) is for. Says nothing of who signed it.
///
/// # Errors
/// [`IdentityError::Unreadable`].
pub fn key_of(der: &[u8]) -> Result<Digest, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| IdentityError::Unreadable { reason: error.to_string() })?;
    Ok(Digest::of(&certificate.public_key().subject_public_key.data))
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), IdentityError> {
    let fits = name.len() <= NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits { Ok(()) } else { Err(IdentityError::Name { what, found: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let identity = Identity::new("home.lan", Role::Worker, "node-7_a").unwrap();
        assert_eq!(identity.to_string(), "spiffe://home.lan/worker/node-7_a");
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn what_is_not_exactly_an_identity_is_refused() {
        for text in [
            "",
            "https://home/worker/a",
            "spiffe://home/worker",
            "spiffe://home/worker/a/b",
            "spiffe://home/worker/",
            "spiffe:///worker/a",
            "spiffe://home/Worker/a",
            "spiffe://home/root/a",
            "spiffe://home/worker/..",
            "spiffe://home/worker/a%20b",
            "spiffe://home/worker/a?b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
        assert!(Identity::new("home", Role::Worker, &"a".repeat(64)).is_err());
        assert!(Identity::from_certificate(b"no certificate").is_err());
    }
}
