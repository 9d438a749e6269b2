//! `wasmgrid token create`: tokens with which machines and people join.

use anyhow::Context as _;
use serde::Serialize;
use wasmgrid_net::Role;
use wasmgrid_proto::wire::TokenRequest;

use super::{view, with};
use crate::{
    args::{Format, TokenArgs, TokenCommand, TokenRole},
    exit::{Exit, WithExit as _},
    print::data,
    table,
};

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
