//! The flags of the commands about who may join a grid, and who has: tokens and clients.

use clap::{Args, Subcommand, ValueEnum};
use wasmgrid_net::{JoinToken, Role};
use wasmgrid_proto::Millis;

use super::{AskArgs, GridArgs, Label, above_zero};

/// What can be asked of tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it
    #[command(after_long_help = TOKEN_HELP)]
    Create(TokenArgs),
    /// List the tokens that have not expired, including used-up and revoked ones, without their
    /// secrets
    List {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Revoke a token, so that nobody can join with it any more; members that have joined stay
    Revoke {
        /// Its id, as in `token list`, or the token itself
        token: TokenId,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// Who is who, for its `--help`.
const TOKEN_HELP: &str = "\
Jobs belong to the user who submits them. All devices that join with the same --name, or the same
--tenant, are one user: they see the same jobs, and have one share (`--tenant-weight ada=3`) and one
quota (`wasmgrid tenant set ada`) together. If several devices join as ada, the first is called ada, the
next ada-2. Without --name each device is a user of its own, named after its machine.";

/// `wasmgrid token create`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// The role of the members that join with it
    #[arg(long, value_enum, default_value_t)]
    pub role: TokenRole,
    /// The name of the member that joins with it; further members get a number after it [default:
    /// the name of its machine]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The tenant whose jobs they see and submit [default: the user of --name; without it, each
    /// device has its own]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = above_zero)]
    pub ttl: Millis,
    /// How often it may be used
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub uses: u32,
    /// A label KEY=VALUE of the workers that join with it, which you vouch for; may be repeated.
    /// From then on, jobs that require a label with this KEY (`--require`) go only to workers with
    /// a vouched label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<Label>,
    /// Which cluster, and how its answer is printed.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// The roles a token can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TokenRole {
    /// Runs tasks
    #[default]
    Worker,
    /// Submits jobs and reads their results
    Client,
    /// May do everything, also with tokens, workers, quotas and other tenants' jobs
    Operator,
    /// Serves HTTP, and speaks for the tenants whose keys it is shown
    Gateway,
}

impl From<TokenRole> for Role {
    fn from(role: TokenRole) -> Self {
        match role {
            TokenRole::Worker => Self::Worker,
            TokenRole::Client => Self::Client,
            TokenRole::Operator => Self::Operator,
            TokenRole::Gateway => Self::Gateway,
        }
    }
}

/// A token's number, as an id of 16 digits or in the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenId(pub u64);

impl std::str::FromStr for TokenId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(token) = text.parse::<JoinToken>() {
            return Ok(Self(token.token));
        }
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| {
            "expected a token or its id of 16 digits, such as 00c0ffee00c0ffee; see `wasmgrid \
             token list`"
                .into()
        })
    }
}

/// What can be asked of clients.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// List the clients, operators and gateways that have joined, and whose jobs they see
    List {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Remove a client from the grid: its connections end at once, and only a new token lets it
    /// return. Its jobs continue; `wasmgrid job cancel` stops them
    Remove {
        /// Its name
        name: String,
        /// Its role: a client and an operator may have the same name
        #[arg(long, value_enum, default_value_t)]
        role: ClientRole,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// The roles of those who ask a grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClientRole {
    /// Submits jobs and reads their results
    #[default]
    Client,
    /// May do everything
    Operator,
    /// Serves HTTP for tenants
    Gateway,
}

impl From<ClientRole> for Role {
    fn from(role: ClientRole) -> Self {
        match role {
            ClientRole::Client => Self::Client,
            ClientRole::Operator => Self::Operator,
            ClientRole::Gateway => Self::Gateway,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_id_or_by_itself() {
        let token = JoinToken {
            grid: "home".into(),
            addresses: vec!["10.0.0.1:7433".into()],
            ca_hash: [7; 32],
            token: 0xc0_ffee,
            secret: [9; 32],
            role: Role::Worker,
        };
        assert_eq!(token.to_string().parse(), Ok(TokenId(0xc0_ffee)));
        assert_eq!("0000000000c0ffee".parse(), Ok(TokenId(0xc0_ffee)));
        for wrong in ["c0ffee", "0x00000000c0ffee", "+000000000c0ffee", "", "wgt1.x"] {
            assert!(wrong.parse::<TokenId>().is_err(), "{wrong}");
        }
    }
}
