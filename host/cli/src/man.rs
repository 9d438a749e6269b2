//! `wasmgrid man`: the manual's pages, made of what `--help` says.

use std::{fs, io};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{
    args::{Cli, ManArgs, examples, join, prose},
    exit::Exit,
};

/// Writes a page for each command into a folder.
///
/// # Errors
/// Where they cannot be written.
pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let folder = &args.folder;
    let failed = || format!("failed to write {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    let mut pages = Vec::new();
    pages_of(&all, "", &mut pages).with_context(failed)?;
    for (name, page) in pages {
        let path = folder.join(name);
        fs::write(&path, page).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(Exit::Ok)
}

/// Pages with their files' names: that of a command, and those of all below it.
fn pages_of(command: &Command, path: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let page = Man::new(command.clone())
        .source(format!("wasmgrid {}", command.get_version().unwrap_or_default()))
        .manual("wasmgrid");
    pages.push((page.get_filename(), written(&page, command, path)?));
    let mut below = command.get_subcommands().filter(|one| !one.is_hide_set());
    below.try_for_each(|one| pages_of(one, &join(path, one.get_name()), pages))
}

fn written(page: &Man, command: &Command, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    page.render_title(&mut bytes)?;
    page.render_name_section(&mut bytes)?;
    page.render_synopsis_section(&mut bytes)?;
    page.render_description_section(&mut bytes)?;
    page.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut bytes)?;
    }
    let mut end = Roff::default();
    if let Some(prose) = prose(command) {
        section(&mut end, "DETAILS", &prose);
    }
    if let Some(examples) = examples(path) {
        // The heading says it.
        let lines = examples.split_once('\n').map_or("", |(_, lines)| lines);
        section(&mut end, "EXAMPLES", lines);
    }
    end.to_writer(&mut bytes)?;
    Ok(bytes)
}

/// A section whose paragraphs flow, and whose indented lines stay as they are.
fn section(page: &mut Roff, heading: &str, text: &str) {
    page.control("SH", [heading]);
    let mut is_kept = false;
    for line in text.lines() {
        if line.starts_with(' ') != is_kept && !line.is_empty() {
            is_kept = !is_kept;
            page.control(if is_kept { "nf" } else { "fi" }, []);
        }
        match line {
            "" => page.control("PP", []),
            line => page.text([roman(line)]),
        };
    }
    if is_kept {
        page.control("fi", []);
    }
}
