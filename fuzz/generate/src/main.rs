//! What the generated tests and the fuzz targets start from, made of numbers and golden files, so
//! that no file of bytes has to be kept.
//!
//! `wasmgrid-generate modules FIRST LAST` writes a module a seed to standard output, each behind a
//! line with its seed, kind and length. `wasmgrid-generate corpus FOLDER` writes the first inputs
//! of each fuzz target.

mod corpus;
mod modules;

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["modules", first, last] => write_modules(first, last),
        ["corpus", folder] => corpus::write(Path::new(folder)),
        _ => Err("usage: wasmgrid-generate modules FIRST LAST | corpus FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasmgrid-generate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_modules(first: &str, last: &str) -> Result<(), Box<dyn Error>> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for seed in first.parse::<u64>()?..last.parse()? {
        let (kind, module) = modules::module(seed)?;
        writeln!(out, "{seed} {kind} {}", module.len())?;
        out.write_all(&module)?;
    }
    Ok(out.flush()?)
}
