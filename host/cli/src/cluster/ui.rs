//! `wasmgrid ui`: the pages of a cluster in a browser, as who asks here.

use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::with;
use crate::{
    args::UiArgs,
    exit::{Exit, WithExit as _},
    print::{data, data_on_terminal, message},
};

/// The program that opens a link in the user's browser.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Prints a link with which this user logs in once, and opens it.
///
/// # Errors
/// If the cluster cannot be reached, or the link cannot be printed.
pub async fn ui(args: UiArgs) -> anyhow::Result<Exit> {
    let UiArgs { http, print, grid } = args;
    let (code, _) = with(&grid, async |client| Ok(client.create_login().await?)).await?;
    let link = http.page(&format!("login?code={}", code.text()));
    data!("{link}").context("failed to print the link").exit(Exit::Failed)?;
    if !print && data_on_terminal() {
        open(&link);
    }
    Ok(Exit::Ok)
}

/// Opens the link, if there is something that does. Nothing waits for that: it may be the browser
/// itself.
fn open(link: &str) {
    let mut opener = Command::new(OPENER);
    opener.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match opener.spawn() {
        Ok(_) => message!("the link works once, within two minutes"),
        Err(_) => message!("open the link in a browser; it works once, within two minutes"),
    }
}
