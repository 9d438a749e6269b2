//! Starting and stopping a server, and the handle by which links are given to it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmgrid_core::{Grid, Input, Output};
use wasmgrid_net::{Accepted, Credentials, Link, Listener, Peer};
use wasmgrid_proto::{
    Digest, Epoch, Micros, ModuleInfo, Record,
    wire::{ApiError, FromClient, FromJoiner, FromWorker, Role, ToClient, ToJoiner, ToWorker},
};
use wasmgrid_store::{Commit, LogKind, LogSize, Store, StoreError};

use crate::{
    admit::Admitter,
    blocking::BackgroundTask,
    clock::{self, Clock},
    compact,
    config::{Admission, ServerConfig},
    driver::{
        BLOB_PREFIX, Blobs, Content, Driver, Event, Item, LOG_PREFIX, LinkId, MODULE_PREFIX,
        Modules, NOTHING, Now, OWNER_PREFIX, STORED_PREFIX, Settings, Start, StoredModule,
        UNCOMMITTED_ITEMS, caller, job_of_log,
    },
    enroll::{self, Enroller, Notice},
    error::ServerError,
    inbox::{self, Party, cost},
    journal::{self, DOUBT_RETRY, Extent, Journal, Write},
    keys::Keys,
    links::{Ears, HEARD_BYTES, Hasher, Heard, Identities, LinkContext, Room, serve},
    members::Members,
    readers::Readers,
    secret,
    shell::{Hands, Inboxes, Services, Shell},
    staging::{self, Staging},
};

/// Events the driver waits for. Their senders may wait: the driver always takes them.
const DONE_MAX: usize = 256;

/// How long a server that stops waits for links to take what was said on them last.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often a store is asked that does not say whether the first commit of a term is durable: for
/// about 5 s.
const START_TRIES: u32 = 50;

/// A running scheduler. Dropped, it stops too, but nobody can wait for that:
/// [`Server::shutdown`] does.
#[derive(Debug)]
pub struct Server {
    handle: ServerHandle,
    ended: watch::Receiver<Option<Result<(), ServerError>>>,
    /// Ends after all the server's tasks and its thread.
    main: Option<tokio::task::JoinHandle<()>>,
}

/// Gives links to a server; cheap to clone. Useless once the server has ended: links given to it
/// then are closed.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    context: LinkContext,
    tasks: TaskTracker,
    members: Members,
    enroller: Arc<Enroller>,
    next_link: Arc<AtomicU64>,
}

impl Server {
    /// Reads what the store has and starts a new term on it. Must be called inside a tokio
    /// runtime; blocks while the journal is replayed.
    ///
    /// # Errors
    /// [`ServerError`], where the store cannot be read, or another scheduler has taken it over.
    pub fn start(
        config: ServerConfig,
        mut store: Box<dyn Store>,
        admission: Admission,
    ) -> Result<Self, ServerError> {
        let load = |error| ServerError::Load(Arc::new(error));
        let (grid, clock, extent) = begin(store.as_mut(), &config)?;

        let (entrance, heard) = inbox::inbox();
        let (done_sender, done) = mpsc::channel(DONE_MAX);
        let (notices_sender, notices) = mpsc::channel(DONE_MAX);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let known = known_modules(store.as_ref())?;
        let blobs = Blobs::new(known_blobs(store.as_ref())?, clock.now())?;
        let members = Members::load(store.reader().map_err(load)?.as_mut())?;
        let keys = Keys::load(store.reader().map_err(load)?.as_mut())?;
        let blocking = config.blocking.clone();
        let readers =
            Readers::new(store.as_ref(), tasks.clone(), blocking.clone()).map_err(load)?;
        let stage_from = store.stage_from();
        let journal = journal::start(store, extent, grid.epoch(), stop.clone(), &blocking);
        let journal = journal.map_err(|_| ServerError::Writer)?;
        let Journal { writes, halted, progress, thread } = journal;
        let staging = stage_from.map(|from| Staging::new(from, writes.downgrade(), halted));
        let known_by = (clock, members.clone(), keys);
        let enroller = enroller(&config, known_by, &readers, &writes, notices_sender);
        let cut = CancellationToken::new();
        let context = LinkContext {
            heard: entrance,
            worker_room: Arc::new(Semaphore::new(HEARD_BYTES)),
            client_room: Arc::new(Semaphore::new(HEARD_BYTES)),
            identities: Identities::default(),
            staging,
            hasher: Hasher { tasks: tasks.clone(), blocking: blocking.clone() },
            done: done_sender.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        let (end, ended) = watch::channel(None);
        let now = Now { time: clock.now(), date: clock::date() };
        let modules = Modules::new(known, blobs, admission.check_task, now.time);
        let start = start_of(&config, grid, modules, (members.clone(), now));
        let driver = Driver::new(start, ());
        let services = Services {
            readers,
            admitter: Admitter {
                admit: admission.admit,
                writes: writes.clone(),
                tasks: tasks.clone(),
                blocking,
                stop: stop.clone(),
            },
            enroller: enroller.clone(),
            tasks: tasks.clone(),
            done: context.done.clone(),
        };
        let (keeping, stopped) = (enroller.clone().keep(), stop.clone());
        tasks.spawn(async move { stopped.run_until_cancelled(keeping).await });
        if let Some(space) = config.space.clone() {
            let watching = space.watch((config.blocking.clone(), tasks.clone()), done_sender);
            let stopped = stop.clone();
            tasks.spawn(async move { stopped.run_until_cancelled(watching).await });
        }
        let inboxes = Inboxes { heard, done, progress, notices };
        let shell = Shell::new(driver, clock, Hands::new(writes, services), inboxes, extent);
        let running = shell.run(stop.clone());
        let links = Links { tasks: tasks.clone(), stop, cut };
        let main = tokio::spawn(async move {
            let result = running.await;
            end.send_replace(Some(links.end(result, thread).await));
        });
        let next_link = Arc::new(AtomicU64::new(1));
        let handle = ServerHandle { context, tasks, members, enroller, next_link };
        Ok(Self { handle, ended, main: Some(main) })
    }

    /// By which links are given to it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Resolves when the server ended by itself, with the reason; never while it runs.
    pub async fn failed(&self) -> ServerError {
        let mut ended = self.ended.clone();
        let result = match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => Some(Err(ServerError::Writer)),
        };
        match result {
            Some(Err(error)) => error,
            // Asked to stop: that is no failure.
            _ => std::future::pending().await,
        }
    }

    /// Stops taking anything, commits and answers what was taken, and closes the links.
    ///
    /// # Errors
    /// [`ServerError`], where the server had failed or the last commit fails.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        self.handle.context.stop.cancel();
        if let Some(main) = self.main.take() {
            main.await.map_err(|_| ServerError::Writer)?;
        }
        self.ended.borrow().clone().unwrap_or(Err(ServerError::Writer))
    }
}

/// What is left when the driver has ended.
struct Links {
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Links {
    /// Waits for all tasks and the journal's thread; how the server ended.
    async fn end(
        self,
        result: Result<(), ServerError>,
        thread: BackgroundTask,
    ) -> Result<(), ServerError> {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            self.cut.cancel();
            self.tasks.wait().await;
        }
        match (result, thread.ended().await) {
            (Ok(()), false) => Err(ServerError::Writer),
            (result, _) => result,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.context.stop.cancel();
    }
}

impl ServerHandle {
    /// Serves a worker's link until it ends.
    pub fn worker(&self, link: Link<ToWorker, FromWorker>) {
        let (context, id) = (self.context.clone(), self.link_id());
        let party = self.party(&link.peer);
        self.tasks.spawn(serve(
            context,
            id,
            link,
            (party, Room::Worker),
            move |outbox, peer, line| {
                Heard::Worker(Event::WorkerLinked { link: id, peer, outbox }, line)
            },
            Ears {
                hashed: |_| &NOTHING,
                large: staging::of_worker,
                heard: move |envelope, _, room| {
                    (cost::of_worker(&envelope), Event::FromWorker { link: id, envelope, room })
                },
            },
        ));
    }

    /// Serves the link of a client, an operator or a gateway until it ends.
    pub fn client(&self, link: Link<ToClient, FromClient>) {
        let (context, id) = (self.context.clone(), self.link_id());
        let party = self.party(&link.peer);
        self.tasks.spawn(serve(
            context,
            id,
            link,
            (party, Room::Client),
            move |outbox, peer, line| {
                Heard::Client(Event::ClientLinked { link: id, peer, outbox }, line)
            },
            Ears {
                hashed: Content::payload_of,
                large: staging::of_client,
                heard: move |envelope, content, room| {
                    let cost = cost::of_client(&envelope);
                    (cost, Event::FromClient { link: id, envelope, content, room })
                },
            },
        ));
    }

    /// Lets one machine join by its token, or denies it.
    pub fn joiner(&self, link: Link<ToJoiner, FromJoiner>) {
        let (enroller, stop) = (self.enroller.clone(), self.context.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(enroller.serve(link)).await;
        });
    }

    /// Serves every link the listener accepts until the server stops, then closes the listener.
    pub fn serve(&self, listener: Listener) {
        let this = self.clone();
        let presented = Arc::new(listener.presented());
        self.enroller.add_listener(&presented);
        self.tasks.spawn(async move {
            let (stop, _presented) = (this.context.stop.clone(), presented);
            while let Some(Some(accepted)) = stop.run_until_cancelled(listener.accept()).await {
                match accepted {
                    Accepted::Worker(link) => this.worker(link),
                    Accepted::Client(link) => this.client(link),
                    Accepted::Joiner(link) => this.joiner(link),
                    Accepted::Impostor(peer) => {
                        // The port has logged it too. Many at once do not all go into the audit log,
                        // which counts those of one member anyhow.
                        let _ = this.context.done.try_send(Event::Impostor { peer });
                    }
                }
            }
            listener.close().await;
        });
    }

    /// Makes a member's credentials here, as for who joins with a token.
    ///
    /// # Errors
    /// [`ApiError`], where this grid has no authority, or it cannot be done now.
    pub async fn issue(&self, role: Role, name: &str) -> Result<Credentials, ApiError> {
        self.enroller.issue(role, name).await
    }

    /// Who shares turns with a peer.
    fn party(&self, peer: &Peer) -> Party {
        let caller = caller(peer, &self.members);
        match caller.role {
            Role::Client => Party::Tenant(caller.tenant.into()),
            Role::Operator => Party::Operator(caller.known_as().into()),
            Role::Gateway => Party::Gateway(caller.name.into()),
            Role::Worker | Role::Scheduler => Party::Worker(caller.name.into()),
        }
    }

    fn link_id(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }
}

/// Goes on where the store ends, in a new term.
fn begin(
    store: &mut dyn Store,
    config: &ServerConfig,
) -> Result<(Grid, Clock, Extent), ServerError> {
    let load = |error| ServerError::Load(Arc::new(error));
    let taken = take_over(store)?;
    let compact::Loaded { ledger, tail_bytes, snapshot_bytes, .. } =
        compact::load(store.reader().map_err(load)?.as_mut())?;
    let mut grid = Grid::with_ledger(config.grid.clone(), ledger);
    if grid.epoch() < taken {
        // Who took that term died before its first commit: the term is over all the same.
        grid.apply(&Record::EpochStarted { epoch: taken, at: Micros(0) });
    }
    let clock = Clock::start(grid.ledger());
    start_term(store, &mut grid, clock.now())?;
    count_stored(store, &mut grid, clock.now())?;
    Ok((grid, clock, Extent { snapshot_bytes, tail_bytes }))
}

/// Takes the store from whoever had it, before the journal is read: so nothing is written behind
/// what the replay sees. Says which term was the last that took it.
fn take_over(store: &mut dyn Store) -> Result<Epoch, ServerError> {
    let failed = |error| ServerError::Load(Arc::new(error));
    // Nobody has term 0, and to ask for it changes nothing.
    match store.fence(Epoch(0)) {
        Err(StoreError::Fenced { newest, .. }) => {
            store.fence(Epoch(newest.0.saturating_add(1))).map_err(failed)?;
            Ok(newest)
        }
        result => result.map(|()| Epoch(0)).map_err(failed),
    }
}

/// Starts a new term, durably: what follows is numbered by it.
fn start_term(store: &mut dyn Store, grid: &mut Grid, now: Micros) -> Result<(), ServerError> {
    let failed = ServerError::of_commit;
    let load = |error| ServerError::Load(Arc::new(error));
    let mut reader = store.reader().map_err(load)?;
    let vouched = enroll::vouched_keys(reader.as_mut()).map_err(load)?;
    let (key, mut entries) = secret::lease_key(reader.as_mut())?;
    grid.handle(now, Input::Start { date: clock::date(), key, vouched });
    store.fence(grid.epoch()).map_err(failed)?;
    while let Some(output) = grid.poll_output() {
        if let Output::Persist(record) = output {
            Item::Record(record).add_entries(&mut entries, |_| None).map_err(failed)?;
        }
    }
    commit_start(store, grid.epoch(), &Commit { entries }).map_err(failed)
}

/// Commits what a term begins with. If that is in doubt the store is asked again, but not for ever:
/// nobody can be told that the scheduler waits, and the next start begins a term of its own.
fn commit_start(store: &mut dyn Store, epoch: Epoch, commit: &Commit) -> Result<(), StoreError> {
    let mut result = store.commit(epoch, commit);
    for _ in 0..START_TRIES {
        if !matches!(result, Err(StoreError::InDoubt { .. })) {
            break;
        }
        std::thread::sleep(DOUBT_RETRY);
        result = store.resolve();
    }
    result.map(drop)
}

fn settings(config: &ServerConfig) -> Settings {
    Settings {
        heartbeat: config.heartbeat,
        producer_grace: config.producer_grace,
        segment_cache: usize::try_from(config.segment_cache.0).unwrap_or(usize::MAX),
        keep_bytes: config.keep_bytes.map(|bytes| bytes.0),
        keep_open_bytes: config.keep_open_bytes.map(|bytes| bytes.0),
        audit_retention: config.audit_retention,
        uncommitted_items: UNCOMMITTED_ITEMS,
        planted: None,
    }
}

/// What the driver starts with.
fn start_of(
    config: &ServerConfig,
    grid: Grid,
    modules: Modules,
    (members, now): (Members, Now),
) -> Start {
    Start { settings: settings(config), grid, modules, members, now }
}

fn enroller(
    config: &ServerConfig,
    (clock, members, keys): (Clock, Members, Keys),
    readers: &Readers,
    writes: &mpsc::Sender<Write>,
    notices: mpsc::Sender<Notice>,
) -> Arc<Enroller> {
    Arc::new(Enroller::new(
        config.enrollment.clone(),
        config.grid_name.clone(),
        (members, keys),
        clock,
        readers.clone(),
        writes.downgrade(),
        notices,
    ))
}

/// Tells the core what the store has of each job.
fn count_stored(store: &dyn Store, grid: &mut Grid, now: Micros) -> Result<(), ServerError> {
    let load = |error| ServerError::Load(Arc::new(error));
    for LogSize { job, log, bytes } in store.reader().map_err(load)?.sizes().map_err(load)? {
        let (inputs, results) = match log {
            LogKind::Input => (Some(bytes), None),
            LogKind::Result => (None, Some(bytes)),
        };
        grid.handle(now, Input::Stored { job, inputs, results });
    }
    let kept = store.reader().map_err(load)?.meta_sizes(LOG_PREFIX).map_err(load)?;
    for (key, bytes) in kept {
        if let Some(job) = job_of_log(&key) {
            grid.handle(now, Input::LogKept { job, bytes });
        }
    }
    Ok(())
}

fn known_blobs(store: &dyn Store) -> Result<Vec<(String, bytes::Bytes)>, ServerError> {
    let load = |error| ServerError::Load(Arc::new(error));
    store.reader().map_err(load)?.metas(BLOB_PREFIX).map_err(load)
}

fn known_modules(store: &dyn Store) -> Result<BTreeMap<Digest, StoredModule>, ServerError> {
    let load = |error| ServerError::Load(Arc::new(error));
    let mut reader = store.reader().map_err(load)?;
    let metas = reader.metas(MODULE_PREFIX).map_err(load)?;
    let owners: BTreeMap<_, _> = reader.metas(OWNER_PREFIX).map_err(load)?.into_iter().collect();
    let dates: BTreeMap<_, _> = reader.metas(STORED_PREFIX).map_err(load)?.into_iter().collect();
    let module = |(key, bytes): (String, bytes::Bytes)| {
        let info = postcard::from_bytes::<ModuleInfo>(&bytes)
            .map_err(|reason| ServerError::Meta { key, reason })?;
        let digest = info.digest;
        let owner = owners.get(&format!("{OWNER_PREFIX}{digest}"));
        let owner = owner.map(|name| String::from_utf8_lossy(name).into_owned());
        let date = dates.get(&format!("{STORED_PREFIX}{digest}"));
        let date = date.and_then(|date| date.as_ref().try_into().ok());
        let stored = date.map(|date| Micros(u64::from_le_bytes(date)));
        Ok((digest, StoredModule { info, owner, stored }))
    };
    metas.into_iter().map(module).collect()
}
