//! One result as text or JSON. Not for where it goes.

use std::{
    borrow::Cow,
    io::{self, Write},
    path::Path,
};

use wasmgrid_proto::{Outcome, Parts};
use wasmgrid_views::{Data, ResultBytes, ResultLine, error};

use super::{
    ledger::{Input, Place},
    output::Shape,
    reorder::{NEVER_RAN, Shown},
};

/// Writes a result as text: nothing of a task that failed. Of a filter that exited with another code
/// than 0 its output is written, as a shell would; its records, which no command has, are not.
///
/// # Errors
/// As `out` has it.
pub fn write_plain(out: &mut impl Write, shape: Shape, shown: Shown<'_>) -> io::Result<()> {
    let Parts { output, records, .. } =
        shown.meta.parts(shown.payload).map_err(io::Error::other)?;
    match &shown.meta.outcome {
        Outcome::Ok => {}
        Outcome::Exit(_) if shape == Shape::Filter => return out.write_all(output),
        _ => return Ok(()),
    }
    for bytes in records.chain([output]) {
        out.write_all(bytes)?;
        if shape == Shape::Lines && bytes.last().is_some_and(|last| *last != b'\n') {
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Writes a result's lines, each behind its input and a tab.
///
/// # Errors
/// As `out` has it.
pub fn write_with_input(out: &mut impl Write, shown: Shown<'_>, input: &Input) -> io::Result<()> {
    if shown.meta.outcome != Outcome::Ok {
        return Ok(());
    }
    let Parts { output, records, .. } =
        shown.meta.parts(shown.payload).map_err(io::Error::other)?;
    let prefix = prefix(input);
    for line in records.chain([output]).flat_map(|bytes| bytes.split_inclusive(|b| *b == b'\n')) {
        out.write_all(&prefix)?;
        out.write_all(b"\t")?;
        out.write_all(line)?;
        if !line.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// What stands for an input in a line: itself if it is one, else where it is from; if only the grid
/// knew it, its task.
fn prefix(input: &Input) -> Cow<'_, [u8]> {
    let bytes = match &input.place {
        Place::File { path } => path.as_os_str().as_encoded_bytes(),
        Place::Deleted(task) => return task.to_string().into_bytes().into(),
        _ => {
            let line = input.bytes.strip_suffix(b"\n").unwrap_or(&input.bytes);
            line.strip_suffix(b"\r").unwrap_or(line)
        }
    };
    if !bytes.contains(&b'\n') {
        return bytes.into();
    }
    match &input.place {
        Place::Line { name } => name.as_bytes().into(),
        Place::Stored(task) => task.to_string().into_bytes().into(),
        _ => bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\n"[..]).into(),
    }
}

/// What else is known of a result.
#[derive(Clone, Copy, Default)]
pub struct ResultContext<'a> {
    /// Its input.
    pub input: Option<&'a Input>,
    /// Whether results have files of their own, and this one's.
    pub file: Option<Option<&'a Path>>,
}

/// Writes a result as a line of JSON.
///
/// # Errors
/// As `out` has it.
pub fn write_json(
    out: &mut impl Write,
    shown: Shown<'_>,
    beside: ResultContext<'_>,
) -> io::Result<()> {
    let meta = shown.meta;
    let Parts { output, records, log } = meta.parts(shown.payload).map_err(io::Error::other)?;
    let ran = shown.attempt != NEVER_RAN;
    let (mut from, mut bytes, mut file) = (None, None, None);
    if let Some(input) = beside.input {
        match &input.place {
            Place::Single | Place::Deleted(_) => {}
            Place::Range | Place::Stored(_) => bytes = Some(Data::from(&*input.bytes)),
            Place::Line { name } => {
                from = Some(name.as_str());
                bytes = Some(Data::from(&*input.bytes));
            }
            Place::File { path } => file = Some(Data::from(path.as_path())),
        }
    }
    let line = ResultLine {
        index: meta.index,
        from,
        input: bytes,
        file,
        cursor: ran.then_some(shown.cursor),
        outcome: meta.outcome.name(),
        deterministic: meta.outcome.is_deterministic(),
        bytes: beside.file.is_none().then(|| ResultBytes {
            output: Data::from(output),
            records: records.map(Data::from).collect(),
        }),
        output_file: beside.file.flatten().map(Data::from),
        attempt: shown.attempt,
        worker: ran.then_some(shown.worker.0),
        usage: meta.usage.into(),
        error: error(&meta.outcome),
        log: Data::from(log),
        log_dropped: meta.log_dropped,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{JobId, TaskId, TrapKind};

    use super::{
        super::reorder::{Finished, Run, tests::finished},
        *,
    };

    const TASK: TaskId = TaskId { job: JobId(3), index: 17 };

    fn with_record(mut result: Finished, record: &str) -> Finished {
        let mut payload = result.payload.to_vec();
        payload.extend_from_slice(record.as_bytes());
        result.meta.record_lens = vec![record.len() as u32];
        result.payload = payload.into();
        result
    }

    fn plain(shape: Shape, results: &[Finished]) -> String {
        let mut out = Vec::new();
        for result in results {
            write_plain(&mut out, shape, result.shown()).expect("written");
        }
        String::from_utf8(out).expect("UTF-8")
    }

    fn input(bytes: &str, place: Place) -> Input {
        Input { bytes: bytes.to_owned().into(), place }
    }

    #[test]
    fn each_output_is_a_line_after_its_records() {
        let results = [
            with_record(finished(0, Outcome::Ok, "zero"), "record"),
            finished(1, Outcome::Ok, "one\n"),
            finished(2, Outcome::Ok, ""),
            finished(3, Outcome::Exit(1), "half"),
        ];
        assert_eq!(plain(Shape::Lines, &results), "record\nzero\none\n");
        assert_eq!(plain(Shape::Raw, &results), "recordzeroone\n");
        assert_eq!(plain(Shape::Filter, &results), "recordzeroone\nhalf");
        let trap = Outcome::Trap { kind: TrapKind::Unreachable, backtrace: String::new() };
        for outcome in [Outcome::Rejected("no".into()), trap] {
            let failed = [with_record(finished(0, outcome, "half"), "record")];
            for shape in [Shape::Filter, Shape::Lines, Shape::Raw] {
                assert_eq!(plain(shape, &failed), "");
            }
        }
        let exited = [with_record(finished(0, Outcome::Exit(1), ""), "record")];
        assert_eq!(plain(Shape::Filter, &exited), "");
    }

    #[test]
    fn every_line_of_an_output_stands_behind_its_input() {
        let line = |name: &str| Place::Line { name: name.into() };
        let file = |path: &str| Place::File { path: path.into() };
        for (input, expected) in [
            (input("ada", line("in:1")), "ada"),
            (input("ada\r\n", line("in:1")), "ada"),
            (input("one\ntwo\n", line("in:1-2")), "in:1-2"),
            (input("", file("a/b.txt")), "a/b.txt"),
            (input("", file("a\nb")), "a\\nb"),
            (input("7", Place::Range), "7"),
            (input("ada\n", Place::Stored(TASK)), "ada"),
            (input("one\ntwo\n", Place::Stored(TASK)), "3/17"),
            (input("", Place::Deleted(TASK)), "3/17"),
        ] {
            let result = with_record(finished(0, Outcome::Ok, "two\nlines"), "record");
            let mut out = Vec::new();
            write_with_input(&mut out, result.shown(), &input).expect("written");
            let expected: String =
                ["record", "two", "lines"].map(|text| format!("{expected}\t{text}\n")).concat();
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
        let mut out = Vec::new();
        let (failed, input) = (finished(0, Outcome::Exit(1), "half"), input("7", Place::Range));
        write_with_input(&mut out, failed.shown(), &input).expect("written");
        assert!(out.is_empty());
    }

    fn json(shown: Shown<'_>, beside: ResultContext<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        write_json(&mut out, shown, beside).expect("written");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_result_in_json_has_the_documented_fields() {
        let result = with_record(finished(3, Outcome::Rejected("no".into()), "out"), "rec");
        let mut expected = serde_json::json!({
            "index": 3, "cursor": 3, "outcome": "rejected", "deterministic": true, "output": "out", "records": ["rec"],
            "attempt": 1, "worker": 1, "usage": {"fuel": "0", "memory_bytes": 0, "wall_us": 0},
            "error": "rejected: no", "log": "", "log_dropped": 0,
        });
        assert_eq!(json(result.shown(), ResultContext::default()), expected);
        let line = input("a line", Place::Line { name: "in:4".into() });
        let beside = ResultContext { input: Some(&line), file: None };
        expected["from"] = "in:4".into();
        expected["input"] = "a line".into();
        assert_eq!(json(result.shown(), beside), expected);
        let stored = input("a line", Place::Stored(TASK));
        let found = json(result.shown(), ResultContext { input: Some(&stored), file: None });
        assert_eq!((found.get("from"), &found["input"]), (None, &"a line".into()));
        let deleted = input("", Place::Deleted(TASK));
        let found = json(result.shown(), ResultContext { input: Some(&deleted), file: None });
        assert!(found.get("from").is_none() && found.get("input").is_none());
        let file = input("", Place::File { path: "a.txt".into() });
        let written = Path::new("out/a.txt");
        let found =
            json(result.shown(), ResultContext { input: Some(&file), file: Some(Some(written)) });
        assert_eq!((&found["file"], &found["output_file"]), (&"a.txt".into(), &"out/a.txt".into()));
        assert!(found.get("output").is_none() && found.get("input").is_none());
    }

    #[test]
    fn a_task_that_never_ran_has_no_worker_and_no_place_in_the_log() {
        let run = Run::unrun(3, "gone".into());
        let line = json(run.results().next().expect("one"), ResultContext::default());
        let null = serde_json::Value::Null;
        assert_eq!((&line["cursor"], &line["worker"]), (&null, &null));
        assert_eq!((&line["index"], &line["attempt"]), (&3.into(), &0.into()));
        assert_eq!(
            (&line["outcome"], &line["error"]),
            (&"refused".into(), &"refused: gone".into())
        );
    }
}
