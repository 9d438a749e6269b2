//! Bytes that were made to hurt: they end in an error, never in a panic, and never take more
//! memory than a bound.

use bytes::{BufMut, Bytes, BytesMut};
use wasmgrid_proto::{
    Arg, InputBlock, JobId, LeaseId, Record, TaskRange, durable,
    frame::{self, CONTROL_FRAME_MAX, Envelope, FRAME_MAX, FrameError, HEADER_LEN, META_MAX},
    wire::{
        Committed, FromClient, FromJoiner, FromWorker, LIST_MAX, Message, More, Reply, ReplyFrame,
        Returned, ToClient, ToJoiner, ToWorker,
    },
};

use crate::{meter::peak_of, samples};

/// What decoding may take, for each byte of a meta: empty strings in a list, the worst, take 24
/// bytes each and half as much again while the list grows.
const MEMORY_PER_BYTE: usize = 32;

/// What an error or a small message may take.
const MEMORY_BASE: usize = 64 << 10;

/// Frames of one direction, as they travel.
fn wire<M: Message>(messages: Vec<M>) -> Vec<Vec<u8>> {
    let frame = |message: M| {
        let payload = samples::payload(message.payload_len());
        frame::encode_one(&Envelope { message, payload }).expect("encodes")
    };
    messages.into_iter().map(frame).collect()
}

/// A frame with this kind and meta, and lengths that fit.
fn framed(kind: u16, meta: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32_le((HEADER_LEN - 4 + meta.len()) as u32);
    out.put_u16_le(kind);
    out.put_u32_le(meta.len() as u32);
    out.put_slice(meta);
    out.freeze()
}

/// Decodes as each direction; what came out does not matter, what it took does.
fn decode_all(frame: &Bytes) {
    let (peak, ()) = peak_of(|| {
        let _ = frame::decode::<FromWorker>(frame.clone());
        let _ = frame::decode::<ToWorker>(frame.clone());
        let _ = frame::decode::<FromClient>(frame.clone());
        let _ = frame::decode::<ToClient>(frame.clone());
        let _ = frame::decode::<FromJoiner>(frame.clone());
        let _ = frame::decode::<ToJoiner>(frame.clone());
    });
    let allowed = MEMORY_BASE + MEMORY_PER_BYTE * frame.len();
    assert!(peak <= allowed, "{peak} bytes for a frame of {}", frame.len());
}

fn every_frame() -> Vec<Vec<u8>> {
    let mut all = wire(samples::from_worker());
    all.extend(wire(samples::to_worker()));
    all.extend(wire(samples::from_client()));
    all.extend(wire(samples::to_client()));
    all.extend(wire(samples::from_joiner()));
    all.extend(wire(samples::to_joiner()));
    all
}

/// Numbers that are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn a_frame_cut_short_anywhere_is_an_error() {
    for whole in every_frame() {
        for end in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..end]);
            frame::decode::<FromWorker>(cut.clone()).expect_err("its length does not fit");
            decode_all(&cut);
        }
    }
}

#[test]
fn a_meta_cut_short_anywhere_is_an_error() {
    for message in samples::from_client() {
        let mut meta = BytesMut::new();
        message.encode_meta(&mut meta).expect("encodes");
        for end in 0..meta.len() {
            let cut = FromClient::decode_meta(message.kind(), &meta[..end]);
            assert!(cut.is_err(), "{message:?} in {end} bytes");
        }
    }
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    for message in samples::to_worker() {
        let mut meta = BytesMut::new();
        message.encode_meta(&mut meta).expect("encodes");
        meta.put_u8(0);
        assert!(ToWorker::decode_meta(message.kind(), &meta).is_err(), "{message:?}");
    }
    let drain = samples::to_worker().pop().expect("the last");
    let mut bytes = frame::encode_one(&Envelope::from(drain)).expect("encodes");
    bytes.push(0);
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let error = frame::decode::<ToWorker>(bytes.into()).expect_err("a payload it has not");
    assert!(matches!(error, FrameError::Payload { declared: 0, present: 1, .. }), "{error:?}");
}

#[test]
fn a_length_over_its_cap_is_an_error_before_the_bytes_come() {
    for (length, cap) in [(u32::MAX, FRAME_MAX), (CONTROL_FRAME_MAX as u32 + 1, CONTROL_FRAME_MAX)]
    {
        let error = frame::frame_len(&length.to_le_bytes(), cap).expect_err("too long");
        assert!(matches!(error, FrameError::TooLarge { .. }), "{error:?}");
    }
    frame::frame_len(&5_u32.to_le_bytes(), FRAME_MAX).expect_err("shorter than a header");
    assert_eq!(frame::frame_len(&[1, 0, 0], FRAME_MAX), Ok(None), "not there yet");

    let mut meta_too_long = framed(0x0101, &[]).to_vec();
    meta_too_long[6..10].copy_from_slice(&(META_MAX as u32 + 1).to_le_bytes());
    let error = frame::decode::<FromWorker>(meta_too_long.into()).expect_err("too long");
    assert!(matches!(error, FrameError::TooLarge { what: "meta", .. }), "{error:?}");
    let mut meta_beyond_frame = framed(0x0101, &[1, 2, 3]).to_vec();
    meta_beyond_frame[6..10].copy_from_slice(&4_u32.to_le_bytes());
    let error = frame::decode::<FromWorker>(meta_beyond_frame.into()).expect_err("not there");
    assert!(matches!(error, FrameError::Malformed(_)), "{error:?}");
}

#[test]
fn a_list_longer_than_allowed_is_refused_and_takes_no_memory() {
    let batches = |count: usize| {
        let message = ToWorker::Committed(Committed { batches: vec![1; count] });
        let mut meta = BytesMut::new();
        message.encode_meta(&mut meta).expect("encodes");
        meta
    };
    ToWorker::decode_meta(0x0205, &batches(LIST_MAX)).expect("just allowed");
    assert!(ToWorker::decode_meta(0x0205, &batches(LIST_MAX + 1)).is_err(), "one more");

    // Counts that nothing follows, from small to the largest there is.
    for count in [1_u64, 65_536, 65_537, 1 << 32, u64::MAX] {
        let meta = postcard::to_allocvec(&count).expect("encodes");
        let (peak, result) = peak_of(|| ToWorker::decode_meta(0x0205, &meta));
        assert!(result.is_err(), "{count}");
        assert!(peak <= MEMORY_BASE, "{peak} bytes for a count of {count}");
    }
}

#[test]
fn the_worst_lists_stay_within_the_bound() {
    let ranges = FromWorker::Returned(Returned {
        job: JobId(1),
        lease: LeaseId(1),
        tasks: vec![TaskRange { first: 0, count: 0 }; LIST_MAX],
        reason: String::new(),
    });
    let mut meta = BytesMut::new();
    ranges.encode_meta(&mut meta).expect("encodes");
    decode_all(&framed(ranges.kind(), &meta));

    // Empty strings: one byte each on the wire.
    let mut jobs = Vec::new();
    for reply in samples::to_client() {
        if let ToClient::Reply(ReplyFrame { reply: Ok(Reply::Job(mut status)), .. }) = reply {
            status.spec.task.args = vec![Arg::default(); LIST_MAX];
            jobs = vec![status; 15];
        }
    }
    let page = Reply::JobPage { jobs, next: None, more: More::Many };
    let many = ToClient::Reply(ReplyFrame { id: 1, reply: Ok(page) });
    let mut meta = BytesMut::new();
    many.encode_meta(&mut meta).expect("encodes");
    assert!(meta.len() <= META_MAX && meta.len() > META_MAX * 9 / 10, "{}", meta.len());
    decode_all(&framed(many.kind(), &meta));
}

#[test]
fn damaged_messages_never_panic_and_never_take_more_than_the_bound() {
    let mut random = Random(1);
    for whole in every_frame() {
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                let place = HEADER_LEN + random.below((bytes.len() - HEADER_LEN).max(1));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = random.next() as u8;
                }
            }
            decode_all(&bytes.into());
        }
    }
}

#[test]
fn random_bytes_never_panic_and_never_take_more_than_the_bound() {
    let mut random = Random(2);
    let kinds: Vec<u16> =
        every_frame().iter().map(|frame| u16::from_le_bytes([frame[4], frame[5]])).collect();
    for _ in 0..20_000 {
        let meta: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        let kind = kinds[random.below(kinds.len())];
        decode_all(&framed(kind, &meta));
        decode_all(&Bytes::from(meta.clone()));
        let (peak, _) = peak_of(|| durable::decode::<Record>(&meta).is_ok());
        assert!(peak <= MEMORY_BASE + MEMORY_PER_BYTE * meta.len(), "{peak}");
    }
}

#[test]
fn a_message_too_large_for_a_frame_is_not_written() {
    let lists = vec![u32::MAX; LIST_MAX];
    let blocks = samples::to_worker().into_iter().find_map(|message| match message {
        ToWorker::Assign(mut assign) => {
            let grant = assign.leases.pop().expect("there is one");
            let inputs = InputBlock::Packed(lists.clone());
            assign.leases = vec![wasmgrid_proto::wire::LeaseGrant { inputs, ..grant }; 4];
            Some(ToWorker::Assign(assign))
        }
        _ => None,
    });
    let mut out = BytesMut::from(&b"before"[..]);
    let error = frame::encode(&Envelope::from(blocks.expect("there is one")), &mut out)
        .expect_err("over the cap");
    assert!(matches!(error, FrameError::TooLarge { what: "meta", .. }), "{error:?}");
    assert_eq!(&out[..], b"before", "nothing of it is written");
}
