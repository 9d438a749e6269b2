//! Machines that join by token, over QUIC on loopback.

use std::{sync::Arc, time::Duration};

use wasmgrid_net::{Authority, Credentials, JoinToken, Listener, ListenerConfig, NetError, enroll};
use wasmgrid_proto::{
    Millis, TokenGives,
    wire::{ApiError, Reply, Request, Role, TokenRequest},
};
use wasmgrid_server::{Enrollment, Server, ServerConfig};
use wasmgrid_store::{MemoryStore, memory};

use crate::harness::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A grid on loopback that takes machines.
pub struct Grid {
    pub server: Server,
    pub authority: Arc<Authority>,
    folder: tempfile::TempDir,
}

impl Grid {
    pub fn start(store: MemoryStore) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Arc::new(Authority::create("test", folder.path()).expect("an authority"));
        Self::start_with(store, authority, folder)
    }

    pub fn start_with(
        store: MemoryStore,
        authority: Arc<Authority>,
        folder: tempfile::TempDir,
    ) -> Self {
        let credentials = authority.issue(Role::Scheduler, "s", YEAR).expect("credentials");
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(address, &credentials, ListenerConfig::default());
        let listener = listener.expect("a port");
        let addresses = vec![listener.local_addr().to_string()];
        let enrollment = Enrollment { authority: authority.clone(), addresses, validity: YEAR };
        let config = ServerConfig { enrollment: Some(enrollment), ..ServerConfig::new("test") };
        let server = Server::start(config, Box::new(store), admission()).expect("starts");
        server.handle().serve(listener);
        Self { server, authority, folder }
    }

    pub async fn token(&self, uses: u32) -> JoinToken {
        self.token_for(Role::Worker, uses, Vec::new()).await
    }

    pub async fn token_for(
        &self,
        role: Role,
        uses: u32,
        labels: Vec<(String, String)>,
    ) -> JoinToken {
        let token = TokenRequest { role, ttl: Millis(60_000), uses };
        let gives = TokenGives { labels, ..TokenGives::default() };
        self.made(Request::CreateToken { token, gives }).await
    }

    /// A token that a request makes.
    pub async fn made(&self, request: Request) -> JoinToken {
        match self.operator(request).await {
            Ok(Reply::Token(text)) => text.parse().expect("a token"),
            other => panic!("no token: {other:?}"),
        }
    }

    /// Asks as an operator.
    pub async fn operator(&self, request: Request) -> Result<Reply, ApiError> {
        client_link(&self.server.handle(), Role::Operator, "olga").request(request, &[]).await
    }

    /// Goes on with another scheduler on the same store.
    pub async fn restart(self, store: MemoryStore) -> Self {
        self.server.shutdown().await.expect("in order");
        Self::start_with(store, self.authority, self.folder)
    }

    /// Credentials that nobody joined for.
    pub fn issue(&self, role: Role, name: &str) -> Credentials {
        self.authority.issue(role, name, YEAR).expect("issued")
    }
}

pub fn name(credentials: &Credentials) -> &str {
    credentials.identity().name()
}

async fn denied(token: &JoinToken) -> NetError {
    enroll(token, "machine").await.expect_err("denied")
}

#[tokio::test]
async fn a_token_is_good_as_often_as_it_says() {
    let grid = Grid::start(memory());
    let token = grid.token(2).await;
    let first = enroll(&token, "machine").await.expect("the first use");
    let second = enroll(&token, "machine").await.expect("the second use");
    assert_eq!((name(&first), name(&second)), ("machine", "machine-2"));
    let error = denied(&token).await;
    assert!(error.to_string().contains("used up"), "{error}");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_token_with_a_wrong_secret_is_unknown() {
    let grid = Grid::start(memory());
    let mut token = grid.token(1).await;
    let right = token.secret;
    token.secret[31] ^= 1;
    let error = denied(&token).await;
    assert!(error.to_string().contains("unknown"), "{error}");
    token.secret = right;
    enroll(&token, "machine").await.expect("a wrong secret uses nothing up");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_used_token_stays_used_across_a_restart() {
    let store = memory();
    let again = store.reopen();
    let grid = Grid::start(store);
    let token = grid.token(1).await;
    enroll(&token, "machine").await.expect("the only use");
    grid.server.shutdown().await.expect("in order");
    let grid = Grid::start_with(again, grid.authority, grid.folder);
    let other = grid.token(1).await;
    let token = JoinToken { addresses: other.addresses, ..token };
    let error = denied(&token).await;
    assert!(error.to_string().contains("used up"), "{error}");
    grid.server.shutdown().await.expect("in order");
}

#[tokio::test]
async fn a_name_that_a_worker_has_is_not_given_again() {
    let grid = Grid::start(memory());
    let _worker = join(&grid.server.handle(), "machine").await;
    let token = grid.token(1).await;
    let credentials = enroll(&token, "machine").await.expect("joins");
    assert_eq!(name(&credentials), "machine-2");
    grid.server.shutdown().await.expect("in order");
}
