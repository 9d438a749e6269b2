//! The grid's own certificate authority, and the one before it while both are trusted.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use wasmgrid_proto::{
    Micros,
    wire::{Renewed, Role},
};

use super::{
    ca::{Ca, Wanted, grid_of, requested, unmade},
    credentials::{self, Credentials, Former},
    files, labels,
    validity::{Certificate, Validity},
};
use crate::{
    error::NetError,
    identity::{Identity, check_name},
};

/// One file, so that each change of it is whole or absent: the key, its certificate, and what an
/// earlier authority left.
const FILE: &str = "authority.pem";

/// What of the file is no certificate and no key.
const LASTING_LABEL: &str = "WASMGRID LASTING SECRET";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the lasting secrets of a grid's schedulers are derived for.
const LASTING: &str = "wasmgrid 2026 lasting secret of a grid's schedulers";

/// Signs the certificates of a grid's members. Its key stays in its folder.
pub struct Authority {
    grid: String,
    /// Where it is kept, once it is.
    file: OnceLock<PathBuf>,
    state: RwLock<Arc<State>>,
    /// What the lasting secrets of its schedulers come from, each by its name: they get new keys
    /// at each start, and outlive an authority that is replaced.
    lasting: [u8; blake3::OUT_LEN],
}

/// Which authority there is.
struct State {
    ca: Arc<Ca>,
    former: Option<Former>,
}

/// A certificate that was signed for a member.
#[derive(Clone, Debug)]
pub struct Signed {
    /// With its authority's.
    pub renewed: Renewed,
    /// For how long it is good.
    pub certificate: Certificate,
}

/// What a certificate says that a machine has shown to be its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognized {
    /// Who it is.
    pub identity: Identity,
    /// The labels that were vouched for, sorted.
    pub labels: Vec<(String, String)>,
    /// For how long it is good.
    pub validity: Validity,
}

impl Signed {
    /// BLAKE3 of the certificate of the authority that signed it.
    #[must_use]
    pub fn authority_hash(&self) -> [u8; 32] {
        *blake3::hash(&self.renewed.authority).as_bytes()
    }
}

impl Authority {
    /// How long the authority's own certificate is good for: ten years.
    pub const VALIDITY: Duration = Duration::from_secs(3_653 * DAY.as_secs());

    /// How long a member's certificate is good for, unless said otherwise: one year.
    pub const MEMBER_VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());

    /// Makes the authority of a new grid and writes `authority.pem` into `folder`.
    ///
    /// # Errors
    /// [`NetError::File`], where there is one already or the file cannot be written;
    /// [`NetError::Identity`], where the name cannot stand in identities.
    pub fn create(grid: &str, folder: &Path) -> Result<Self, NetError> {
        let made = Self::generate(grid)?;
        made.save(folder)?;
        Ok(made)
    }

    /// Makes the authority of a new grid, of which nothing is written yet.
    ///
    /// # Errors
    /// [`NetError::Identity`], where the name cannot stand in identities.
    pub fn generate(grid: &str) -> Result<Self, NetError> {
        check_name("grid", grid)?;
        let ca = Arc::new(Ca::create(grid, Self::VALIDITY)?);
        let lasting = blake3::derive_key(LASTING, &ca.key().serialize_der());
        Ok(Self::with(grid.to_owned(), State { ca, former: None }, lasting))
    }

    /// Writes `authority.pem` into `folder`, where later changes are kept too.
    ///
    /// # Errors
    /// [`NetError::File`], where there is an authority already or the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), NetError> {
        let file = folder.join(FILE);
        if file.exists() {
            let reason = "an authority already exists; replacing it would invalidate its \
                 certificates";
            return Err(files::file_error(&file, &reason));
        }
        files::write(&file, &self.text(&self.state()))?;
        // Where it is kept elsewhere already, that place stays.
        let _ = self.file.set(file);
        Ok(())
    }

    /// Whether there is an authority in a folder.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Reads what [`Authority::create`] wrote.
    ///
    /// # Errors
    /// [`NetError::File`] says what is missing or cannot be used.
    pub fn load(folder: &Path) -> Result<Self, NetError> {
        let file = folder.join(FILE);
        let unusable = |reason: &dyn fmt::Display| files::file_error(&file, reason);
        let text = files::read(&file)?;
        let key = files::key(&file, &text)?;
        let key = KeyPair::try_from(key.secret_der()).map_err(|error| unusable(&error))?;
        let mut certificates = files::certificates(&file, &text)?.into_iter();
        let certificate = certificates.next().ok_or_else(|| unusable(&"it has no certificate"))?;
        let grid = grid_of(&certificate).ok_or_else(|| {
            unusable(
                &"it is not the authority of a \
             grid",
            )
        })?;
        let ca = Arc::new(Ca::new(certificate, key).map_err(|error| unusable(&error))?);
        if !credentials::is_key_of(&ca.certificate, ca.key()) {
            return Err(unusable(&"its key is not the one of its first certificate"));
        }
        let former = match (certificates.next(), certificates.next()) {
            (Some(certificate), Some(bridge)) => Some(Former::new(certificate, bridge)?),
            _ => None,
        };
        let kept = files::block(LASTING_LABEL, &text);
        let kept = kept.and_then(|bytes| <[u8; blake3::OUT_LEN]>::try_from(bytes).ok());
        let lasting =
            kept.unwrap_or_else(|| blake3::derive_key(LASTING, &ca.key().serialize_der()));
        let loaded = Self::with(grid, State { ca, former }, lasting);
        let _ = loaded.file.set(file);
        Ok(loaded)
    }

    fn with(grid: String, state: State, lasting: [u8; blake3::OUT_LEN]) -> Self {
        let (file, state) = (OnceLock::new(), RwLock::new(Arc::new(state)));
        Self { grid, file, state, lasting }
    }

    /// The grid's name.
    #[must_use]
    pub fn grid(&self) -> &str {
        &self.grid
    }

    /// BLAKE3 of the authority's certificate in DER, which join tokens carry.
    #[must_use]
    pub fn ca_hash(&self) -> [u8; 32] {
        *blake3::hash(&self.state().ca.certificate).as_bytes()
    }

    /// When its certificate ends, and all that it signs with it.
    #[must_use]
    pub fn ends(&self) -> Micros {
        self.state().ca.ends
    }

    /// BLAKE3 of the certificate of the authority before it, and until when that is trusted; `None`
    /// where there is none, or it was retired.
    #[must_use]
    pub fn former(&self) -> Option<([u8; 32], Micros)> {
        let state = self.state();
        let former = state.former.as_ref()?;
        Some((*blake3::hash(&former.certificate).as_bytes(), former.ends))
    }

    /// True where the authority before it signed a certificate, or nobody that is trusted: its
    /// holder should renew it.
    #[must_use]
    pub fn is_outdated(&self, certificate: &Certificate) -> bool {
        !self.state().ca.signed(certificate)
    }

    /// Makes another authority, with a key of its own, which signs from now on. The one that was
    /// there is trusted until `until`, when the last certificate that it signed has ended: who has
    /// one of these trusts the new one by what the old one says of it.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where an earlier one is still trusted; [`NetError::File`], where
    /// it cannot be written. Nothing has changed then.
    pub fn replace(&self, until: Micros) -> Result<(), NetError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        replaceable(&state)?;
        let ca = Arc::new(Ca::create(&self.grid, Self::VALIDITY)?);
        let bridge = state.ca.vouch_for(&ca, &self.grid, until)?;
        let former = Some(Former::new(state.ca.certificate.clone(), bridge)?);
        let next = State { ca, former };
        self.keep(&next)?;
        *state = Arc::new(next);
        Ok(())
    }

    /// Whether it can be replaced now.
    ///
    /// # Errors
    /// [`NetError::Certificate`], if an earlier one is still trusted.
    pub fn check_replaceable(&self) -> Result<(), NetError> {
        replaceable(&self.state())
    }

    /// Trusts the authority before it no more; says whether there was one.
    ///
    /// # Errors
    /// [`NetError::File`], where that cannot be written. Nothing has changed then.
    pub fn retire(&self) -> Result<bool, NetError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.former.is_none() {
            return Ok(false);
        }
        let next = State { ca: Arc::clone(&state.ca), former: None };
        self.keep(&next)?;
        *state = Arc::new(next);
        Ok(true)
    }

    /// Makes a member's key and certificate here.
    ///
    /// # Errors
    /// [`NetError::Identity`], where the name cannot stand in an identity.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        validity: Duration,
    ) -> Result<Credentials, NetError> {
        let state = self.state();
        let identity = Identity::new(&self.grid, role, name)?;
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
        let wanted = Wanted { identity: &identity, labels: &[], life: validity };
        let certificate = state.ca.certify(&key, &wanted)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let made = Credentials::new(certificate, key.into(), state.ca.certificate.clone())?;
        Ok(match role {
            Role::Scheduler => {
                let of_name = *blake3::keyed_hash(&self.lasting, name.as_bytes()).as_bytes();
                made.of_scheduler(of_name, state.former.clone())
            }
            Role::Worker | Role::Client | Role::Operator | Role::Gateway => made,
        })
    }

    /// Makes a key and a certificate for HTTPS, for these names of hosts and addresses. Members take it
    /// for no identity of the grid.
    pub(crate) fn issue_https(
        &self,
        names: &[String],
        life: Duration,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), NetError> {
        let state = self.state();
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(unmade)?;
        let certificate = state.ca.certify_https(&key, names, life)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((vec![certificate, state.ca.certificate.clone()], key.into()))
    }

    /// Makes the certificate for a member that made its own key, with the labels that are
    /// vouched for where it is a worker. Of its signing request (DER) only the key is used, once the
    /// request proves that its sender has it.
    ///
    /// # Errors
    /// [`NetError::Certificate`], where the request is not one for an Ed25519 key, or the labels
    /// cannot stand in a certificate; [`NetError::Identity`], where the name cannot stand in an
    /// identity.
    pub fn sign(
        &self,
        request: &[u8],
        role: Role,
        name: &str,
        labels: &[(String, String)],
        validity: Duration,
    ) -> Result<Signed, NetError> {
        let state = self.state();
        let identity = Identity::new(&self.grid, role, name)?;
        let wanted = Wanted { identity: &identity, labels, life: validity };
        let der = state.ca.certify(&requested(request)?, &wanted)?;
        let certificate = Certificate::read(&der)?;
        let authority = state.ca.certificate.to_vec();
        Ok(Signed { renewed: Renewed { certificate: der.to_vec(), authority }, certificate })
    }

    /// Whose certificate (DER) this is, that this authority signed, or the one before it that is still
    /// trusted, for the key of a signing request (DER). It may have ended.
    ///
    /// # Errors
    /// [`NetError::Certificate`] says why it is nobody's.
    pub fn recognize(&self, certificate: &[u8], request: &[u8]) -> Result<Recognized, NetError> {
        let state = self.state();
        let certificate = CertificateDer::from(certificate.to_vec());
        let key = requested(request)?;
        if !credentials::is_key_of(&certificate, &key) {
            let reason = "the request is not made with the key of the certificate".into();
            return Err(NetError::Certificate { reason });
        }
        let mut trusted = vec![state.ca.certificate.clone()];
        trusted.extend(state.former.as_ref().map(|former| former.certificate.clone()));
        credentials::check_signed(&certificate, &trusted)?;
        Ok(Recognized {
            identity: Identity::from_certificate(&certificate)?,
            labels: labels::of_certificate(&certificate)?,
            validity: Certificate::read(&certificate)?.validity,
        })
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what it is to be, where it is kept.
    fn keep(&self, state: &State) -> Result<(), NetError> {
        self.file.get().map_or(Ok(()), |file| files::write(file, &self.text(state)))
    }

    fn text(&self, state: &State) -> String {
        let mut text = state.ca.key().serialize_pem();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&files::pem("CERTIFICATE", &state.ca.certificate));
        if let Some(former) = &state.former {
            text.push_str(&files::pem("CERTIFICATE", &former.certificate));
            text.push_str(&files::pem("CERTIFICATE", &former.bridge));
        }
        text.push_str(&files::pem(LASTING_LABEL, &self.lasting));
        text
    }
}

impl fmt::Debug for Authority {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("grid", &self.grid).finish_non_exhaustive()
    }
}
/// Fails while an earlier authority is trusted.
fn replaceable(state: &State) -> Result<(), NetError> {
    if state.former.is_none() {
        return Ok(());
    }
    let reason = "an authority that was replaced is still trusted; retire it first";
    Err(NetError::Certificate { reason: reason.into() })
}
