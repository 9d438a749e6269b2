//! The blobs that jobs may name. A blob is of the tenant that has given it: another cannot name it by
//! its digest alone, nor learn that it is here, and each who gives it has it counted. Its bytes lie
//! once in the store, where modules lie. Not for how they are taken: that is the modules' way.

use std::collections::BTreeSet;

use bytes::Bytes;
use wasmgrid_proto::{BLOB_BYTES_MAX, Digest, Micros, Reason, wire::ApiError};
use wasmgrid_store::Entry;

use super::payers::Payers;
use crate::error::ServerError;

/// The keys under which the store has whose blobs there are; behind it stand digest and tenant.
pub(crate) const BLOB_PREFIX: &str = "blob/";

/// Blobs of one tenant: each takes memory here beside its bytes.
const BLOBS_OF_ONE: usize = 10_000;

/// What the server knows of blobs.
#[derive(Debug, Default)]
pub struct Blobs {
    /// Those that have given each.
    givers: Payers,
}

impl Blobs {
    /// With those the store has, under keys that begin with `BLOB_PREFIX`.
    ///
    /// # Errors
    /// [`ServerError::Meta`], if one of them is not what was written.
    pub fn new(metas: Vec<(String, Bytes)>, now: Micros) -> Result<Self, ServerError> {
        let mut givers = Payers::default();
        for (key, bytes) in metas {
            let read = |reason| ServerError::Meta { key: key.clone(), reason };
            let size_bytes = postcard::from_bytes(&bytes).map_err(read)?;
            let named = key.strip_prefix(BLOB_PREFIX).and_then(|rest| rest.split_once('/'));
            let place = named.and_then(|(digest, tenant)| Some((digest.parse().ok()?, tenant)));
            let (digest, tenant): (Digest, _) =
                place.ok_or_else(|| read(postcard::Error::SerdeDeCustom))?;
            givers.add(tenant, digest, size_bytes, now);
        }
        Ok(Self { givers })
    }

    /// True where the tenant has given the blob; then it stays for a while.
    pub(super) fn has(&mut self, tenant: &str, digest: Digest, now: Micros) -> bool {
        self.givers.touch(tenant, digest, now)
    }

    /// True where somebody has given it.
    pub(super) fn is_anybodys(&self, digest: Digest) -> bool {
        self.givers.count_of(digest) > 0
    }

    /// True where nobody else has given it.
    pub(super) fn is_one_tenants(&self, digest: Digest) -> bool {
        self.givers.count_of(digest) == 1
    }

    /// What the blobs of a tenant take.
    pub(super) fn bytes_of(&self, tenant: &str) -> u64 {
        self.givers.total(tenant).bytes
    }

    /// Who has blobs here.
    pub(super) fn owners(&self) -> impl Iterator<Item = &String> {
        self.givers.tenants()
    }

    /// Refuses a blob that cannot be one, or that is one too many.
    pub(super) fn check(&self, tenant: &str, size_bytes: u64) -> Result<(), ApiError> {
        if size_bytes == 0 || size_bytes > BLOB_BYTES_MAX {
            let (bytes, allowed) = (size_bytes, BLOB_BYTES_MAX);
            return Err(Reason::BlobSize { bytes, allowed }.into());
        }
        if self.givers.total(tenant).count >= BLOBS_OF_ONE {
            let (tenant, allowed) = (tenant.into(), BLOBS_OF_ONE as u64);
            return Err(Reason::TooManyBlobs { tenant, allowed }.into());
        }
        Ok(())
    }

    /// It is durable.
    pub(super) fn kept(&mut self, tenant: &str, digest: Digest, size_bytes: u64, now: Micros) {
        self.givers.add(tenant, digest, size_bytes, now);
    }

    /// Those that no job of their tenant's names, and that it did not ask for lately.
    pub(super) fn unused(
        &self,
        named: &BTreeSet<(&str, Digest)>,
        now: Micros,
    ) -> Vec<(Digest, String)> {
        self.givers.unused(named, now)
    }

    /// It is no longer this tenant's.
    pub(super) fn forget(&mut self, place: &(Digest, String)) {
        self.givers.forget(place);
    }
}

/// The place in the store that says whose a blob is.
pub(crate) fn meta(digest: Digest, tenant: &str, size_bytes: Option<u64>) -> Entry {
    // A number can be written down.
    let value = size_bytes.map(|size| postcard::to_allocvec(&size).unwrap_or_default().into());
    Entry::Meta { key: format!("{BLOB_PREFIX}{digest}/{tenant}"), value }
}

#[cfg(test)]
mod tests {
    use super::{super::payers::UNUSED_AFTER, *};

    fn digest(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    #[test]
    fn a_blob_is_of_those_who_gave_it_and_of_nobody_else() {
        let mut blobs = Blobs::new(Vec::new(), Micros(0)).expect("none");
        blobs.kept("ann", digest("a"), 3, Micros(0));
        blobs.kept("bob", digest("a"), 3, Micros(0));
        blobs.kept("bob", digest("b"), 4, Micros(0));
        assert!(blobs.has("ann", digest("a"), Micros(0)));
        assert!(!blobs.has("ann", digest("b"), Micros(0)), "its digest is not enough");
        assert_eq!((blobs.bytes_of("ann"), blobs.bytes_of("bob")), (3, 7), "each has it counted");
        assert!(!blobs.is_one_tenants(digest("a")) && blobs.is_one_tenants(digest("b")));
        blobs.forget(&(digest("a"), "ann".into()));
        assert!(blobs.is_one_tenants(digest("a")), "of another");
        blobs.forget(&(digest("a"), "bob".into()));
        assert!(!blobs.is_anybodys(digest("a")) && blobs.is_anybodys(digest("b")));
    }

    #[test]
    fn a_blob_goes_an_hour_after_its_tenant_last_asked_unless_a_job_of_it_names_it() {
        let later = Micros(0).after(UNUSED_AFTER);
        let mut blobs = Blobs::new(Vec::new(), Micros(0)).expect("none");
        for tenant in ["ann", "bob"] {
            blobs.kept(tenant, digest("a"), 3, Micros(0));
        }
        assert_eq!(blobs.unused(&BTreeSet::new(), Micros(later.0 - 1)), []);
        let named = BTreeSet::from([("ann", digest("a"))]);
        assert_eq!(blobs.unused(&named, later), [(digest("a"), "bob".to_owned())]);
        assert!(blobs.has("bob", digest("a"), later));
        assert_eq!(blobs.unused(&named, later), []);
    }

    #[test]
    fn what_was_written_is_read_back_whatever_the_tenant_is_called() {
        let entry = meta(digest("a"), "operator/ann", Some(70_000));
        let Entry::Meta { key, value: Some(value) } = entry else { panic!("no value") };
        let mut blobs = Blobs::new(vec![(key, value)], Micros(0)).expect("readable");
        assert!(blobs.has("operator/ann", digest("a"), Micros(0)));
        assert_eq!(blobs.bytes_of("operator/ann"), 70_000);
        let broken = vec![("blob/x".to_owned(), Bytes::from_static(&[1]))];
        assert!(Blobs::new(broken, Micros(0)).is_err());
    }

    #[test]
    fn a_blob_has_a_size_and_a_tenant_has_not_too_many() {
        let mut blobs = Blobs::new(Vec::new(), Micros(0)).expect("none");
        let size = |bytes| Err(Reason::BlobSize { bytes, allowed: BLOB_BYTES_MAX }.into());
        for bytes in [0, BLOB_BYTES_MAX + 1] {
            assert_eq!(blobs.check("ann", bytes), size(bytes));
        }
        for number in 0..BLOBS_OF_ONE {
            blobs.kept("ann", digest(&number.to_string()), 1, Micros(0));
        }
        let allowed = BLOBS_OF_ONE as u64;
        let many = Reason::TooManyBlobs { tenant: "ann".into(), allowed };
        assert_eq!(blobs.check("ann", 1), Err(many.into()));
        assert_eq!(blobs.check("bob", BLOB_BYTES_MAX), Ok(()));
    }
}
