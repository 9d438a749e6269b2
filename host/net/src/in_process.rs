//! A link between two parts of one process: the embedded grid and tests. Messages move as values.

use wasmgrid_proto::wire::{ActFor, Message, PROTOCOL_MINOR};

use crate::{
    identity::{Identity, Peer},
    lane::Lane,
    link::{CONTROL_ROOM, Link, LinkState, Receiver, Sender},
    release,
};

/// What stands for the address of a peer in the same process.
const ADDRESS: &str = "in process";

/// The two ends of a link: the first is held by `a` (its peer is `b`), the second by `b`.
///
/// Each direction holds 4 MiB at most, and about a thousand messages; then the sender waits. One
/// larger message travels alone.
#[must_use]
pub fn in_process<A: Message, B: Message>(a: Identity, b: Identity) -> (Link<A, B>, Link<B, A>) {
    in_process_for(a, b, None)
}

/// As [`in_process`], of a gateway `a` that acts for somebody on the link, if it does.
#[must_use]
pub fn in_process_for<A: Message, B: Message>(
    a: Identity,
    b: Identity,
    act_for: Option<ActFor>,
) -> (Link<A, B>, Link<B, A>) {
    let (to_b, from_a) = Lane::new(CONTROL_ROOM);
    let (to_a, from_b) = Lane::new(CONTROL_ROOM);
    let state =
        LinkState::new(vec![to_b.room().clone(), to_a.room().clone()], PROTOCOL_MINOR, false);
    let said = act_for.map_or_else(release::ours, |one| release::ours().acting_for(&one));
    let end_of_a = Link {
        sender: Sender::new(to_b.clone(), to_b, state.clone()),
        receiver: Receiver::new(from_b, state.clone()),
        peer: Peer::without_certificate(b, ADDRESS.into()),
    };
    let end_of_b = Link {
        sender: Sender::new(to_a.clone(), to_a, state.clone()),
        receiver: Receiver::new(from_a, state),
        peer: Peer::without_certificate(a, ADDRESS.into()).saying(said, PROTOCOL_MINOR),
    };
    (end_of_a, end_of_b)
}
