//! What members and the scheduler say about certificates: how they are renewed, and whose authority
//! signed them.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    Micros,
    wire::{Body, Role, bounded},
};

/// A member wants a new certificate for what the one says that its link was authenticated with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// A certificate signing request in DER. Only its public key is used.
    pub csr: Vec<u8>,
}

/// A member's new certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// In DER.
    pub certificate: Vec<u8>,
    /// The certificate of the authority that signed it, in DER: whom the member trusts from then on.
    pub authority: Vec<u8>,
}

/// A member should renew its certificate soon: the grid has another authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewSoon {}

/// What operators ask of the grid's authority, and others of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorityRequest {
    /// Which authority there is, and certificates by role and name, as many as fit one answer; of a
    /// client its own and those of workers.
    Certificates {
        /// Only those behind this one; `None` from the first on.
        after: Option<(Role, String)>,
    },
    /// Make another authority, and trust both until the former one is retired; operators only.
    Replace,
    /// Trust the former authority no more; operators only. Refused while members have certificates
    /// of it, unless it is forced.
    Retire {
        /// True to do it although they are then out.
        force: bool,
    },
}

/// The authority of a grid, and certificates that were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityStatus {
    /// BLAKE3 of its certificate.
    pub fingerprint: [u8; 32],
    /// When it ends.
    pub ends: Micros,
    /// The one before it, while that is trusted too.
    pub former: Option<FormerAuthority>,
    /// The last certificate of each member.
    #[serde(deserialize_with = "bounded")]
    pub certificates: Vec<MemberCertificate>,
    /// How many there are behind the last of these.
    pub more: u64,
}

/// An authority that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerAuthority {
    /// BLAKE3 of its certificate.
    pub fingerprint: [u8; 32],
    /// When the last certificate of it ends, and it with that.
    pub ends: Micros,
}

/// The last certificate that a member was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCertificate {
    /// What the member is.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// When the certificate was made.
    pub issued: Micros,
    /// When it ends.
    pub ends: Micros,
    /// Which authority signed it.
    pub signed_by: SignedBy,
}

/// An authority, as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignedBy {
    /// The one that signs.
    Current,
    /// The one before it, which is trusted too.
    Former,
    /// One that is trusted no more.
    Retired,
}

impl Body for Renew {}
impl Body for Renewed {}
impl Body for RenewSoon {}
