//! The command that runs kept inputs again. Not for how they are kept.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{
    args::{Format, Order, RunArgs},
    escape,
};

/// The command that runs the inputs of a file again as they were run.
pub fn command(written: &Path, run: &RunArgs) -> String {
    let RunArgs { output, each, grid, local, .. } = run;
    let mut words: Vec<&OsStr> = ["wasmgrid", "run", "--again"].map(OsStr::new).to_vec();
    words.push(written.as_os_str());
    let beside = written.with_extension("again");
    let other = output.out.as_ref().map(|out| {
        let mut other = out.clone().into_os_string();
        other.push(".again");
        PathBuf::from(other)
    });
    if let Some(out) = &output.out {
        // The results that are there stay.
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_owned();
        let is_beside = bytes(written).starts_with(&bytes(out));
        let again = match &each.resume {
            _ if is_beside => &beside,
            Some(_) => other.as_ref().unwrap_or(&beside),
            None => out,
        };
        words.extend([OsStr::new("-o"), again.as_os_str()]);
    }
    if output.raw {
        words.push(OsStr::new("--raw"));
    }
    if output.format == Format::Json {
        words.extend([OsStr::new("--output"), OsStr::new("json")]);
    }
    if output.order == Some(Order::Done) {
        words.extend([OsStr::new("--order"), OsStr::new("done")]);
    }
    if each.with_input {
        words.push(OsStr::new("--with-input"));
    }
    if let Some(dir) = &each.out_dir {
        words.extend([OsStr::new("--out-dir"), dir]);
    }
    if *local {
        words.push(OsStr::new("--local"));
    }
    if let Some(context) = &grid.context {
        words.extend([OsStr::new("--context"), OsStr::new(context)]);
    }
    words.into_iter().map(escape::shell).collect::<Vec<_>>().join(" ")
}

/// The command that goes on with a run.
pub fn resume(progress: &Path) -> String {
    format!("wasmgrid run --resume {}", escape::shell(progress.as_os_str()))
}
