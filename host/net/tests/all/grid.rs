//! A grid of the tests: an authority, and a listener on a free port.

use std::{fs, net::SocketAddr, path::PathBuf};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ED25519, SanType};
use tempfile::TempDir;
use wasmgrid_net::{
    Accepted, Authority, Credentials, Endpoint, Link, Listener, ListenerConfig, Role,
};
use wasmgrid_proto::wire::{FromClient, FromJoiner, FromWorker, ToClient, ToJoiner, ToWorker};

pub(crate) struct Grid {
    pub(crate) folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) listener: Listener,
}

impl Grid {
    pub(crate) fn new() -> Self {
        Self::with(ListenerConfig::default())
    }

    pub(crate) fn with(config: ListenerConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create("home", folder.path()).unwrap();
        let scheduler = credentials(&authority, Role::Scheduler, "one");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, &scheduler, config).unwrap();
        Self { folder, authority, listener }
    }

    pub(crate) fn credentials(&self, role: Role, name: &str) -> Credentials {
        credentials(&self.authority, role, name)
    }

    pub(crate) fn endpoint(&self, role: Role) -> Endpoint {
        Endpoint::new(&self.credentials(role, "test"))
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        vec![self.listener.local_addr().to_string()]
    }

    /// Both ends of a worker's link: the scheduler's first.
    pub(crate) async fn worker(&self) -> (Link<ToWorker, FromWorker>, Link<FromWorker, ToWorker>) {
        let (endpoint, addresses) = (self.endpoint(Role::Worker), self.addresses());
        let (accepted, dialled) =
            tokio::join!(self.accept_worker(), endpoint.connect_worker(&addresses));
        (accepted, dialled.unwrap())
    }

    /// Both ends of a client's link: the scheduler's first.
    pub(crate) async fn client(&self) -> (Link<ToClient, FromClient>, Link<FromClient, ToClient>) {
        let (endpoint, addresses) = (self.endpoint(Role::Client), self.addresses());
        let (accepted, dialled) =
            tokio::join!(self.listener.accept(), endpoint.connect_client(&addresses));
        let Some(Accepted::Client(accepted)) = accepted else { panic!("{accepted:?}") };
        (accepted, dialled.unwrap())
    }

    pub(crate) async fn accept_worker(&self) -> Link<ToWorker, FromWorker> {
        match self.listener.accept().await {
            Some(Accepted::Worker(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn accept_joiner(&self) -> Link<ToJoiner, FromJoiner> {
        match self.listener.accept().await {
            Some(Accepted::Joiner(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    /// The folder of credentials that the authority would never sign.
    pub(crate) fn forge(&self, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let file = fs::read_to_string(self.folder.path().join("authority.pem")).unwrap();
        let ca_key = KeyPair::from_pem(&file).unwrap();
        let ca = &file[file.find("-----BEGIN CERTIFICATE").unwrap()..];
        let issuer = Issuer::from_ca_cert_pem(ca, ca_key).unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri("spiffe://home/worker/forged")];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let folder = self.folder.path().join("forged");
        fs::create_dir_all(&folder).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let identity = [key.serialize_pem(), certificate.pem(), ca.to_owned()].concat();
        fs::write(folder.join("identity.pem"), identity).unwrap();
        folder
    }

    /// Whatever happened before, a good worker gets its link.
    pub(crate) async fn still_accepts(&self) {
        let (accepted, dialled) = self.worker().await;
        assert_eq!(accepted.peer.identity.to_string(), "spiffe://home/worker/test");
        assert_eq!(dialled.peer.identity.to_string(), "spiffe://home/scheduler/one");
    }
}

pub(crate) fn credentials(authority: &Authority, role: Role, name: &str) -> Credentials {
    authority.issue(role, name, Authority::MEMBER_VALIDITY).unwrap()
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}
