//! The journal stays short: a snapshot takes the place of its records, whatever keeps one from being
//! made.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, Epoch, JobId, Seq,
    wire::{Request, Role, Submit},
};
use wasmgrid_server::{Server, ServerConfig};
use wasmgrid_store::{
    Commit, EachRecord, Entry, LogKind, LogSize, MemoryStore, Reader, Segment, Snapshot,
    SqliteStore, Store, StoreError, memory,
};

use crate::harness::*;

/// Bytes of a spec: so few jobs fill the journal.
const SPEC_BYTES: usize = 50_000;

/// Jobs whose records are more than any journal has without a snapshot.
const JOBS_MAX: u64 = 1_000;

/// Submits a job with a large spec.
async fn submit_large(client: &mut Client) {
    let mut spec = spec();
    spec.task.args = vec!["x".repeat(SPEC_BYTES).into()];
    let (inputs, closed) = (numbers(1), false);
    let submit = Submit { spec, idempotency_key: None, inputs, closed, watch: None };
    client.request(Request::Submit(submit), &[]).await.expect("taken");
}

#[tokio::test]
async fn the_journal_is_compacted_while_the_store_is_never_idle() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let open = || SqliteStore::open(&path).expect("opens");
    let mut reader = open().reader().expect("a reader");
    let server =
        Server::start(ServerConfig::new("test"), Box::new(open()), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    client.put(MODULE).await.expect("kept");
    let mut submitted = 0;
    // Each job has a large spec, so that few of them fill the journal.
    while reader.snapshot().expect("readable").is_none() {
        for _ in 0..20 {
            submit_large(&mut client).await;
            submitted += 1;
        }
        assert!(submitted < JOBS_MAX, "50 MB of records and no snapshot");
    }
    server.shutdown().await.expect("in order");
    let mut tail = 0;
    let mut count = |_: Seq, bytes: &[u8]| {
        tail += bytes.len();
        Ok(())
    };
    open().replay(&mut count).expect("whole");
    assert!(tail < submitted as usize * SPEC_BYTES, "what the snapshot covers is gone: {tail}");
    let server =
        Server::start(ServerConfig::new("test"), Box::new(open()), admission()).expect("starts");
    let mut client = client_link(&server.handle(), Role::Client, "ann");
    let last = client.job(JobId(submitted)).await;
    assert_eq!((last.counts.total, last.spec.task.args.len()), (1, 1));
    client.job(JobId(1)).await;
    server.shutdown().await.expect("in order");
}

/// What keeps snapshots from being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// The journal cannot be read.
    Reading,
    /// There is no room for them.
    Room,
}

/// A store that takes everything but snapshots, and counts how often one was tried.
struct Uncompacted {
    store: MemoryStore,
    obstacle: Obstacle,
    tries: Arc<AtomicUsize>,
}

impl Store for Uncompacted {
    fn fence(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.fence(epoch)
    }

    fn commit(&mut self, epoch: Epoch, commit: &Commit) -> Result<Seq, StoreError> {
        if matches!(commit.entries[..], [Entry::Snapshot(_)]) {
            self.tries.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Full("no room".into()));
        }
        self.store.commit(epoch, commit)
    }

    fn resolve(&mut self) -> Result<Seq, StoreError> {
        self.store.resolve()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        self.store.replay(each)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        let reader = self.store.reader()?;
        if self.obstacle == Obstacle::Room {
            return Ok(reader);
        }
        Ok(Box::new(Unread { reader, tries: Arc::clone(&self.tries) }))
    }
}

/// A reader that reads everything but the journal, once that has something.
struct Unread {
    reader: Box<dyn Reader>,
    tries: Arc<AtomicUsize>,
}

impl Reader for Unread {
    fn segment(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        self.reader.segment(job, log, position)
    }

    fn segment_from(
        &mut self,
        job: JobId,
        log: LogKind,
        position: u64,
    ) -> Result<Option<Segment>, StoreError> {
        self.reader.segment_from(job, log, position)
    }

    fn modules(&mut self) -> Result<Vec<Digest>, StoreError> {
        self.reader.modules()
    }

    fn module(&mut self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        self.reader.module(digest)
    }

    fn has_module(&mut self, digest: Digest) -> Result<bool, StoreError> {
        self.reader.has_module(digest)
    }

    fn meta(&mut self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.reader.meta(key)
    }

    fn metas(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.reader.metas(prefix)
    }

    fn meta_sizes(&mut self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.reader.meta_sizes(prefix)
    }

    fn snapshot(&mut self) -> Result<Option<Snapshot>, StoreError> {
        self.reader.snapshot()
    }

    fn replay(&mut self, each: &mut EachRecord<'_>) -> Result<(), StoreError> {
        let tries = &self.tries;
        self.reader.replay(&mut |_, _| {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(StoreError::Io { doing: "reading the journal", source: "a bad sector".into() })
        })?;
        self.reader.replay(each)
    }

    fn audits(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.reader.audits(after, limit)
    }

    fn last_audit(&mut self) -> Result<u64, StoreError> {
        self.reader.last_audit()
    }

    fn sizes(&mut self) -> Result<Vec<LogSize>, StoreError> {
        self.reader.sizes()
    }

    fn position_after(&mut self, job: JobId, log: LogKind, bytes: u64) -> Result<u64, StoreError> {
        self.reader.position_after(job, log, bytes)
    }
}

#[tokio::test]
async fn what_keeps_a_snapshot_from_being_made_ends_nothing_and_is_not_tried_at_once_again() {
    for obstacle in [Obstacle::Reading, Obstacle::Room] {
        let tries = Arc::new(AtomicUsize::new(0));
        let store = Uncompacted { store: memory(), obstacle, tries: Arc::clone(&tries) };
        let server = Server::start(ServerConfig::new("test"), Box::new(store), admission());
        let server = server.expect("starts");
        let mut client = client_link(&server.handle(), Role::Client, "ann");
        client.put(MODULE).await.expect("kept");
        let mut submitted = 0;
        let is_tried = || tries.load(Ordering::Relaxed) > 0;
        while !is_tried() && submitted < JOBS_MAX {
            submit_large(&mut client).await;
            submitted += 1;
        }
        // It is made beside what is submitted, at its own pace.
        let tried = async {
            while !is_tried() {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(NEVER, tried).await;
        assert!(in_time.is_ok(), "{obstacle:?}: no snapshot was tried");
        for _ in 0..100 {
            submit_large(&mut client).await;
        }
        assert_eq!(tries.load(Ordering::Relaxed), 1, "{obstacle:?}: each try takes seconds");
        client.job(JobId(submitted)).await;
        server.shutdown().await.expect("in order");
    }
}
