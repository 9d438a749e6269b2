use std::{env, fs, path::Path};

use wasmgrid_proto::{JobId, Refusal};

use super::*;
use crate::exit::{self, WithExit as _, chain};

/// One of each reason, with every number, length and variant in it read from bytes of this value.
fn samples(fill: u8) -> Vec<Reason> {
    let sample = |at: usize| {
        // Place 0 is of reasons that are not known.
        let mut bytes = vec![u8::try_from(at + 1).expect("one byte")];
        bytes.extend([fill; 1_000]);
        postcard::take_from_bytes(&bytes).expect("0 and 1 are lengths and variants of all").0
    };
    (0..Reason::ALL.len()).map(sample).collect()
}

#[test]
fn every_reason_is_worded_on_one_line_and_as_people_speak() {
    for reason in samples(0).into_iter().chain(samples(1)) {
        let text = answer(&reason.clone().into());
        let text = text.replace("\\u{1}", "x");
        for wrong in ["\n", "Some(", "None", "::", "{", "}", "; ;", ";;", reason.name()] {
            assert!(!text.contains(wrong), "{wrong:?} in {text:?}");
        }
        assert_eq!(text.matches('`').count() % 2, 0, "{text:?}");
    }
}

#[test]
fn advice_names_commands_that_there_are() {
    for reason in samples(0).into_iter().chain(samples(1)) {
        let advice = advice(&reason).unwrap_or_default();
        let commands = advice.split('`').skip(1).step_by(2);
        for command in commands.filter(|command| command.starts_with("wasmgrid ")) {
            let words =
                command.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            let asked = words.map(String::from).chain(["--help".into()]);
            let error = crate::args::parse_from(asked).expect_err("help");
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{command}: {error}");
        }
    }
}

#[test]
fn advice_is_found_wherever_the_answer_stands_among_the_causes() {
    let answer = || ClientError::from(ApiError::from(Reason::NoJob { job: JobId(7) }));
    let expected = "there is no job 7; see `wasmgrid job list`";
    assert_eq!(chain(&answer().into()), expected);
    let coded = Err::<(), _>(answer()).exit(exit::Exit::Usage).expect_err("an error");
    assert_eq!(chain(&coded), expected);
    let named = coded.context("failed to show it");
    assert_eq!(chain(&named), format!("failed to show it: {expected}"));
    let refused = GaveUp::Refused(Reason::LabelVouched { key: "zone".into() }.into());
    assert!(chain(&refused.into()).ends_with("start it without `--label zone=...`"));
    let plain = anyhow::anyhow!("disk on fire");
    assert_eq!(chain(&plain), "disk on fire");
}

/// What of the reference is made here stands between these.
const MADE: [&str; 2] =
    ["<!-- made from the code: BLESS=1 cargo test --workspace words -->\n", "<!-- end -->"];

#[test]
fn the_reference_lists_every_reason_with_its_meaning_and_exit_code() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/reference/reasons.md");
    let page = fs::read_to_string(&path).expect("the reference");
    let mut table = String::from("| name | meaning | category | exit code |\n|---|---|---|---|\n");
    for (entry, reason) in Reason::ALL.iter().zip(samples(1)) {
        let exit = exit::of(&ClientError::from(ApiError::from(reason)).into()) as u8;
        let meaning = entry.meaning.trim().trim_end_matches('.');
        table += &format!("| `{}` | {meaning} | {} | {exit} |\n", entry.name, entry.code);
    }
    let (before, rest) = page.split_once(MADE[0]).expect("the beginning of the table");
    let (found, after) = rest.split_once(MADE[1]).expect("its end");
    if env::var_os("BLESS").is_some() {
        let made = [before, MADE[0], &table, MADE[1], after].concat();
        fs::write(&path, made).expect("written");
    } else {
        assert!(found == table, "{} differs from the code: run with BLESS=1", path.display());
    }
}

#[test]
fn a_reason_has_one_exit_code_whichever_way_it_comes() {
    let code = |error: anyhow::Error| exit::of(&error);
    for reason in samples(1) {
        let error = || ApiError::from(reason.clone());
        let denied = || NetError::Denied { address: "127.0.0.1:1".into(), error: error() };
        let of_request = code(ClientError::from(error()).into());
        let silent = NetError::Unreachable { address: "a:1".into(), reason: "silence".into() };
        let several = NetError::Several { failures: vec![silent, denied()] };
        for of_link in [denied().into(), several.into(), GaveUp::Unreachable(denied()).into()] {
            assert_eq!(code(of_link), of_request, "{}", reason.name());
        }
        assert_eq!(code(GaveUp::Refused(error()).into()), of_request, "{}", reason.name());
    }
    let label = GaveUp::Refused(Reason::LabelVouched { key: "zone".into() }.into());
    assert_eq!(code(label.into()), exit::Exit::Usage);
    let removed = GaveUp::Removed("an operator removed it".into());
    assert_eq!(code(removed.into()), exit::Exit::Unreachable);
}

#[test]
fn the_reference_lists_every_kind_of_refusal() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/reference/reasons.md");
    let page = fs::read_to_string(path).expect("the reference");
    let kind = |at: u8| {
        let bytes: Vec<u8> = [at].into_iter().chain([1; 100]).collect();
        postcard::take_from_bytes::<Refusal>(&bytes).ok().map(|(refusal, _)| refusal)
    };
    let kinds: Vec<Refusal> = (0..).map_while(kind).collect();
    assert!(kinds.len() > 20, "{} kinds are not all", kinds.len());
    for refusal in &kinds {
        assert!(page.contains(&format!("| `{}` | ", refusal.name())), "{}", refusal.name());
    }
}
