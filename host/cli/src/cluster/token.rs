//! `wasmgrid token create|list|revoke`: tokens with which machines and people join.

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
};

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_client::Client;
use wasmgrid_net::{JoinToken, Role};
use wasmgrid_proto::{Millis, TokenGives, TokenStatus, wire::TokenRequest};
use wasmgrid_views::{TokenView, token_id, written};

use super::with;
use crate::{
    args::{AskArgs, Format, TokenArgs, TokenCommand, TokenSource},
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

/// A token that was made, as `--output json` has it: a public interface.
#[derive(Serialize)]
struct MadeView {
    token: String,
    /// By which it is listed and revoked.
    id: String,
    role: Role,
    ttl_ms: u64,
    uses: u32,
    /// Labels that the certificates of workers get, `KEY=VALUE`.
    labels: Vec<String>,
    name: Option<String>,
    tenant: Option<String>,
}

/// Does what was asked of tokens.
///
/// # Errors
/// Where the cluster cannot be reached, has no such token, or the role does not allow it.
pub async fn token(command: TokenCommand) -> anyhow::Result<Exit> {
    match command {
        TokenCommand::Create(args) => create(args).await?,
        TokenCommand::List { ask: AskArgs { grid, output } } => {
            let tokens = with(&grid, async |client| Ok(client.tokens().await?)).await?;
            list(&tokens, output)?;
        }
        TokenCommand::Revoke { token, grid } => {
            with(&grid, async |client| Ok(client.revoke_token(token.0).await?)).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Makes a token and prints it.
async fn create(args: TokenArgs) -> anyhow::Result<()> {
    let TokenArgs { role, name, tenant, ttl, uses, labels, ask: AskArgs { grid, output } } = args;
    let role = Role::from(role);
    let request = TokenRequest { role, ttl, uses };
    let labels: Vec<_> = labels.into_iter().map(|label| (label.key, label.value)).collect();
    let gives = TokenGives { labels, name, tenant };
    let given = gives.clone();
    let create = async |client: &Client| Ok(client.create_token(request, given).await?);
    let token = with(&grid, create).await?;
    let printed = match output {
        Format::Text => data!("{token}").map_err(Into::into),
        Format::Json => {
            let id = token.parse::<JoinToken>().map(|token| token_id(token.token));
            let id = id.context("the grid returned an invalid token")?;
            let TokenGives { labels, name, tenant } = gives;
            let (ttl_ms, labels) = (ttl.0, written(&labels));
            table::json(&MadeView { token, id, role, ttl_ms, uses, labels, name, tenant })
        }
    };
    printed
        .with_context(|| format!("a token was made that nobody has; it is valid for {ttl}"))
        .exit(Exit::Failed)
}

fn list(tokens: &[TokenStatus], output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return table::json(&tokens.iter().map(TokenView::from).collect::<Vec<_>>());
    }
    let row = |token: &TokenStatus| {
        let TokenGives { labels, name, tenant } = &token.gives;
        let left = token.expires.since(table::now());
        let expires =
            if left == Millis(0) { "over".into() } else { format!("in {}", table::seconds(left)) };
        [
            token_id(token.token),
            token.role.to_string(),
            token.state.to_string(),
            token.uses_left.to_string(),
            expires,
            name.clone().unwrap_or_default(),
            tenant.clone().unwrap_or_default(),
            written(labels).join(" "),
        ]
    };
    let heading = ["ID", "ROLE", "STATE", "USES LEFT", "EXPIRES", "NAME", "TENANT", "LABELS"];
    Ok(table::rows(heading, tokens.iter().map(row))?)
}
