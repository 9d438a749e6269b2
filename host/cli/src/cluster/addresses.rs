//! Where a scheduler of this machine is reached, as far as the machine knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::args::HostPort;

/// A token has all of them, and who joins tries one after the other.
const ADDRESSES_MAX: usize = 8;

/// Where a scheduler is reached, `HOST:PORT` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// By other machines, and this one.
    pub addresses: Vec<String>,
    /// No other machine reaches it.
    pub is_here_alone: bool,
    /// By this machine, whatever becomes of its addresses.
    from_here: Option<String>,
}

impl Reached {
    /// A listener that others reach where the user says, else at this machine's addresses.
    pub fn new(said: &[HostPort], listening: SocketAddr) -> Self {
        let (ip, port) = (listening.ip(), listening.port());
        let here = |ip: IpAddr| SocketAddr::new(ip, port).to_string();
        let from_here = match ip {
            IpAddr::V4(ip) if ip.is_unspecified() => Some(here(Ipv4Addr::LOCALHOST.into())),
            IpAddr::V6(ip) if ip.is_unspecified() => Some(here(Ipv6Addr::LOCALHOST.into())),
            _ => None,
        };
        if !said.is_empty() {
            let addresses = said.iter().map(HostPort::to_string).collect();
            return Self { addresses, is_here_alone: false, from_here };
        }
        let ips = if ip.is_unspecified() { own_addresses(ip) } else { vec![ip] };
        let is_here_alone = ips.iter().all(IpAddr::is_loopback);
        let addresses = ips.into_iter().map(here).collect();
        Self { addresses, is_here_alone, from_here }
    }

    /// The same for commands on this machine.
    pub fn seen_here(&self) -> Vec<String> {
        let mut all: Vec<String> = self.from_here.iter().chain(&self.addresses).cloned().collect();
        all.dedup();
        all
    }
}

/// This machine's addresses of the kinds that a listener on `unspecified` takes: first the one that
/// others most likely know it by. Loopback where there is no other.
fn own_addresses(unspecified: IpAddr) -> Vec<IpAddr> {
    let taken = |ip: &IpAddr| ip.is_ipv4() || unspecified.is_ipv6();
    let elsewhere = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified() && taken(ip);
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "failed to list this machine's addresses; set them with \
             --advertise");
        Vec::new()
    });
    let of_interfaces = interfaces
        .into_iter()
        .filter(|interface| interface.is_oper_up() && !interface.is_link_local())
        .map(|interface| interface.ip());
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in outward(unspecified).into_iter().chain(of_interfaces).filter(elsewhere) {
        if !found.contains(&ip) && found.len() < ADDRESSES_MAX {
            found.push(ip);
        }
    }
    if found.is_empty() {
        found.push(match unspecified {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    found
}

/// The addresses that packets to elsewhere would bear. None is sent.
fn outward(unspecified: IpAddr) -> Vec<IpAddr> {
    // Addresses that are kept for documentation, so that nobody is ever meant.
    let v4 = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let documentation = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = (Ipv6Addr::UNSPECIFIED.into(), documentation.into());
    let kinds: &[(IpAddr, IpAddr)] = if unspecified.is_ipv6() { &[v4, v6] } else { &[v4] };
    let seen = kinds.iter().filter_map(|&(any, elsewhere)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((elsewhere, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(said: &[&str], listening: &str) -> Reached {
        let said: Vec<_> = said.iter().map(|text| text.parse().expect("an address")).collect();
        Reached::new(&said, listening.parse().expect("an address"))
    }

    #[test]
    fn a_listener_on_all_addresses_is_not_advertised_as_such() {
        for listening in ["0.0.0.0:7433", "[::]:7433"] {
            let found = reached(&[], listening);
            let texts = &found.addresses;
            assert!(!texts.is_empty() && texts.len() <= ADDRESSES_MAX, "{found:?}");
            for text in texts {
                let address: SocketAddr = text.parse().expect("an address");
                assert!(!address.ip().is_unspecified() && address.port() == 7433, "{found:?}");
                assert_eq!(address.ip().is_loopback(), found.is_here_alone, "{found:?}");
            }
            let from_here: SocketAddr = found.seen_here()[0].parse().expect("an address");
            assert!(from_here.ip().is_loopback(), "{found:?}");
        }
    }

    #[test]
    fn a_listener_on_loopback_is_for_this_machine_alone() {
        let found = reached(&[], "127.0.0.1:9");
        assert_eq!(
            (found.addresses.as_slice(), found.is_here_alone),
            (&["127.0.0.1:9".into()][..], true)
        );
        assert_eq!(found.seen_here(), ["127.0.0.1:9"]);
    }

    #[test]
    fn what_the_user_advertises_is_what_others_are_told() {
        let found = reached(&["grid.example:7433", "[2001:db8::1]:1"], "0.0.0.0:9");
        assert_eq!(found.addresses, ["grid.example:7433", "[2001:db8::1]:1"]);
        assert!(!found.is_here_alone);
        assert_eq!(found.seen_here()[0], "127.0.0.1:9");
    }
}
