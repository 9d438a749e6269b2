//! The flags of the commands about who asks by way of a gateway: keys, and the pages in a browser.

use clap::{Args, Subcommand, ValueEnum};
use wasmgrid_net::Role;
use wasmgrid_proto::{ApiKey, KeyId, Millis};

use super::{AskArgs, GridArgs, above_zero};

/// What can be asked of keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key and print it, this once
    #[command(after_long_help = KEY_HELP)]
    Create(KeyArgs),
    /// List keys and browser sessions, without their secrets; a client sees its tenant's
    List {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Revoke a key or a session, and all keys that were made with it
    Revoke {
        /// Its id, as in `key list`, or the key itself
        key: KeyName,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// What a key is, for its `--help`.
const KEY_HELP: &str = "\
With a key a program uses the HTTP API of a gateway, without a certificate:
  curl -H \"Authorization: Bearer $KEY\" ...
The grid keeps only a hash of it. Operators create keys for every tenant; a client creates keys for its
own tenant, with the role client. If a member is removed, the keys that it created are revoked.";

/// `wasmgrid key create`.
#[derive(Args, Debug)]
pub struct KeyArgs {
    /// The tenant whose jobs it sees and submits: a user's name, or operator/NAME
    #[arg(long, value_name = "NAME")]
    pub tenant: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t)]
    pub role: KeyRole,
    /// How long it is valid [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = above_zero)]
    pub ttl: Option<Millis>,
    /// Its name in lists and in the audit log [default: its id]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Which cluster, and how its answer is printed.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The roles a key can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyRole {
    /// Submits jobs and reads their results
    #[default]
    Client,
    /// May do everything, also with tokens, workers, quotas and other tenants' jobs
    Operator,
}

impl From<KeyRole> for Role {
    fn from(role: KeyRole) -> Self {
        match role {
            KeyRole::Client => Self::Client,
            KeyRole::Operator => Self::Operator,
        }
    }
}

/// A key's id, as itself or in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyName(pub KeyId);

impl std::str::FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_key = || text.parse::<ApiKey>().ok().map(|key| key.id);
        text.parse().ok().or_else(of_key).map(Self).ok_or_else(|| {
            "expected a key or its id of 16 digits, such as 00c0ffee00c0ffee; see `wasmgrid key \
             list`"
                .into()
        })
    }
}

/// `wasmgrid ui`.
#[derive(Args, Debug)]
pub struct UiArgs {
    /// Where the grid's gateway serves its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7434")]
    pub http: HttpUrl,
    /// Only print the link
    #[arg(long)]
    pub print: bool,
    /// Which cluster.
    #[command(flatten)]
    pub grid: GridArgs,
}

/// Where a gateway is: `http://` or `https://`, and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// A page of it.
    pub fn page(&self, path: &str) -> String {
        format!("{}/{path}", self.0)
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        // A program is given it that may read more into other characters.
        let fits = |c: char| c.is_ascii_alphanumeric() || ".:-_[]/%~".contains(c);
        let is_one = rest.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                && rest.chars().all(fits)
        });
        is_one.then(|| Self(text.to_owned())).ok_or_else(|| {
            "expected the address of a gateway, such as http://127.0.0.1:7434".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Secret;

    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_or_by_itself() {
        let key = ApiKey { id: KeyId(0xc0_ffee), secret: Secret([9; 32]) };
        assert_eq!(key.text().parse(), Ok(KeyName(key.id)));
        assert_eq!("0000000000c0ffee".parse(), Ok(KeyName(key.id)));
        for wrong in ["c0ffee", "+000000000c0ffee", "", "wgk1_0000000000c0ffee_x"] {
            assert!(wrong.parse::<KeyName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_gateway_is_named_by_its_url() {
        let page = |url: &str| url.parse::<HttpUrl>().map(|url| url.page("login"));
        assert_eq!(page("http://127.0.0.1:7434/"), Ok("http://127.0.0.1:7434/login".into()));
        assert_eq!(page("https://grid.example/a"), Ok("https://grid.example/a/login".into()));
        assert_eq!(page("http://[::1]:7434"), Ok("http://[::1]:7434/login".into()));
        for wrong in [
            "",
            "grid:7434",
            "file:///etc",
            "http://",
            "http:///x",
            "http://a b",
            "http://a;b",
            "http://a?b",
        ] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }
}
