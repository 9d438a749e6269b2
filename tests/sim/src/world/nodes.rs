//! The machines of a world: how their processes start, dial, hear and die.

use wasmgrid_proto::Micros;

use super::{Event, IDLE_US, World, within};
use crate::{
    client::Client,
    message::{Down, Up},
    net::{LinkId, Way},
    plan::SECOND,
    scheduler::{Failed, Heard},
    worker::{Act, KEPT_MAX, Worker},
};

/// The first and the longest pause between two dials.
const BACKOFF_US: (u64, u64) = (100_000, 10 * SECOND);

impl World {
    /// A worker's process, if it is the one that was meant.
    pub(super) fn worker(&mut self, number: usize, life: u64) -> Option<&mut Worker> {
        let machine = self.workers.get_mut(number).filter(|machine| machine.life == life)?;
        machine.process.as_mut()
    }

    fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.clients.get_mut(number)?.process.as_mut()
    }

    /// The client behind a node's number.
    fn client_of(&self, node: usize) -> Option<usize> {
        node.checked_sub(self.workers.len())
    }

    /// The number of a node's process, how often it dialled in vain, and its link.
    fn node(&mut self, node: usize) -> Option<(u64, &mut u32, Option<LinkId>)> {
        if let Some(client) = self.client_of(node) {
            let machine = self.clients.get_mut(client)?;
            let link = machine.process.as_ref()?.link;
            Some((machine.life, &mut machine.dials, link))
        } else {
            let machine = self.workers.get_mut(node)?;
            let link = machine.process.as_ref()?.link;
            Some((machine.life, &mut machine.dials, link))
        }
    }

    pub(super) fn start_node(&mut self, node: usize) {
        let random = self.random.fork();
        let plan = self.plan.workers.get(node);
        let (slots, falsehood) = plan.map_or((1, None), |plan| (plan.slots, plan.falsehood));
        let started = Micros(self.now);
        let Some(machine) = self.workers.get_mut(node) else { return };
        if machine.process.is_some() || machine.dead {
            return;
        }
        machine.life += 1;
        machine.dials = 0;
        machine.process = Some(Worker::new(slots, falsehood, started, random));
        let life = machine.life;
        self.after(0, Event::Dial { node, life });
    }

    pub(super) fn dial(&mut self, node: usize, life: u64) {
        let process = self.node(node).filter(|(of, _, link)| *of == life && link.is_none());
        if process.is_none() {
            return;
        }
        let answers = self.ready && self.now >= self.scheduler_frozen;
        let link = if answers { self.net.connect(self.now, node) } else { None };
        match link {
            Some(link) => self.node_linked(node, link),
            None => self.dial_later(node),
        }
    }

    fn dial_later(&mut self, node: usize) {
        let Some((life, dials, _)) = self.node(node) else { return };
        let ceiling = (BACKOFF_US.0 << (*dials).min(10)).min(BACKOFF_US.1);
        *dials += 1;
        let pause = ceiling / 2 + self.random.below(ceiling / 2);
        self.after(pause, Event::Dial { node, life });
    }

    fn node_linked(&mut self, node: usize, link: LinkId) {
        let now = self.now;
        let Some((life, ..)) = self.node(node) else { return };
        if let Some(client) = self.client_of(node) {
            self.tell_scheduler(Heard::Client(link, client));
            if let Some(process) = self.client(client) {
                process.linked(now, link);
            }
            self.wake(client, life);
        } else {
            let name = self.plan.workers.get(node).map(|plan| plan.name.clone());
            self.tell_scheduler(Heard::Worker(link, name.unwrap_or_default()));
            if let Some(process) = self.worker(node, life) {
                process.linked(now, link);
            }
            self.worker_acts(node);
        }
    }

    pub(super) fn node_unlinked(&mut self, node: usize, link: LinkId) {
        let now = self.now;
        let process = self.node(node).filter(|(.., of)| *of == Some(link));
        let Some((life, ..)) = process else { return };
        if let Some(client) = self.client_of(node) {
            if let Some(process) = self.client(client) {
                process.unlinked();
            }
        } else if let Some(process) = self.worker(node, life) {
            process.unlinked(now);
        }
        self.dial_later(node);
        if self.client_of(node).is_none() {
            self.worker_acts(node);
        }
    }

    pub(super) fn node_hears(&mut self, node: usize, message: Down) -> Result<(), Failed> {
        let now = self.now;
        let Some((life, dials, _)) = self.node(node) else { return Ok(()) };
        *dials = 0;
        if let Some(client) = self.client_of(node) {
            if let Some(process) = self.client(client) {
                process.heard(now, message)?;
            }
            self.wake(client, life);
            return Ok(());
        }
        let Some(process) = self.worker(node, life) else { return Ok(()) };
        process.heard(now, message);
        let (kept, slots) = (process.kept(), process.slots());
        // Batches that slots have when the bound is reached still end.
        within(KEPT_MAX + 64 * slots, kept, "results that a worker keeps")?;
        self.worker_acts(node);
        Ok(())
    }

    /// Something happens to a worker's process, if it is the one that was meant.
    pub(super) fn worker_does(
        &mut self,
        number: usize,
        life: u64,
        happens: impl FnOnce(&mut Worker, u64),
    ) {
        let now = self.now;
        if let Some(process) = self.worker(number, life) {
            happens(process, now);
            self.worker_acts(number);
        }
    }

    /// Does what a worker wants done.
    pub(super) fn worker_acts(&mut self, number: usize) {
        let now = self.now;
        let Some(machine) = self.workers.get_mut(number) else { return };
        let (life, away_us) = (machine.life, machine.away_us);
        let Some(process) = machine.process.as_mut() else { return };
        let acts = process.acts(now);
        let link = process.link;
        for act in acts {
            match act {
                Act::Say(message) => self.say(number, link, message),
                Act::HangUp => {
                    self.hang_up(link);
                    link.into_iter().for_each(|link| self.node_unlinked(number, link));
                }
                Act::Run { slot, run, wall_us } => {
                    self.after(wall_us, Event::Ran { worker: number, life, slot, run });
                }
                Act::Prepare { number: module, wall_us } => {
                    let event = Event::Prepared { worker: number, life, number: module };
                    self.after(wall_us, event);
                }
                Act::Wake { at } => self.at(at, Event::Woken { worker: number, life }),
                Act::Die => {
                    let down_us = self.random.between(100, 4_000) * 1_000;
                    return self.crash_worker(number, Some(down_us));
                }
                Act::Leave => {
                    let link = self.end_worker(number);
                    self.hang_up(link);
                    return self.after(away_us, Event::NodeStarts(number));
                }
            }
        }
    }

    /// A worker ends its link in order.
    fn hang_up(&mut self, link: Option<LinkId>) {
        if let Some(link) = link {
            let seen = self.net.hang_up(self.now, link);
            self.at(seen, Event::SchedulerLost(link));
        }
    }

    fn say(&mut self, node: usize, link: Option<LinkId>, message: Up) {
        let Some(link) = link else { return };
        if self.options.trace {
            self.note(&format!("  node {node} says {message:?}"));
        }
        let has_payload = match &message {
            Up::Results { .. } => true,
            Up::Request { request, .. } => request.has_payload(),
            _ => false,
        };
        if let Some(at) = self.net.send(self.now, link, Way::Up, has_payload) {
            self.at(at, Event::Up(link, message));
        }
    }

    /// A client does what is due.
    pub(super) fn wake(&mut self, client: usize, life: u64) {
        let (now, node) = (self.now, self.workers.len() + client);
        let machine = self.clients.get_mut(client).filter(|machine| machine.life == life);
        let Some(process) = machine.and_then(|machine| machine.process.as_mut()) else { return };
        let next = process.wake(now);
        let (said, link) = (process.said(), process.link);
        for message in said {
            self.say(node, link, message);
        }
        if let Some(at) = next {
            self.at(at.max(now + 1), Event::Wake { client, life });
        }
    }

    fn end_worker(&mut self, number: usize) -> Option<LinkId> {
        let machine = self.workers.get_mut(number)?;
        machine.life += 1;
        machine.process.take()?.link
    }

    pub(super) fn crash_worker(&mut self, number: usize, down_us: Option<u64>) {
        self.report.host_deaths += 1;
        if let Some(link) = self.end_worker(number) {
            self.abandon(link);
        }
        match (down_us, self.workers.get_mut(number)) {
            (Some(down_us), _) => self.after(down_us, Event::NodeStarts(number)),
            (None, Some(machine)) => machine.dead = true,
            (None, None) => {}
        }
    }

    pub(super) fn crash_client(&mut self, client: usize, down_us: u64, keeps: bool) {
        let node = self.workers.len() + client;
        let Some(machine) = self.clients.get_mut(client) else { return };
        machine.life += 1;
        machine.dials = 0;
        let life = machine.life;
        let Some(process) = machine.process.as_mut() else { return };
        let link = process.link;
        process.restart(keeps);
        self.after(down_us, Event::Dial { node, life });
        if let Some(link) = link {
            self.abandon(link);
        }
    }

    /// A node is gone without a word: the scheduler sees it soon or late.
    fn abandon(&mut self, link: LinkId) {
        self.net.leave(self.now, link, Way::Down);
        let latest = if self.random.chance(70) { SECOND / 10 } else { IDLE_US };
        let notice = self.random.below(latest);
        self.after(notice, Event::SchedulerLost(link));
    }
}
