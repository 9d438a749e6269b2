//! The bytes of every message and record, by the minor version of the protocol that was the first to
//! know it. Other releases and journals on disk have them too: a line of a golden file never changes,
//! new ones are added with `BLESS=1`, and so this reads and writes what each earlier minor did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write},
    fs,
    path::PathBuf,
};

use bytes::Bytes;
use wasmgrid_proto::{
    Digest, Extensions, JobId, Micros, Record, SnapshotItem, UnknownExtension,
    durable::{self, Durable as _, ReadError},
    frame::{self, Envelope},
    wire::{
        FromClient, FromJoiner, FromWorker, Hello, Message, PROTOCOL_MINOR, Reply, ReplyFrame,
        Request, RequestFrame, ToClient, ToJoiner, ToWorker,
    },
};

use crate::samples;

#[test]
fn messages_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    frames(samples::from_worker(), &mut lines);
    frames(samples::to_worker(), &mut lines);
    frames(samples::from_client(), &mut lines);
    frames(samples::to_client(), &mut lines);
    frames(samples::from_joiner(), &mut lines);
    frames(samples::to_joiner(), &mut lines);
    for minor in 0..=PROTOCOL_MINOR {
        let of_minor: Vec<_> = lines.extract_if(.., |(since, ..)| *since == minor).collect();
        let of_minor: Vec<_> = of_minor.into_iter().map(|(_, name, bytes)| (name, bytes)).collect();
        compare(&format!("messages-{minor}.txt"), &of_minor);
    }
    assert!(lines.is_empty(), "of a minor that there is not: {lines:?}");
}

#[test]
fn a_hello_has_its_golden_bytes_and_is_read_back() {
    let hello = samples::hello();
    let bytes = hello.encode().expect("encodes");
    assert_eq!(Hello::decode(&bytes).as_ref(), Ok(&hello));
    let minors = "Hello.".to_owned() + &PROTOCOL_MINOR.to_string();
    let acting = samples::acting_hello();
    let acting_bytes = acting.encode().expect("encodes");
    assert_eq!(Hello::decode(&acting_bytes).as_ref(), Ok(&acting));
    let acting = (format!("{minors}.ActFor"), hex(&acting_bytes));
    compare(&format!("hello-{PROTOCOL_MINOR}.txt"), &[(minors, hex(&bytes)), acting]);
}

#[test]
fn records_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for record in samples::records() {
        let bytes = durable::encode(&record).expect("encodes");
        assert_eq!(durable::decode::<Record>(&bytes).as_ref(), Ok(&record));
        lines.push((name(&record), hex(&bytes)));
    }
    assert_eq!(bytes_of_variants(&lines).len(), Record::VARIANTS as usize, "one of each");
    compare("records.txt", &lines);
}

#[test]
fn fields_that_records_got_later_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for record in samples::extended_records() {
        let bytes = durable::encode(&record).expect("encodes");
        assert_eq!(durable::decode::<Record>(&bytes).as_ref(), Ok(&record));
        lines.push((name(&record), hex(&bytes)));
    }
    compare("records-extended.txt", &lines);
}

#[test]
fn a_field_that_a_record_got_later_is_default_in_one_of_before() {
    for record in samples::extended_records() {
        let before = postcard::to_allocvec(&(&record, Extensions::NONE)).expect("encodes");
        let read = durable::decode::<Record>(&before).expect("decodes");
        assert_ne!(read, record, "its extension is not in its own fields");
        assert!(samples::records().contains(&read), "{read:?}");
    }
}

#[test]
fn what_a_later_release_writes_down_is_refused_by_number() {
    for known in [durable::encode(&samples::records()[0]), durable::encode(&samples::snapshot()[0])]
    {
        let mut later = known.expect("encodes");
        later[0] = 120;
        let number = |error| match error {
            ReadError::Unknown { number, .. } => number,
            other => panic!("{other:?}"),
        };
        assert_eq!(durable::decode::<Record>(&later).map_err(number), Err(120));
        assert_eq!(durable::decode::<SnapshotItem>(&later).map_err(number), Err(120));
    }
}

#[test]
fn a_record_of_a_later_release_is_refused_only_if_what_it_adds_is_critical() {
    let record = Record::JobForgotten { job: JobId(2) };
    let with = |extensions: Extensions| {
        let bytes = postcard::to_allocvec(&(&record, extensions)).expect("encodes");
        durable::decode::<Record>(&bytes)
    };
    assert_eq!(with(samples::extended(false)).as_ref(), Ok(&record));
    let refused = UnknownExtension { what: "a record", id: 0x1234 };
    assert_eq!(with(samples::extended(true)), Err(ReadError::Extension(refused)));
    let mut spec = samples::job_spec();
    spec.task.extensions = samples::extended(true);
    let (job, digest, at) = (JobId(2), Digest::of(b""), Micros(1));
    let submitted =
        Record::JobSubmitted { job, spec: Box::new(spec), idempotency_key: None, digest, at };
    let bytes = durable::encode(&submitted).expect("encodes");
    let refused = UnknownExtension { what: "a task's spec", id: 0x1234 };
    assert_eq!(durable::decode::<Record>(&bytes), Err(ReadError::Extension(refused)));
}

#[test]
fn an_unknown_request_is_told_apart_from_a_malformed_one() {
    let read = |meta: &[u8]| FromClient::decode_meta(0x0301, meta);
    let request = |id, request| Ok(Some(FromClient::Request(RequestFrame { id, request })));
    // The client's number, the request's, and fields that nobody knows.
    let unknown = Request::Unknown { number: Request::KNOWN };
    assert_eq!(read(&[7, Request::KNOWN as u8, 0xff, 0xff]), request(7, unknown.clone()));
    assert!(read(&[7, 0, 1, 2]).is_err(), "a digest is longer");
    assert!(read(&[7]).is_err(), "it has no number");
    // Its payload, if it has any, is nobody's.
    let mut bytes = frame::encode_one(&Envelope::from(FromClient::Request(RequestFrame {
        id: 7,
        request: unknown.clone(),
    })))
    .expect("encodes");
    bytes.extend_from_slice(b"payload");
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let message = FromClient::Request(RequestFrame { id: 7, request: unknown });
    assert_eq!(frame::decode(bytes.into()), Ok(Some(Envelope::from(message))));
}

#[test]
fn an_answer_that_cannot_be_read_is_still_an_answer() {
    let read = |meta: &[u8]| ToClient::decode_meta(0x0401, meta);
    let unreadable = ReplyFrame { id: 7, reply: Ok(Reply::Unreadable) };
    assert_eq!(read(&[7, 0, 99, 1, 2]), Ok(Some(ToClient::Reply(unreadable))));
    assert!(read(&[0xff]).is_err(), "to no request");
}

#[test]
fn every_request_is_counted() {
    let numbers: BTreeSet<u32> = samples::from_client()
        .into_iter()
        .filter_map(|message| match message {
            FromClient::Request(frame) => Some(frame.request),
            _ => None,
        })
        .map(|request| {
            let bytes = postcard::to_allocvec(&request).expect("encodes");
            postcard::take_from_bytes::<u32>(&bytes).expect("its number").0
        })
        .collect();
    assert_eq!(numbers, (0..Request::KNOWN).collect());
}

#[test]
fn snapshots_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for item in samples::snapshot() {
        let bytes = durable::encode(&item).expect("encodes");
        assert_eq!(durable::decode::<SnapshotItem>(&bytes).as_ref(), Ok(&item));
        lines.push((name(&item), hex(&bytes)));
    }
    let variants = SnapshotItem::VARIANTS as usize;
    assert_eq!(bytes_of_variants(&lines).len(), variants, "one of each");
    compare("snapshot.txt", &lines);
}

#[test]
fn states_and_reasons_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for state in samples::worker_states() {
        let bytes = postcard::to_allocvec(&state).expect("encodes");
        assert_eq!(postcard::from_bytes(&bytes).as_ref(), Ok(&state));
        lines.push((format!("WorkerState.{}", state.name()), hex(&bytes)));
    }
    for wait in samples::other_reasons() {
        let bytes = postcard::to_allocvec(&wait).expect("encodes");
        assert_eq!(postcard::from_bytes(&bytes).as_ref(), Ok(&wait));
        lines.push((format!("Wait.{}", wait.name()), hex(&bytes)));
    }
    compare("states.txt", &lines);
}

#[test]
fn every_kind_of_message_has_a_golden_line() {
    every_kind::<FromWorker>(&samples::from_worker());
    every_kind::<ToWorker>(&samples::to_worker());
    every_kind::<FromClient>(&samples::from_client());
    every_kind::<ToClient>(&samples::to_client());
    every_kind::<FromJoiner>(&samples::from_joiner());
    every_kind::<ToJoiner>(&samples::to_joiner());
}

#[test]
fn an_unknown_kind_is_skipped() {
    let mut bytes =
        frame::encode_one(&Envelope::from(samples::from_joiner().remove(0))).expect("encodes");
    bytes[4..6].copy_from_slice(&0x7fff_u16.to_le_bytes());
    assert_eq!(frame::decode::<FromJoiner>(bytes.into()), Ok(None));
}

/// Every kind that is decoded has a sample: a kind that is not known says so.
fn every_kind<M: Message>(samples: &[M]) {
    let sampled: BTreeSet<u16> = samples.iter().map(Message::kind).collect();
    let known: BTreeSet<u16> =
        (0..=u16::MAX).filter(|kind| !matches!(M::decode_meta(*kind, &[]), Ok(None))).collect();
    assert_eq!(sampled, known);
}

fn frames<M: Message + Clone + PartialEq>(
    messages: Vec<M>,
    lines: &mut Vec<(u16, String, String)>,
) {
    for message in messages {
        let payload = samples::payload(message.payload_len());
        let envelope = Envelope { message, payload };
        let bytes = frame::encode_one(&envelope).expect("encodes");
        let back = frame::decode::<M>(Bytes::from(bytes.clone())).expect("decodes");
        assert_eq!(back.as_ref(), Some(&envelope));
        let direction = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
        let name = format!("{direction}.{}", name(&envelope.message));
        lines.push((envelope.message.since(), name, hex(&bytes)));
    }
}

/// The names of a value and what is in it, up to the first that has fields.
fn name(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut names: Vec<&str> = words
        .take_while(|word| !word.starts_with(|c: char| c.is_ascii_lowercase()) || is_step(word))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()))
        .collect();
    names.dedup();
    names.join(".")
}

/// Fields that are stepped over on the way to the name of a request or an answer.
fn is_step(word: &str) -> bool {
    ["id", "request", "reply", "code"].contains(&word)
}

fn bytes_of_variants(lines: &[(String, String)]) -> BTreeSet<&str> {
    lines.iter().map(|(_, bytes)| &bytes[..2]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

fn compare(file: &str, lines: &[(String, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let golden: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(' ')).collect();
    let names: BTreeSet<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), lines.len(), "two lines of one name: {lines:#?}");
    let gone: Vec<&&str> = golden.keys().filter(|name| !names.contains(*name)).collect();
    assert!(gone.is_empty(), "nothing in {file} may go, old bytes stay readable: {gone:?}");
    let mut missing = String::new();
    for (name, bytes) in lines {
        match golden.get(name.as_str()) {
            Some(expected) => assert_eq!(bytes, expected, "the bytes of {name} changed"),
            None => writeln!(missing, "{name} {bytes}").expect("a string takes all"),
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text + &missing).expect("the golden file is writable");
    } else {
        assert!(missing.is_empty(), "not in {file}; add with BLESS=1:\n{missing}");
    }
}
