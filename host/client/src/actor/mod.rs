//! The one task that owns the link: it asks what callers want asked, hands results to streams,
//! and when the link is lost makes a new one and asks again.
//!
//! It never waits for one thing alone: while the grid takes no messages its answers are still
//! read, and a reader that reads nothing holds up only its own stream, by the stream's window.

mod outbox;
mod tries;
mod watches;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use wasmgrid_failpoints::{Place, reach};
use wasmgrid_net::{LinkError, NetError, Receiver, Release};
use wasmgrid_proto::{
    frame::Envelope,
    wire::{
        ApiError, AuthorityRequest, FromClient, REPEATED_FOR, Reply, ReplyFrame, Request,
        RequestFrame, ToClient, Unwatch,
    },
};

use crate::{
    ClientConfig, ClientError, ClientLink,
    stream::{Frame, Sink, Wake},
};
use outbox::Outbox;
use tries::{ASKED_MAX, Tries};
use watches::Watches;

/// Questions without an answer; who asks more waits. Far more than one program has in flight,
/// and each keeps its inputs in memory.
const REQUESTS_MAX: usize = 256;

/// A question of a caller.
pub struct Command {
    pub request: Request,
    pub payload: Bytes,
    /// Where the results go, if the question asks for some.
    pub sink: Option<Sink>,
    pub answer: oneshot::Sender<Result<Answered, ClientError>>,
}

/// What the scheduler answered: the answer itself, and the bytes that came beside it.
pub type Answered = (Reply, Bytes);

/// A question that was asked on this link.
struct Asked {
    request: Request,
    payload: Bytes,
    watch: Option<u64>,
    /// Who waits; `None` where the actor itself goes on with a watch on a new link.
    answer: Option<oneshot::Sender<Result<Answered, ClientError>>>,
    /// Links that ended soon while it had no answer.
    ends: u32,
    /// When it was sent first.
    since: Instant,
}

/// Why a link is not served any more.
enum End {
    /// It is over; how, where that was not in order.
    Lost(Option<LinkError>),
    Stopped,
}

/// The owner of the link; see the module.
pub struct Actor<D> {
    dial: D,
    config: ClientConfig,
    commands: mpsc::Receiver<Command>,
    wake: Wake,
    stop: CancellationToken,
    tries: Tries,
    /// The release of the scheduler, as the last link said it.
    theirs: Release,
    /// The minor version of the protocol that the last link speaks.
    minor: u16,
    asked: BTreeMap<u64, Asked>,
    watches: Watches,
    next: u64,
}

impl<D, F> Actor<D>
where
    D: FnMut() -> F,
    F: Future<Output = Result<ClientLink, NetError>>,
{
    pub fn new(
        config: ClientConfig,
        dial: D,
        commands: mpsc::Receiver<Command>,
        wake: Wake,
        stop: CancellationToken,
    ) -> Self {
        Self {
            dial,
            config,
            commands,
            wake,
            stop,
            tries: Tries::default(),
            theirs: Release::default(),
            minor: 0,
            asked: BTreeMap::new(),
            watches: Watches::default(),
            next: 1,
        }
    }

    /// Serves this link and those that follow it, until the client stops or cannot go on; why is in
    /// `ended` then.
    pub async fn run(mut self, mut link: ClientLink, ended: Arc<OnceLock<ClientError>>) {
        let error = loop {
            let linked_at = Instant::now();
            let end = match self.serve(link).await {
                End::Stopped => break ClientError::Stopped,
                End::Lost(end) => end,
            };
            match self.tries.ended(linked_at.elapsed(), end) {
                Ok(soon) => self.count_end(soon),
                Err(error) => break error,
            }
            match self.dial_again().await {
                Ok(next) => link = next,
                Err(error) => break error,
            }
        };
        // Nobody else writes it. It is there before a question is turned away.
        let _ = ended.set(error.clone());
        self.fail(&error).await;
    }

    async fn serve(&mut self, link: ClientLink) -> End {
        let ClientLink { sender, mut receiver, peer } = link;
        self.theirs = peer.release();
        self.minor = peer.minor;
        let mut outbox = Outbox::new(sender);
        self.ask_again(&mut outbox);
        let end = self.converse(&mut receiver, &mut outbox).await;
        if let End::Lost(Some(error)) = &end {
            tracing::debug!(%error, address = %peer.address, "lost the link");
        }
        end
    }

    async fn converse(&mut self, receiver: &mut Receiver<ToClient>, outbox: &mut Outbox) -> End {
        let mut takes_more = true;
        loop {
            let takes_commands = takes_more && outbox.has_room() && self.asked.len() < REQUESTS_MAX;
            tokio::select! {
                () = self.stop.cancelled() => {
                    outbox.close("the client stopped");
                    return End::Stopped;
                }
                message = receiver.recv() => match message {
                    Ok(Some(envelope)) => self.handle(envelope, outbox),
                    Ok(None) => return End::Lost(None),
                    Err(error) => return End::Lost(Some(error)),
                },
                sent = outbox.flush(), if takes_more && !outbox.is_empty() => {
                    // Why nothing more is taken, the receiver tells.
                    takes_more = sent.is_ok();
                }
                command = self.commands.recv(), if takes_commands => match command {
                    Some(command) => self.ask(command, outbox),
                    None => return End::Stopped,
                },
                () = self.wake.notified() => self.readers_moved(outbox),
            }
        }
    }

    fn handle(&mut self, envelope: Envelope<ToClient>, outbox: &mut Outbox) {
        match envelope.message {
            ToClient::Reply(ReplyFrame { id, reply }) => {
                reach(Place::ClientBeforeAnswer);
                self.answered(id, reply, envelope.payload, outbox);
            }
            ToClient::Results(frame) => {
                reach(Place::ClientBeforeResults);
                let watch = frame.watch;
                let frame = Frame::new(frame, envelope.payload);
                if !self.watches.results(watch, frame) {
                    outbox.push(FromClient::Unwatch(Unwatch { watch }).into());
                }
            }
            ToClient::Update(update) => self.watches.update(update),
            ToClient::WatchEnded(ended) => self.watches.ended(ended),
        }
    }

    fn ask(&mut self, command: Command, outbox: &mut Outbox) {
        let Command { request, payload, sink, answer } = command;
        let watch = sink.map(|sink| {
            let job = if let Request::Watch { job, .. } = &request { Some(*job) } else { None };
            let watch = self.number();
            self.watches.begin(watch, job, sink);
            watch
        });
        let id = self.number();
        let answer = Some(answer);
        let since = Instant::now();
        self.send(id, Asked { request, payload, watch, answer, ends: 0, since }, outbox);
    }

    /// Sends a question, with what the watch that comes with it needs now; unless the scheduler is too
    /// old to know it.
    fn send(&mut self, id: u64, mut asked: Asked, outbox: &mut Outbox) {
        let since = asked.request.since();
        if since > self.minor {
            let theirs = self.theirs.clone();
            return self.fail_one(asked, &ClientError::Unsupported { since, theirs });
        }
        if let Some(from_here) = asked.watch.and_then(|watch| self.watches.request(watch)) {
            match &mut asked.request {
                Request::Submit(submit) => submit.watch = Some(from_here),
                Request::Watch { watch, .. } => *watch = from_here,
                _ => {}
            }
        }
        let message = FromClient::Request(RequestFrame { id, request: asked.request.clone() });
        reach(Place::ClientBeforeAsk);
        outbox.push(Envelope { message, payload: asked.payload.clone() });
        reach(Place::ClientAfterAsk);
        self.asked.insert(id, asked);
    }

    fn answered(
        &mut self,
        id: u64,
        reply: Result<Reply, ApiError>,
        payload: Bytes,
        outbox: &mut Outbox,
    ) {
        let Some(Asked { watch, answer, .. }) = self.asked.remove(&id) else { return };
        let reply = match reply {
            Ok(Reply::Unreadable) => Err(ClientError::Unreadable { theirs: self.theirs.clone() }),
            reply => reply.map_err(ClientError::Api),
        };
        match (watch, &reply) {
            (Some(watch), Ok(Reply::Job(status))) => {
                let goes_on = self.watches.name(watch, status.job);
                // What its reader's end told came before there was anything to end.
                let end = (!goes_on).then(|| FromClient::Unwatch(Unwatch { watch }).into());
                end.into_iter().for_each(|end| outbox.push(end));
            }
            (Some(watch), Err(error)) => self.watches.fail(watch, error),
            _ => {}
        }
        if let Some(answer) = answer {
            // Who asked may have stopped waiting.
            let _ = answer.send(reply.map(|reply| (reply, payload)));
        }
    }

    /// A link has ended: a question that was open on too many that ended soon is not asked again.
    fn count_end(&mut self, soon: bool) {
        let mut hopeless = Vec::new();
        for (id, asked) in &mut self.asked {
            asked.ends = if soon { asked.ends + 1 } else { 0 };
            // It is open for as long as its job takes inputs, however often links end meanwhile.
            if asked.ends >= ASKED_MAX && !matches!(asked.request, Request::Attend { .. }) {
                hopeless.push(*id);
            }
        }
        for id in hopeless {
            let Some(asked) = self.asked.remove(&id) else { continue };
            let theirs = self.theirs.clone();
            self.fail_one(asked, &ClientError::Unanswered { times: ASKED_MAX, theirs });
        }
    }

    /// Answers a question with an error of this side's.
    fn fail_one(&mut self, asked: Asked, error: &ClientError) {
        let Asked { watch, answer, .. } = asked;
        watch.into_iter().for_each(|watch| self.watches.fail(watch, error));
        // Who asked may have stopped waiting.
        answer.into_iter().for_each(|answer| _ = answer.send(Err(error.clone())));
    }

    /// On a new link: repeats what was not answered, and goes on with every watch.
    fn ask_again(&mut self, outbox: &mut Outbox) {
        self.watches.restart();
        for (id, asked) in std::mem::take(&mut self.asked) {
            let Some(answer) = &asked.answer else { continue };
            if answer.is_closed() {
                continue;
            }
            if is_repeatable(&asked.request, asked.since.elapsed()) {
                self.send(id, asked, outbox);
            } else if let Some(answer) = asked.answer {
                let _ = answer.send(Err(ClientError::Lost));
            }
        }
        let waiting: Vec<u64> = self.asked.values().filter_map(|asked| asked.watch).collect();
        for (watch, request) in self.watches.resumable(&waiting) {
            let id = self.number();
            let (payload, watch) = (Bytes::new(), Some(watch));
            let (ends, since) = (0, Instant::now());
            let asked = Asked { request, payload, watch, answer: None, ends, since };
            self.send(id, asked, outbox);
        }
    }

    /// Gives back the credit of what was read, and ends the watches nobody reads.
    fn readers_moved(&mut self, outbox: &mut Outbox) {
        for message in self.watches.readers_moved() {
            outbox.push(message.into());
        }
    }

    async fn dial_again(&mut self) -> Result<ClientLink, ClientError> {
        let give_up = Instant::now() + self.config.patience.duration();
        loop {
            let pause = self.tries.pause();
            let dial = &mut self.dial;
            let attempt = async {
                tokio::time::sleep(pause).await;
                dial().await
            };
            let error = tokio::select! {
                () = self.stop.cancelled() => return Err(ClientError::Stopped),
                link = attempt => match link {
                    Ok(link) => return Ok(link),
                    Err(error) => error,
                },
            };
            if !is_transient(&error) || Instant::now() >= give_up {
                return Err(ClientError::Unreachable(error));
            }
            tracing::debug!(%error, "cannot reach the grid yet");
        }
    }

    /// Tells everybody that waits why nothing more comes.
    async fn fail(mut self, error: &ClientError) {
        self.commands.close();
        let asked = std::mem::take(&mut self.asked).into_values().filter_map(|asked| asked.answer);
        let mut queued = Vec::new();
        // Those too that are being handed over just now.
        while let Some(command) = self.commands.recv().await {
            queued.push(command.answer);
        }
        for answer in asked.chain(queued) {
            let _ = answer.send(Err(error.clone()));
        }
        self.watches.fail_all(error);
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// Whether asking twice is the same as asking once, so long after it was asked first. Submits and retries
/// carry a key, appends their first index or their producer's number, which is remembered for a while;
/// modules are named by their content; a token would be made twice, and so would a key, a login code is good
/// once, an authority be replaced by one that it had made, and who was taken away is not there to be taken
/// away.
fn is_repeatable(request: &Request, age: Duration) -> bool {
    match request {
        Request::Append { .. } | Request::Call { .. } => age < REPEATED_FOR.duration(),
        Request::CreateToken { .. }
        | Request::CreateKey { .. }
        | Request::Login { .. }
        | Request::RemoveMember { .. }
        | Request::Authority(AuthorityRequest::Replace) => false,
        _ => true,
    }
}

/// Whether a dial that failed so may succeed later, with nothing changed on this side.
fn is_transient(error: &NetError) -> bool {
    matches!(
        error.telling(),
        NetError::Unreachable { .. }
            | NetError::Busy { .. }
            | NetError::Address { .. }
            | NetError::Socket { .. }
    )
}
