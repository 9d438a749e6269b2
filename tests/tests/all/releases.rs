//! A scheduler of another release, which does not know what it is asked.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use wasmgrid_net::{Accepted, Authority, Listener, ListenerConfig, Release, Role};
use wasmgrid_tests::{Daemon, Home};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A scheduler that ends each link at the first word, as one does that cannot read it.
struct Older {
    folder: tempfile::TempDir,
    authority: Authority,
    address: String,
    links: Arc<AtomicUsize>,
    runtime: tokio::runtime::Runtime,
}

impl Older {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::create("old", folder.path()).expect("an authority");
        let own = authority.issue(Role::Scheduler, "scheduler", DAY).expect("credentials");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = {
            let _inside = runtime.enter();
            Listener::bind(any, &own, ListenerConfig::default()).expect("a port")
        };
        let (address, links) = (listener.local_addr().to_string(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&links);
        runtime.spawn(async move {
            while let Some(accepted) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                match accepted {
                    Accepted::Client(mut link) => {
                        // What it says first is what it asks.
                        let _ = link.receiver.recv().await;
                        link.sender.refuse("message of kind 0x0301 cannot be read");
                    }
                    Accepted::Worker(mut link) => {
                        let _ = link.receiver.recv().await;
                        link.sender.refuse("message of kind 0x0101 cannot be read");
                    }
                    Accepted::Joiner(_) | Accepted::Impostor(_) => {}
                }
            }
        });
        Self { folder, authority, address, links, runtime }
    }

    /// Puts credentials and the scheduler's address where the binary looks for them.
    fn know(&self, home: &Home, folder: &str, role: Role, file: &str) {
        let own = self.authority.issue(role, "w1", DAY).expect("credentials");
        own.save(&home.path().join(folder)).expect("kept");
        let text = format!("grid = \"old\"\naddresses = [\"{}\"]\n", self.address);
        home.write(&format!("{folder}/{file}"), text);
    }

    fn links(&self) -> usize {
        self.links.load(Ordering::SeqCst)
    }
}

/// Both sides' releases are named, and here they are the same.
fn names_both(said: &str) {
    let ours = Release::ours().to_string();
    assert!(said.matches(&ours).count() >= 2, "{ours} twice in {said}");
}

#[test]
fn a_client_that_is_not_understood_gives_up_with_4_after_three_links_and_names_both_releases() {
    let older = Older::start();
    let home = Home::new();
    older.know(&home, "home/contexts/old", Role::Operator, "context.toml");
    let asked = home.run(["worker", "list", "--context", "old"]);
    asked.fails_with(4, &["0x0301", "the same release"]);
    names_both(&asked.stderr);
    assert_eq!(older.links(), 3);
    drop(older.runtime);
    drop(older.folder);
}

#[test]
fn a_worker_that_is_not_understood_gives_up_with_4_after_three_links_and_names_both_releases() {
    let older = Older::start();
    let home = Home::new();
    older.know(&home, "home/state/workers/w1", Role::Worker, "worker.toml");
    let mut worker = Daemon::start(home.command(["worker", "--slots", "1"]));
    assert_eq!(worker.wait().code(), Some(4), "{}", worker.said());
    let said = worker.hear("why", |line| line.contains("wasmgrid:").then(|| line.to_owned()));
    assert!(said.contains("0x0101"), "{said}");
    names_both(&said);
    assert_eq!(older.links(), 3);
}
