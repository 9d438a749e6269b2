//! The flags of `wasmgrid authority`, and for how long certificates are good.

use std::{fmt, str::FromStr, time::Duration};

use clap::Subcommand;
use wasmgrid_proto::Millis;

use super::{AskArgs, GridArgs};

/// What can be asked of a grid's authority, which signs the certificates of its members.
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Show the authority, the certificates of its members, and which of them the former authority
    /// signed
    Show {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Replace the authority, for example if others may know its key or its ten years are nearly over.
    /// The former one stays trusted until it is retired: connected workers move to the new one at
    /// once, all other members with their next connection
    Replace {
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
    /// Stop trusting the former authority. Without this, it is retired when its last certificate
    /// expires
    Retire {
        /// Retire it even if members still have certificates that it signed; they are locked out, and
        /// must join again with new tokens
        #[arg(long)]
        force: bool,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// For how long certificates are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateLife(Millis);

/// Time for a member to renew its certificate in the last third of its life, also on a machine that
/// has much to do.
const LEAST: Millis = Millis(10_000);

/// Half of the authority's own life, so that a certificate seldom ends with it.
const MOST: Millis = Millis(1_826 * 24 * 60 * 60 * 1_000);

impl CertificateLife {
    /// The same span for the standard library.
    pub const fn duration(self) -> Duration {
        self.0.duration()
    }
}

impl FromStr for CertificateLife {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let life = text.parse::<Millis>().map_err(|error| error.to_string())?;
        if (LEAST..=MOST).contains(&life) {
            return Ok(Self(life));
        }
        Err(format!("invalid certificate life {life}: expected {LEAST} to {MOST}, such as 365d"))
    }
}

impl fmt::Display for CertificateLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_life_has_bounds() {
        let life = |text: &str| text.parse::<CertificateLife>();
        assert_eq!(life("20s").expect("fits").duration(), Duration::from_secs(20));
        assert!(life("365d").is_ok() && life("1826d").is_ok());
        for wrong in ["9s", "0s", "1827d", "a year", "20"] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
        assert!(life("1s").expect_err("too short").contains("expected 10s to 1826d"));
    }
}
