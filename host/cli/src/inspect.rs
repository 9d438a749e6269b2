//! `wasmgrid inspect`: what a `.wasm` file is, what it asks for and what it is given, without
//! running it; also for `run --dry-run`.

use serde::Serialize;
use wasmgrid_proto::{ByteCount, Grant, ModuleInfo};
use wasmgrid_views::kind;
use wasmgrid_worker::sandbox::admit::access;

use crate::{
    args::{Format, InspectArgs},
    escape::Outside,
    exit::{self, Exit},
    module::{self, Unfit},
    print::message,
    run::clash::Reads,
    table::{self, Value},
    words,
};

/// A module that is admitted, as `--output json` has it: a public interface.
#[derive(Serialize)]
pub struct ModuleView<'a> {
    admitted: bool,
    kind: &'static str,
    description: String,
    imports: &'a [String],
    /// What is given for each import.
    capabilities: Vec<Capability<'a>>,
    exports: &'a [String],
    size_bytes: u64,
    digest: String,
}

#[derive(Serialize)]
struct Capability<'a> {
    import: &'a str,
    /// `given`, `empty`, `simulated` or `granted`.
    access: &'static str,
    /// The grants that give the real thing, or would.
    grants: Vec<String>,
}

/// A file that is refused, as `--output json` has it.
#[derive(Serialize)]
struct RefusedView {
    admitted: bool,
    /// A name that stays the same.
    code: Option<&'static str>,
    refused: String,
}

impl<'a> ModuleView<'a> {
    /// Of a module, under these grants.
    pub fn new(info: &'a ModuleInfo, grants: &[Grant]) -> Self {
        let capability = |import: &'a String| {
            let access = access(import, grants);
            Capability { import, access: access.name(), grants: access.grants() }
        };
        Self {
            admitted: true,
            kind: kind(info.kind),
            description: info.kind.to_string(),
            imports: &info.imports,
            capabilities: info.imports.iter().map(capability).collect(),
            exports: &info.exports,
            size_bytes: info.size_bytes,
            digest: info.digest.to_string(),
        }
    }
}

/// Prints what the file is.
///
/// # Errors
/// A usage error where it cannot be read; a refusal where it is no task.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<Exit> {
    let mut reads = Reads::default();
    reads.module(&args.file);
    reads.check_stdout()?;
    let (_, info) = or_say(module::read(&args.file, &args.caps.caps()), args.output)?;
    match args.output {
        Format::Json => table::json(&ModuleView::new(&info, &[]))?,
        Format::Text => table::fields(fields(&info, &[]))?,
    }
    Ok(Exit::Ok)
}

/// Lets a refusal be read by programs too: it is printed as JSON before it ends the command.
///
/// # Errors
/// As `judged`.
pub fn or_say<T>(judged: anyhow::Result<T>, output: Format) -> anyhow::Result<T> {
    if let Err(error) = &judged
        && output == Format::Json
        && exit::of(error) == Exit::Refused
    {
        let code = exit::find(error, &|cause| {
            cause.downcast_ref::<Unfit>().map(|unfit| unfit.refusal.name())
        });
        let view = RefusedView { admitted: false, code, refused: exit::chain(error) };
        // The refusal is the error that counts, and its text is told on stderr.
        if let Err(unwritten) = table::json(&view) {
            message!("{}", exit::chain(&unwritten));
        }
    }
    judged
}

/// What a module is, for people. No name is longer than `imports`.
pub fn fields(info: &ModuleInfo, grants: &[Grant]) -> [(&'static str, Value); 5] {
    let shown: Vec<_> = info.imports.iter().map(|name| Outside::new(name).line()).collect();
    let width = shown.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let import = |(name, shown): (&String, &String)| {
        format!("{shown:width$}  {}", words::access(&access(name, grants)))
    };
    let imports = info.imports.iter().zip(&shown).map(import).collect();
    [
        ("kind", info.kind.to_string().into()),
        ("size", ByteCount(info.size_bytes).to_string().into()),
        ("digest", info.digest.to_string().into()),
        ("exports", list(info.exports.clone())),
        ("imports", list(imports)),
    ]
}

fn list(names: Vec<String>) -> Value {
    if names.is_empty() { Value::Line("none".into()) } else { Value::Lines(names) }
}
