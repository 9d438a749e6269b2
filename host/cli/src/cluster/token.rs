//! `wasmgrid token create`: tokens with which machines and people join.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
};

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_net::{JoinToken, Role};
use wasmgrid_proto::wire::TokenRequest;

use super::{view, with};
use crate::{
    args::{Format, TokenArgs, TokenCommand, TokenRole, TokenSource},
    exit::{Exit, WithExit as _, usage},
    print::data,
    table,
};

/// What has a token is no longer than this: a wrong file is not read to its end.
const SOURCE_MAX: u64 = 16 << 10;

/// Where a token is looked for that the command line does not say.
pub const VARIABLE: &str = "WASMGRID_TOKEN";

/// The token that a command is given: as a word, in a file, or in the environment.
///
/// # Errors
/// A usage error where there is none, it cannot be read, or it is not whole.
pub fn given(source: &TokenSource) -> anyhow::Result<JoinToken> {
    let text = match (&source.token, &source.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => first_line(std::io::stdin().lock())
            .context("failed to read the token from standard input")
            .exit(Exit::Usage)?,
        (None, Some(path)) => File::open(path)
            .and_then(|file| first_line(BufReader::new(file)))
            .with_context(|| format!("failed to read the token in {}", path.display()))
            .exit(Exit::Usage)?,
        (None, None) => env::var(VARIABLE).map_err(|_| {
            usage(format!(
                "no token: give it with --token-file FILE (`-` reads standard input), in {VARIABLE} \
                 or as a word; `wasmgrid token create` makes one"
            ))
        })?,
    };
    text.parse().exit(Exit::Usage)
}

/// The first line: whoever pastes a token into a terminal ends it so.
fn first_line(source: impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    source.take(SOURCE_MAX).read_line(&mut line)?;
    Ok(line)
}

/// What is printed with `--output json`: a public interface.
#[derive(Serialize)]
struct TokenView {
    token: String,
    role: Role,
    ttl_ms: u64,
    uses: u32,
    /// Labels that the certificates of workers get, `KEY=VALUE`.
    labels: Vec<String>,
}

/// Makes a token and prints it.
///
/// # Errors
/// Where the cluster cannot be reached or the role does not allow it.
pub async fn token(command: TokenCommand) -> anyhow::Result<Exit> {
    let TokenCommand::Create(TokenArgs { role, ttl, uses, labels, grid, output }) = command;
    let role = match role {
        TokenRole::Worker => Role::Worker,
        TokenRole::Client => Role::Client,
    };
    let request = TokenRequest { role, ttl, uses };
    let labels: Vec<_> = labels.into_iter().map(|label| (label.key, label.value)).collect();
    let shown = view::written(&labels);
    let token = with(&grid, async |client| {
        Ok(match labels.is_empty() {
            true => client.create_token(request).await?,
            false => client.create_labelled_token(request, labels).await?,
        })
    })
    .await?;
    let printed = match output {
        Format::Text => data!("{token}").map_err(Into::into),
        Format::Json => table::json(&TokenView { token, role, ttl_ms: ttl.0, uses, labels: shown }),
    };
    printed
        .with_context(|| format!("a token was made that nobody has, and is good for {ttl}"))
        .exit(Exit::Failed)?;
    Ok(Exit::Ok)
}
