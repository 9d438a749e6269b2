//! The bytes of every message and record. Other versions of this program, and journals on disk,
//! have them too: a line of a golden file never changes, new ones are added with `BLESS=1`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write},
    fs,
    path::PathBuf,
};

use bytes::Bytes;
use wasmgrid_proto::{
    JobSpec, Record, SnapshotItem,
    frame::{self, Envelope},
    wire::{FromClient, FromJoiner, FromWorker, Message, ToClient, ToJoiner, ToWorker},
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
    compare("messages.txt", &lines);
}

#[test]
fn records_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for record in samples::records() {
        let bytes = postcard::to_allocvec(&record).expect("encodes");
        let (back, rest) = postcard::take_from_bytes::<Record>(&bytes).expect("decodes");
        assert_eq!((back, rest.len()), (record.clone(), 0));
        lines.push((name(&record), hex(&bytes)));
    }
    assert_eq!(bytes_of_variants(&lines).len(), 26, "one of every record");
    compare("records.txt", &lines);
}

#[test]
fn a_spec_with_what_came_later_keeps_its_first_bytes_and_is_read_back() {
    let (plain, requiring, attached) =
        (samples::job_spec(), samples::requiring(), samples::attached());
    let encode = |spec: &JobSpec| postcard::to_allocvec(spec).expect("encodes");
    let (old, new) = (encode(&plain), encode(&requiring));
    let shared = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    assert_eq!((old[shared], new[shared]), (1, 2), "only the last field's variant differs");
    let bare = JobSpec { deadline: None, requires: Vec::new(), ..attached.clone() };
    let open = JobSpec { deadline: None, ..requiring.clone() };
    for spec in [&plain, &requiring, &open, &attached, &bare] {
        assert_eq!(postcard::from_bytes::<JobSpec>(&encode(spec)).as_ref(), Ok(spec));
    }
    let last = ("JobSpec.Attached".into(), hex(&encode(&attached)));
    let lines = [("JobSpec".into(), hex(&old)), ("JobSpec.Requires".into(), hex(&new)), last];
    compare("specs.txt", &lines);
}

#[test]
fn snapshots_have_their_golden_bytes_and_are_read_back() {
    let mut lines = Vec::new();
    for item in samples::snapshot() {
        let bytes = postcard::to_allocvec(&item).expect("encodes");
        let (back, rest) = postcard::take_from_bytes::<SnapshotItem>(&bytes).expect("decodes");
        assert_eq!((back, rest.len()), (item.clone(), 0));
        lines.push((name(&item), hex(&bytes)));
    }
    assert_eq!(bytes_of_variants(&lines).len(), 17, "one of every item");
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
    for wait in samples::later_reasons() {
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

fn frames<M: Message + Clone + PartialEq>(messages: Vec<M>, lines: &mut Vec<(String, String)>) {
    for message in messages {
        let payload = samples::payload(message.payload_len());
        let envelope = Envelope { message, payload };
        let bytes = frame::encode_one(&envelope).expect("encodes");
        let back = frame::decode::<M>(Bytes::from(bytes.clone())).expect("decodes");
        assert_eq!(back.as_ref(), Some(&envelope));
        let direction = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
        lines.push((format!("{direction}.{}", name(&envelope.message)), hex(&bytes)));
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
