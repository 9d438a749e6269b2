use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString as _},
    vec,
};

use super::*;
use crate::{JobId, text::REASON_MAX};

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

fn decoded(form: &impl Serialize) -> ApiError {
    let bytes = postcard::to_allocvec(form).expect("encoded");
    postcard::from_bytes(&bytes).expect("decoded")
}

#[test]
fn every_reason_is_read_as_it_was_sent() {
    for reason in samples(0).into_iter().chain(samples(1)) {
        let error = ApiError::from(reason);
        assert_eq!(decoded(&error), error);
    }
}

#[test]
fn every_reason_has_a_name_of_its_own_that_stays() {
    let names: BTreeSet<_> = Reason::ALL.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for (entry, reason) in Reason::ALL.iter().zip(samples(1)) {
        assert_eq!((entry.name, entry.code), (reason.name(), reason.code()));
        assert!(entry.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{entry:?}");
        assert!(entry.name.len() <= NAME_MAX, "{entry:?}");
        assert!(entry.meaning.trim().ends_with('.'), "{entry:?}");
    }
}

/// The words that stand in no text: of a command of ours, of Rust, and of a template.
const NO_WORDS: [&str; 7] = ["`wasmgrid ", "--", "Some(", "None", "::", "{", "}"];

#[test]
fn every_reason_reads_as_a_sentence_for_any_reader() {
    for reason in samples(0).into_iter().chain(samples(1)) {
        // Names that are escaped have braces: those of the samples are control characters.
        let text = reason.to_string().replace("\\u{1}", "x");
        assert!(!text.ends_with('.') && !text.contains('\n'), "{text:?}");
        let wrong: Vec<_> = NO_WORDS.iter().filter(|word| text.contains(*word)).collect();
        let is_of_a_module = matches!(reason, Reason::NotAdmitted { .. });
        assert!(wrong.is_empty() || is_of_a_module, "{wrong:?} in {text:?}");
    }
}

#[test]
fn a_reason_of_a_newer_release_keeps_its_sort_its_name_and_its_text() {
    let newer = |code, data| Form {
        code,
        name: "moon_is_full".into(),
        text: "the moon is full".into(),
        data,
    };
    let known = postcard::to_allocvec(&Reason::Stopping).expect("encoded");
    // A place that is not known here, one that is another's, and none.
    for data in [vec![0x7f, 3, 1], known, Vec::new()] {
        let error = decoded(&newer(5, data));
        assert_eq!((error.code, error.reason.name()), (ErrorCode::Unavailable, "moon_is_full"));
        assert_eq!(error.to_string(), "the moon is full");
        assert_eq!(decoded(&error), error, "whoever passes it on loses nothing");
    }
    assert_eq!(decoded(&newer(200, Vec::new())).code, ErrorCode::Refused);
}

#[test]
fn a_reason_with_more_fields_than_are_known_is_the_reason() {
    let reason = Reason::NoJob { job: JobId(7) };
    let mut form = Form::from(ApiError::from(reason.clone()));
    form.data.extend([1, 2, 3]);
    assert_eq!(*decoded(&form).reason, reason);
}

#[test]
fn an_error_is_bounded_whatever_it_quotes() {
    let long = "x".repeat(1 << 20);
    let long = long.as_str();
    let refusal = crate::Refusal::Import {
        import: long.into(),
        offset: 7,
        reason: long.into(),
        remedy: long.into(),
    };
    let reasons = [
        Reason::NotAdmitted { refusal: refusal.into() },
        Reason::StoreFailed { reason: long.into() },
        Reason::MembersLockedOut { names: Names::of([long; 100].iter()) },
    ];
    for reason in reasons {
        let bytes = postcard::to_allocvec(&ApiError::from(reason)).expect("encoded").len();
        assert!(bytes < 8 * REASON_MAX, "{bytes}");
    }
}

#[test]
fn codes_have_the_numbers_of_their_places() {
    for (place, code) in ErrorCode::ALL.into_iter().enumerate() {
        assert_eq!(code as usize, place);
        assert_eq!(format!("{code}"), String::from(code.name()));
    }
}
