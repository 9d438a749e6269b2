//! What a run was asked for beside its task, in the first line of its file of progress: its inputs and
//! its output.

use std::{ffi::OsStr, path::PathBuf};

use serde::{Deserialize, Serialize};
use wasmgrid_views::Data;

use crate::args::{Format, InputArgs, RunArgs};

/// See the module.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The flags that name inputs.
    pub inputs: InputsForm,
    /// The flags that say where results go, and how.
    pub output: OutputForm,
    /// A file of `--out-dir` in the making, which a run that is cut off may leave.
    pub part: Option<Data<'static>>,
}

/// As typed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputsForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Data<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Data<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    csv: Option<Data<'static>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    csv_numbers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<Data<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grid: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
}

/// As typed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OutputForm {
    file: Option<Data<'static>>,
    out_dir: Option<Data<'static>>,
    json: bool,
    raw: bool,
    with_input: bool,
}

impl Asked {
    /// Of these flags.
    pub fn new(args: &RunArgs, part: Option<&OsStr>) -> Self {
        let owned = |path: &PathBuf| Data::owned(path.as_os_str());
        let InputArgs { json, files, range, csv, grid, cut, .. } = &args.inputs;
        let inputs = InputsForm {
            lines: args.inputs.lines().map(owned),
            json: json.as_ref().map(owned),
            csv: csv.as_ref().map(owned),
            csv_numbers: cut.csv_numbers.clone(),
            files: files.iter().map(|pattern| Data::owned(pattern)).collect(),
            range: range.map(|range| range.to_string()),
            grid: grid.iter().map(|axis| axis.text.clone()).collect(),
            batch: cut.batch.map(|batch| batch.to_string()),
        };
        let output = OutputForm {
            file: args.output.out.as_ref().map(owned),
            out_dir: args.each.out_dir.as_deref().map(Data::owned),
            json: args.output.format == Format::Json,
            raw: args.output.raw,
            with_input: args.each.with_input,
        };
        Self { inputs, output, part: part.map(Data::owned) }
    }

    /// Gives the flags what these were.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn fill(&self, args: &mut RunArgs) -> Result<(), String> {
        let path = |data: &Option<Data<'static>>| {
            data.clone().map(Data::into_path).transpose().map_err(|error| error.to_string())
        };
        let InputsForm { lines, json, csv, csv_numbers, files, range, grid, batch } = &self.inputs;
        let inputs = &mut args.inputs;
        (inputs.source, inputs.lines) = (None, path(lines)?);
        (inputs.json, inputs.csv) = (path(json)?, path(csv)?);
        inputs.cut.csv_numbers.clone_from(csv_numbers);
        let files = files.iter().map(|data| data.clone().into_path().map(Into::into));
        inputs.files = files.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        inputs.range = parsed(range.as_deref())?;
        let grid: Result<_, String> = grid.iter().map(|axis| parse(axis)).collect();
        inputs.grid = grid?;
        inputs.cut.batch = parsed(batch.as_deref())?;
        let OutputForm { file, out_dir, json, raw, with_input } = &self.output;
        (args.output.out, args.each.out_dir) = (path(file)?, path(out_dir)?.map(Into::into));
        args.output.format = if *json { Format::Json } else { Format::Text };
        (args.output.raw, args.each.with_input) = (*raw, *with_input);
        Ok(())
    }
}

fn parsed<T>(text: Option<&str>) -> Result<Option<T>, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.map(parse).transpose()
}

fn parse<T>(text: &str) -> Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| error.to_string())
}
