//! The flags of `wasmgrid tenant`.

use std::str::FromStr;

use clap::Subcommand;
use wasmgrid_proto::{Allowance, ByteCount, Fuel, Resource};

use super::{AskArgs, GridArgs};

/// What can be asked of tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// List tenants, their use and their quotas; a client sees its own
    List {
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show one tenant's use and quotas
    Show {
        /// The tenant: a client's name, or operator/NAME
        name: String,
        /// Which cluster, and how its answer is printed.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Set a tenant's quotas, as an operator; `none` removes a bound, `default` restores the default
    Set {
        /// The tenant: a client's name, or operator/NAME
        name: String,
        /// bytes=20GiB, jobs=1000, open-jobs=100, record-bytes=64MiB, waiting-tasks=1000000,
        /// running-tasks=16, fuel-a-day=10T; or `none` or `default` for the amount
        #[arg(value_name = "RESOURCE=AMOUNT", required = true)]
        quotas: Vec<QuotaSetting>,
        /// Where.
        #[command(flatten)]
        grid: GridArgs,
    },
}

/// How much of one resource a tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaSetting {
    /// Of what.
    pub resource: Resource,
    /// How much.
    pub allowed: Allowance,
}

impl FromStr for QuotaSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, amount) = text
            .split_once('=')
            .ok_or_else(|| format!("invalid quota {text:?}: expected RESOURCE=AMOUNT"))?;
        let resource = Resource::ALL.into_iter().find(|resource| resource.name() == name);
        let resource = resource.ok_or_else(|| {
            let names = Resource::ALL.map(Resource::name).join(", ");
            format!("invalid resource {name:?}: expected one of {names}")
        })?;
        let allowed = match amount {
            "default" => Allowance::Default,
            "none" => Allowance::Unbounded,
            amount => Allowance::Most(parse(resource, amount)?),
        };
        Ok(Self { resource, allowed })
    }
}

fn parse(resource: Resource, amount: &str) -> Result<u64, String> {
    match resource {
        Resource::Bytes | Resource::RecordBytes => {
            amount.parse::<ByteCount>().map(|bytes| bytes.0).map_err(|error| error.to_string())
        }
        Resource::FuelADay => {
            amount.parse::<Fuel>().map(|fuel| fuel.0).map_err(|error| error.to_string())
        }
        Resource::Jobs | Resource::OpenJobs | Resource::WaitingTasks | Resource::RunningTasks => {
            amount.parse().map_err(|_| {
                format!(
                    "invalid number of {resource} {amount:?}: expected a whole number, such as 1000"
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_is_set_by_its_name_in_its_own_unit() {
        let set = |text: &str| text.parse::<QuotaSetting>();
        let most = |resource, most| Ok(QuotaSetting { resource, allowed: Allowance::Most(most) });
        assert_eq!(set("bytes=1GiB"), most(Resource::Bytes, 1 << 30));
        assert_eq!(set("open-jobs=7"), most(Resource::OpenJobs, 7));
        assert_eq!(set("fuel-a-day=2G"), most(Resource::FuelADay, 2_000_000_000));
        let (resource, allowed) = (Resource::Jobs, Allowance::Default);
        assert_eq!(set("jobs=default"), Ok(QuotaSetting { resource, allowed }));
        for wrong in ["jobs", "jobs=many", "bytes=-1", "slots=3", "jobs=1GiB"] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
    }
}
