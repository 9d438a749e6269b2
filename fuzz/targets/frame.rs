//! Frames of the wire, as every message of every link: a decoder answers and never panics, and
//! what it reads can be written again and read as the same.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wasmgrid_proto::{
    frame::{self, CONTROL_FRAME_MAX, Envelope},
    wire::{FromClient, FromJoiner, FromWorker, Message, ToClient, ToJoiner, ToWorker},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((link, bytes)) = bytes.split_first() else { return };
    let length = match frame::frame_len(bytes, CONTROL_FRAME_MAX) {
        Ok(Some(length)) if length <= bytes.len() => length,
        _ => return,
    };
    let frame = Bytes::copy_from_slice(&bytes[..length]);
    match link % 6 {
        0 => check::<FromClient>(frame),
        1 => check::<ToClient>(frame),
        2 => check::<FromWorker>(frame),
        3 => check::<ToWorker>(frame),
        4 => check::<FromJoiner>(frame),
        _ => check::<ToJoiner>(frame),
    }
});

fn check<M: Message>(frame: Bytes) {
    let Ok(Some(envelope)) = frame::decode::<M>(frame) else { return };
    let kind = envelope.message.kind();
    let again = frame::encode_one(&envelope).expect("what was read can be written");
    let read: Option<Envelope<M>> = frame::decode(again.clone().into()).expect("and read again");
    let read = read.expect("its kind is known");
    assert_eq!(read.message.kind(), kind);
    // Compared as bytes, since a value with a NaN in it would differ from itself.
    assert_eq!(frame::encode_one(&read).expect("written"), again);
}
