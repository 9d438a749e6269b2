//! `wasmgrid inspect`: what a `.wasm` file is, without running it.

use std::fs;

use serde::Serialize;
use wasmgrid_proto::{ByteCount, ModuleInfo};

use crate::{
    args::{Format, InspectArgs},
    cluster::view::kind,
    exit::{Exit, refused, usage},
    module, table,
};

/// What is printed with `--output json`: a public interface.
#[derive(Serialize)]
struct Inspection<'a> {
    kind: &'static str,
    description: String,
    imports: &'a [String],
    exports: &'a [String],
    size_bytes: u64,
    digest: String,
}

/// Prints what the file is.
///
/// # Errors
/// A usage error where it cannot be read; a refusal where it is no task.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<Exit> {
    let name = args.file.display();
    let bytes =
        fs::read(&args.file).map_err(|error| usage(format!("failed to read {name}: {error}")))?;
    let info = module::admit(&bytes).map_err(|why| refused(format!("{name}: {why}")))?;
    match args.output {
        Format::Json => table::json(&Inspection {
            kind: kind(info.kind),
            description: info.kind.to_string(),
            imports: &info.imports,
            exports: &info.exports,
            size_bytes: info.size_bytes,
            digest: info.digest.to_string(),
        })?,
        Format::Text => print(&info),
    }
    Ok(Exit::Ok)
}

fn print(info: &ModuleInfo) {
    table::fields([
        ("kind", info.kind.to_string()),
        ("size", ByteCount(info.size_bytes).to_string()),
        ("digest", info.digest.to_string()),
        ("exports", list(&info.exports)),
        ("imports", list(&info.imports)),
    ]);
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join("\n         ") }
}
