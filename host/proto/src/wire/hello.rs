//! How a link begins: each side says which minor versions of the protocol it speaks, and what it can
//! do beside.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{ActFor, ActForError};
use crate::{Extensions, UnknownExtension};

/// The protocol's major version, which is in the ALPN: sides of different ones make no link.
pub const PROTOCOL_MAJOR: u16 = 1;

/// The newest minor version that this release speaks.
pub const PROTOCOL_MINOR: u16 = 3;

/// The oldest minor version that this release speaks.
pub const PROTOCOL_MINOR_LEAST: u16 = 0;

/// Bytes of an encoded [`Hello`] at most: its extensions, and some.
pub const HELLO_MAX: usize = 8 << 10;

/// Bytes of a release's name at most.
const RELEASE_BYTES: usize = 64;

/// What each side says first on a link. The link speaks the newest minor version that both sides
/// speak ([`Hello::agree`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which minor versions it speaks.
    pub minors: Minors,
    /// What it can do beside. Bits that the reader does not know are ignored.
    pub features: Features,
    /// The version of the program, for people.
    pub release: String,
    /// What later releases add.
    pub extensions: Extensions,
}

/// Minor versions of the protocol: all from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minors {
    /// The oldest.
    pub least: u16,
    /// The newest.
    pub most: u16,
}

/// What a side can do that does not follow from its minor version, as bits. None is defined yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features(pub u64);

/// Why a link does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The bytes are no hello.
    #[error("the hello cannot be read: {0}")]
    Malformed(postcard::Error),
    /// It has an extension that must not be ignored.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    /// It says that it acts for somebody for whom nobody can.
    #[error(transparent)]
    ActFor(#[from] ActForError),
}

impl Minors {
    /// Those that this release speaks.
    pub const OURS: Self = Self { least: PROTOCOL_MINOR_LEAST, most: PROTOCOL_MINOR };
}

impl fmt::Display for Minors {
    /// As people know protocols: with the major version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most } = self;
        match least == most {
            true => write!(f, "{PROTOCOL_MAJOR}.{most}"),
            false => write!(f, "{PROTOCOL_MAJOR}.{least} to {PROTOCOL_MAJOR}.{most}"),
        }
    }
}

impl Hello {
    /// What this release says; `release` is the program's version.
    #[must_use]
    pub fn new(release: &str) -> Self {
        let (release, features) = (release.into(), Features::default());
        Self { minors: Minors::OURS, features, release, extensions: Extensions::NONE }
    }

    /// The same of a gateway that acts for somebody on this link. A peer of a release that does not
    /// know this makes no link: it must not take the link for the gateway's own.
    #[must_use]
    pub fn acting_for(mut self, act_for: &ActFor) -> Self {
        // Names have an encoding; without one no peer would take the hello.
        let bytes = postcard::to_allocvec(act_for).unwrap_or_default();
        self.extensions.put(Self::ACT_FOR, true, bytes);
        self
    }

    /// For whom a gateway acts on this link; `None` of everybody else, and of a gateway on a link of
    /// its own.
    #[must_use]
    pub fn act_for(&self) -> Option<ActFor> {
        // A hello that was decoded has one that can be read.
        self.extensions.read(Self::ACT_FOR).ok().flatten()
    }

    /// The number of the extension that says for whom a gateway acts.
    const ACT_FOR: u16 = 1;

    /// The minor version that the link speaks if the other side says `theirs`; `None` if there is
    /// none that both sides speak. Both sides come to the same.
    #[must_use]
    pub fn agree(&self, theirs: &Self) -> Option<u16> {
        let most = self.minors.most.min(theirs.minors.most);
        (most >= self.minors.least.max(theirs.minors.least)).then_some(most)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// As the encoder says.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// What a peer says, of which the release's name is shortened to what can be printed.
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let hello: Self = super::from_bytes(bytes).map_err(HelloError::Malformed)?;
        hello.extensions.check("the hello", &[Self::ACT_FOR])?;
        let act_for = hello.extensions.read::<ActFor>(Self::ACT_FOR);
        act_for.map_err(HelloError::Malformed)?.map_or(Ok(()), |act_for| act_for.check())?;
        let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
        let release = hello.release.chars().filter(printable).take(RELEASE_BYTES).collect();
        Ok(Self { release, ..hello })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Extension, wire::Role};

    fn speaking(least: u16, most: u16) -> Hello {
        Hello { minors: Minors { least, most }, ..Hello::new("1.2.3") }
    }

    #[test]
    fn a_link_speaks_the_newest_minor_that_both_sides_speak() {
        for (ours, theirs, expected) in [
            ((0, 1), (0, 1), Some(1)),
            ((0, 1), (0, 0), Some(0)),
            ((0, 1), (1, 7), Some(1)),
            ((2, 3), (0, 1), None),
            ((0, 1), (2, 2), None),
            ((0, 9), (3, 5), Some(5)),
        ] {
            let (ours, theirs) = (speaking(ours.0, ours.1), speaking(theirs.0, theirs.1));
            assert_eq!(ours.agree(&theirs), expected);
            assert_eq!(theirs.agree(&ours), expected);
        }
    }

    #[test]
    fn a_release_is_short_and_can_be_printed() {
        let said = |release: &str| {
            let hello = Hello::new(release);
            Hello::decode(&hello.encode().expect("encodes")).expect("decodes").release
        };
        assert_eq!(said("1.2.3 beta"), "1.2.3 beta");
        assert_eq!(said("1\x1b[2J\n2"), "1[2J2");
        assert_eq!(said(&"x".repeat(1_000)).len(), RELEASE_BYTES);
    }

    #[test]
    fn an_unknown_critical_extension_of_a_hello_is_refused_and_another_ignored() {
        let with = |critical| {
            let list = vec![Extension { id: 7, critical, bytes: vec![1, 2] }];
            let extensions = Extensions::new(list).expect("one");
            Hello::decode(&Hello { extensions, ..Hello::new("1.2.3") }.encode().expect("encodes"))
        };
        assert!(with(false).is_ok());
        let refused = UnknownExtension { what: "the hello", id: 7 };
        assert_eq!(with(true), Err(HelloError::Extension(refused)));
    }

    fn acting(tenant: &str, role: Role, name: &str) -> Hello {
        let act_for = ActFor { tenant: tenant.into(), role, name: name.into() };
        Hello::new("1.2.3").acting_for(&act_for)
    }

    fn read(hello: &Hello) -> Result<Hello, HelloError> {
        Hello::decode(&hello.encode().expect("encodes"))
    }

    #[test]
    fn a_hello_says_for_whom_a_gateway_acts_beside_other_extensions() {
        assert_eq!(Hello::new("1.2.3").act_for(), None);
        for id in [0, 7] {
            let list = vec![Extension { id, critical: false, bytes: vec![1] }];
            let extensions = Extensions::new(list).expect("one");
            let hello = Hello { extensions, ..Hello::new("1.2.3") };
            let ada = ActFor { tenant: "ada".into(), role: Role::Client, name: "ci".into() };
            let bob = ActFor { tenant: "bob".into(), ..ada.clone() };
            let hello = hello.acting_for(&bob).acting_for(&ada);
            assert_eq!(read(&hello).as_ref(), Ok(&hello));
            assert_eq!(hello.act_for(), Some(ada));
            assert_eq!(hello.extensions.iter().count(), 2);
        }
    }

    #[test]
    fn a_release_of_before_refuses_a_link_on_which_a_gateway_acts_by_its_number() {
        let hello = acting("ada", Role::Client, "ci");
        let refused = UnknownExtension { what: "the hello", id: 1 };
        assert_eq!(hello.extensions.check("the hello", &[]), Err(refused));
    }

    #[test]
    fn nobody_acts_for_who_cannot_ask_or_has_no_name() {
        for role in [Role::Scheduler, Role::Worker, Role::Gateway] {
            let refused = read(&acting("ada", role, "ci"));
            assert_eq!(refused, Err(HelloError::ActFor(ActForError::Role(role))));
        }
        for (tenant, name, what) in [
            ("", "ci", "tenant"),
            ("ada", "", "key"),
            ("a\nb", "ci", "tenant"),
            ("ada", "\x1b", "key"),
        ] {
            let refused = read(&acting(tenant, Role::Client, name));
            assert_eq!(refused, Err(HelloError::ActFor(ActForError::Name { what })));
        }
        let mut hello = Hello::new("1.2.3");
        hello.extensions.put(Hello::ACT_FOR, true, vec![0xff]);
        assert!(matches!(read(&hello), Err(HelloError::Malformed(_))));
    }
}
