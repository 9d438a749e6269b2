//! Where an address leads: `HOST:PORT`, whose name the system looks up, or `srv:NAME`, a service that DNS lists
//! (RFC 2782). It is looked up anew for each dial, so that a scheduler that has moved is found.

use std::{cmp::Reverse, net::SocketAddr, time::Duration};

use hickory_resolver::{TokioResolver, proto::rr::RData};
use tokio::net::lookup_host;

use crate::error::NetError;

/// What stands before the name of a service.
const SERVICE: &str = "srv:";

/// Addresses that a name has at most: others are not dialled.
const ADDRESSES_MAX: usize = 32;

/// How long a question to a name server may take, and how often it is asked.
const ANSWER_TIME: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

/// A host of a service, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    priority: u16,
    weight: u16,
}

/// The addresses behind one, in the order in which they are dialled.
///
/// # Errors
/// [`NetError::Address`], with what the resolver says.
pub(super) async fn lookup(address: &str) -> Result<Vec<SocketAddr>, NetError> {
    let mut found = match address.strip_prefix(SERVICE) {
        Some(name) => service(name).await,
        None => {
            lookup_host(address).await.map(Iterator::collect).map_err(|error| error.to_string())
        }
    }
    .map_err(|reason| NetError::Address { address: address.to_owned(), reason })?;
    found.truncate(ADDRESSES_MAX);
    Ok(found)
}

/// The addresses of a service's hosts, those of the best ones first.
async fn service(name: &str) -> Result<Vec<SocketAddr>, String> {
    let mut targets = targets(name).await.map_err(|error| error.to_string())?;
    shuffle(&mut targets, random);
    let (mut found, mut failed) = (Vec::new(), None);
    for target in targets.into_iter().take(ADDRESSES_MAX) {
        match lookup_host((target.host.as_str(), target.port)).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => failed = Some(format!("its host {}: {error}", target.host)),
        }
    }
    match failed {
        Some(failed) if found.is_empty() => Err(failed),
        _ if found.is_empty() => Err("the service is listed as not available".into()),
        _ => Ok(found),
    }
}

async fn targets(name: &str) -> Result<Vec<Target>, hickory_resolver::net::NetError> {
    // Read anew each time: it changes with the network that the machine is in.
    let mut resolver = TokioResolver::builder_tokio()?;
    let options = resolver.options_mut();
    (options.timeout, options.attempts, options.cache_size) = (ANSWER_TIME, TRIES, 0);
    let listed = resolver.build()?.srv_lookup(name).await?;
    let target = |data: &RData| match data {
        RData::SRV(found) => Some(Target {
            host: found.target.to_utf8(),
            port: found.port,
            priority: found.priority,
            weight: found.weight,
        }),
        _ => None,
    };
    let all = listed.answers().iter().filter_map(|record| target(&record.data));
    // A root name says that there is none.
    Ok(all.filter(|target| target.host != ".").collect())
}

/// Orders targets by their priority, and those of the same by chance, so that each comes first as often as
/// its weight says.
fn shuffle(targets: &mut [Target], mut random: impl FnMut() -> u64) {
    targets.sort_by_cached_key(|target| {
        // The larger the weight, the larger the largest of so many numbers.
        let drawn = (0..=target.weight / 16).map(|_| random()).max();
        (target.priority, Reverse(drawn.filter(|_| target.weight > 0)))
    });
}

/// A number of chance; without any the order is that of the names, which does as well.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, priority: u16, weight: u16) -> Target {
        Target { host: host.into(), port: 7433, priority, weight }
    }

    #[test]
    fn a_lower_priority_goes_first_and_a_larger_weight_more_often() {
        let mut number = 0_u64;
        let mut random = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            number
        };
        let mut firsts = 0;
        for _ in 0..1_000 {
            let mut all = [
                target("last", 20, 65_535),
                target("never", 10, 0),
                target("seldom", 10, 15),
                target("often", 10, 63),
            ];
            shuffle(&mut all, &mut random);
            assert_eq!((&*all[2].host, &*all[3].host), ("never", "last"));
            firsts += u32::from(all[0].host == "often");
        }
        assert!((700..900).contains(&firsts), "{firsts} of a thousand");
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_said_with_it() {
        for address in ["srv:not a name", "no-port"] {
            let error = lookup(address).await.expect_err("there is none");
            assert!(error.to_string().contains(address), "{error}");
        }
    }
}
