//! Why there is no link, and what would help.

use wasmgrid_proto::wire::{ApiError, UnknownRole};

use crate::{release::Release, token::TokenError};

/// The longest name of a grid or of a member: what a DNS label allows.
pub(crate) const NAME_MAX: usize = 63;

/// Why a text or a certificate is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A name that cannot stand in an identity.
    #[error(
        "invalid name {found:?} for a {what}: expected 1 to {NAME_MAX} letters, digits, `.`, `_` \
         or `-`, starting with a letter or digit"
    )]
    Name {
        /// Whose name.
        what: &'static str,
        /// What was there.
        found: String,
    },
    /// A role that there is not.
    #[error("the identity's role is unknown")]
    Role(#[from] UnknownRole),
    /// Not `spiffe://GRID/ROLE/NAME`.
    #[error("{found:?} is not an identity of the form spiffe://GRID/ROLE/NAME")]
    Form {
        /// What was there.
        found: String,
    },
    /// The certificate cannot be read.
    #[error("the certificate is not readable: {reason}")]
    Unreadable {
        /// What the parser says.
        reason: String,
    },
    /// A certificate must say who its holder is, once.
    #[error("the certificate has {found} URI names; expected exactly one identity")]
    Count {
        /// How many there are.
        found: usize,
    },
}

/// Why a link, a listener or an identity could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// No address to dial was given.
    #[error("no scheduler address is known; expected HOST:PORT")]
    NoAddress,
    /// The address names no host.
    #[error(
        "no address is known for {address:?}: {reason}; expected HOST:PORT with a host that is known here, \
         or srv:_wasmgrid._udp.DOMAIN with a service that DNS lists"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody answers there.
    #[error(
        "no scheduler answers at {address}: {reason}; is it running, and does UDP reach its port?"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What the transport says.
        reason: String,
    },
    /// What answers speaks no version of the protocol that is known here.
    #[error(
        "the scheduler at {address} speaks another version of the protocol than this side \
         ({ours}); run the same release on both sides",
        ours = Release::ours()
    )]
    Version {
        /// Where.
        address: String,
    },
    /// There is no minor version of the protocol that both sides speak, or one side says something that
    /// the other does not know and must not ignore.
    #[error("no link to the scheduler at {address}: {reason}")]
    Minor {
        /// Where.
        address: String,
        /// Which versions both sides speak, and what would help.
        reason: String,
    },
    /// The peer's certificate is not good.
    #[error(
        "the certificate of the peer at {address} is not accepted: {problem}{}",
        theirs(problem)
    )]
    BadCertificate {
        /// Where.
        address: String,
        /// What is wrong with it.
        problem: CertificateProblem,
    },
    /// The peer does not take this side's certificate.
    #[error(
        "the scheduler at {address} does not accept this certificate: {problem}{}",
        ours(problem)
    )]
    Refused {
        /// Where.
        address: String,
        /// What is wrong with it.
        problem: CertificateProblem,
    },
    /// A certificate's role does not allow this link.
    #[error(
        "insufficient permissions: this needs the role {wanted}, and the certificate has {found}; \
         choose other credentials"
    )]
    WrongRole {
        /// Its role.
        found: String,
        /// The role that could.
        wanted: String,
    },
    /// The scheduler takes no more links for now.
    #[error("the scheduler at {address} is busy: {reason}; try again later")]
    Busy {
        /// Where.
        address: String,
        /// Its words.
        reason: String,
    },
    /// The scheduler does not let this machine join.
    #[error("the scheduler at {address} denied the request: {error}")]
    Denied {
        /// Where.
        address: String,
        /// Why.
        error: ApiError,
    },
    /// None of several addresses has taken the link.
    #[error("{}", of_several(failures))]
    Several {
        /// What went wrong at each of them; at least two.
        failures: Vec<NetError>,
    },
    /// A name cannot stand in an identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A text is no join token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file of keys or certificates cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why, and what would help.
        reason: String,
    },
    /// A certificate or signing request cannot be made or read.
    #[error("failed to create the certificate: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// A local socket cannot be had.
    #[error("cannot use the UDP address {address}: {reason}")]
    Socket {
        /// Which.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// Keys and certificates do not fit together.
    #[error("invalid credentials: {reason}")]
    Credentials {
        /// Why.
        reason: String,
    },
}

impl NetError {
    /// The error of a dial whose addresses have all failed, each for its reason.
    pub(crate) fn of_all(mut failures: Vec<Self>) -> Self {
        match failures.pop() {
            None => Self::NoAddress,
            Some(only) if failures.is_empty() => only,
            Some(last) => {
                failures.push(last);
                Self::Several { failures }
            }
        }
    }

    /// What went wrong at each address; itself, if there was one.
    #[must_use]
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Several { failures } => failures,
            one => std::slice::from_ref(one),
        }
    }

    /// What says most of why there is no link: what a scheduler has answered at one address, rather
    /// than the silence of others.
    #[must_use]
    pub fn telling(&self) -> &Self {
        let is_answer = |error: &&Self| {
            !matches!(error, Self::NoAddress | Self::Address { .. } | Self::Unreachable { .. })
        };
        let each = self.each();
        each.iter().find(is_answer).or(each.first()).unwrap_or(self)
    }
}

/// What went wrong at several addresses, with the advice that they share said once.
fn of_several(failures: &[NetError]) -> String {
    let silent = |error: &NetError| match error {
        NetError::Unreachable { address, reason } => Some(format!("{address}: {reason}")),
        _ => None,
    };
    let count = failures.len();
    match failures.iter().map(silent).collect::<Option<Vec<_>>>() {
        Some(silent) => format!(
            "no scheduler answers at any of {count} addresses; {}; is it running, and does UDP reach \
             its port?",
            silent.join("; ")
        ),
        None => {
            let all: Vec<_> = failures.iter().map(ToString::to_string).collect();
            format!("there is no link at any of {count} addresses; {}", all.join("; "))
        }
    }
}

/// What helps where a member was away for so long that its authority is trusted no more.
const REPLACED: &str = " If the grid's authority was replaced and retired meanwhile, join again with a new token, which \
     keeps the name";

/// What helps where a member's own certificate is not good.
fn ours(problem: &CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::WrongAuthority => REPLACED,
        CertificateProblem::Expired => {
            "; if the clocks of both machines are right, join again with a new token, which keeps \
             the name"
        }
        _ => "",
    }
}

/// What helps where the scheduler's certificate is not good.
fn theirs(problem: &CertificateProblem) -> &'static str {
    match problem {
        CertificateProblem::WrongAuthority => REPLACED,
        CertificateProblem::Expired => {
            " by this machine's clock, and a scheduler renews it while it runs: check the clocks of \
             both machines"
        }
        _ => "",
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// There is none.
    #[error("there is no certificate; join the grid with a token first")]
    Missing,
    /// Another authority signed it.
    #[error("it was not signed by this grid's authority; is this the grid it was made for?")]
    WrongAuthority,
    /// It is too old.
    #[error("it has expired")]
    Expired,
    /// It is too young.
    #[error("it is not valid yet; check the clocks of both machines")]
    NotYetValid,
    /// Its holder belongs to another grid.
    #[error("it belongs to the grid {found:?}, not {wanted:?}")]
    WrongGrid {
        /// Its grid.
        found: String,
        /// This grid.
        wanted: String,
    },
    /// Its holder may not do this.
    #[error("its role is {found}, not {wanted}")]
    WrongRole {
        /// Its role.
        found: String,
        /// The role that could.
        wanted: String,
    },
    /// It does not say who its holder is.
    #[error("{0}")]
    Identity(IdentityError),
    /// Its authority is not the one that the token names.
    #[error(
        "its authority is not the one that the token names: the token is another grid's, or of an \
         authority that was replaced and retired"
    )]
    WrongToken,
    /// An operator took its holder out of the grid.
    #[error("{0}")]
    Removed(String),
    /// The handshake ended with another alert of TLS.
    #[error("the handshake failed with TLS alert {0}")]
    Alert(u8),
    /// Something else.
    #[error("{0}")]
    Other(String),
}
