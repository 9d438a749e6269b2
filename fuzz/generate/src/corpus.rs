//! First inputs of the fuzz targets: generated modules, the golden frames of the wire, and a
//! runner's messages.

use std::{error::Error, fs, path::Path};

use wasmgrid_proto::{
    Digest, Extensions, InputBlock, JobId, LeaseId, ModuleKind, Outcome, ResultBlock, ResultMeta,
    TaskSpec, Usage, WorkerId,
};

use crate::modules;

/// Every message of the wire as hexadecimal bytes, a line each, by minor version.
const GOLDEN: [&str; 2] = [
    include_str!("../../../host/proto/tests/golden/messages-0.txt"),
    include_str!("../../../host/proto/tests/golden/messages-1.txt"),
];

/// The links in the order in which the frame target numbers them.
const LINKS: [&str; 6] =
    ["FromClient", "ToClient", "FromWorker", "ToWorker", "FromJoiner", "ToJoiner"];

/// Modules to begin with; the fuzzer makes more of them.
const MODULES: u64 = 64;

/// Writes a folder for each target.
pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let admission = folder.join("admission");
    fs::create_dir_all(&admission)?;
    for seed in 0..MODULES {
        fs::write(admission.join(format!("seed-{seed}")), modules::module(seed)?.1)?;
    }

    let frames = folder.join("frame");
    fs::create_dir_all(&frames)?;
    for (number, line) in GOLDEN.iter().flat_map(|minor| minor.lines()).enumerate() {
        let (name, hex) = line.split_once(' ').ok_or("a golden line is a name and bytes")?;
        let link = LINKS.iter().position(|link| name.split('.').next() == Some(link));
        let mut bytes = vec![u8::try_from(link.ok_or("a golden line of no link")?)?];
        for at in (0..hex.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&hex[at..at + 2], 16)?);
        }
        fs::write(frames.join(format!("seed-{number}")), bytes)?;
    }

    let runner = folder.join("runner");
    fs::create_dir_all(&runner)?;
    for (name, frame) in [("run", run()?), ("cancel", cancel()?), ("results", results()?)] {
        fs::write(runner.join(name), frame)?;
    }
    Ok(())
}

/// The fields of the sandbox's `Run`, in its order: postcard writes a tuple as it writes a struct.
fn run() -> Result<Vec<u8>, Box<dyn Error>> {
    let spec = TaskSpec {
        args: vec!["one".into()],
        seed: 1,
        tenant: "somebody".into(),
        ..TaskSpec::new(Digest([7; 32]), ModuleKind::Task)
    };
    let inputs = InputBlock::Packed(vec![3, 0, 2]);
    let meta = (1_u64, JobId(1), LeaseId(2), 1_u32, WorkerId(3), spec, 0_u64, inputs);
    Ok(frame(2, &postcard::to_allocvec(&meta)?, b"abcde"))
}

fn cancel() -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(frame(3, &postcard::to_allocvec(&(JobId(1), "somebody"))?, b""))
}

fn results() -> Result<Vec<u8>, Box<dyn Error>> {
    let result = |index, outcome| ResultMeta {
        index,
        outcome,
        usage: Usage { fuel: 1_000, memory_bytes: 65_536, wall_us: 12 },
        output_len: 2,
        record_lens: vec![1, 0],
        log_len: 3,
        log_dropped: 0,
    };
    let block = ResultBlock {
        job: JobId(1),
        lease: LeaseId(2),
        attempt: 1,
        worker: WorkerId(3),
        results: vec![result(0, Outcome::Ok), result(1, Outcome::Exit(3))],
        extensions: Extensions::NONE,
    };
    Ok(frame(1, &postcard::to_allocvec(&(1_u64, block))?, b"ooRlllooRlll"))
}

/// A frame as [`wasmgrid_proto::frame`] describes it.
fn frame(kind: u16, meta: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let all = length(6 + meta.len() + payload.len());
    [&all[..], &kind.to_le_bytes(), &length(meta.len()), meta, payload].concat()
}
