//! Addresses as people write them: where to listen, and where a scheduler is found.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The port of schedulers that are told no other.
pub const PORT: u16 = 7433;

/// The longest name of a host: what DNS allows.
const HOST_MAX: usize = 253;

/// Where a scheduler is: a host and a port, or a service that DNS lists, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// An IP address, IPv6 without its brackets, or a name.
    host: String,
    /// Not 0. None for a service.
    port: Option<u16>,
}

/// A text that is no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} {problem}: expected {expected}, such as {example}")]
pub struct HostPortError {
    found: String,
    problem: &'static str,
    expected: &'static str,
    example: String,
}

/// Where to listen: an IP address of this machine, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

/// A text that says not where to listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid listen address {found:?}: expected an IP address of this machine, or 0.0.0.0 for all, \
     with a port if it is not {PORT}: 0.0.0.0, 192.168.1.5:9000 or [::]:9000"
)]
pub struct ListenError {
    found: String,
}

/// The port of the HTTP interface that is told no other.
pub const HTTP_PORT: u16 = 7434;

/// The TCP port of a worker's metrics, unless said otherwise.
const METRICS_PORT: u16 = 7435;

/// Where to serve HTTP, if at all; with the port that is meant if none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpListen<const STANDARD: u16> {
    /// Nowhere.
    Off,
    /// On an IP address of this machine, or all of them.
    At(SocketAddr),
}

/// Where to serve the grid's HTTP interface.
pub type HttpListen = TcpListen<HTTP_PORT>;

/// Where to serve a worker's metrics.
pub type MetricsListen = TcpListen<METRICS_PORT>;

/// A text that says not where to serve HTTP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid address {found:?}: expected `off`, or an IP address of this machine or 0.0.0.0 for all, \
     with a port if it is not {standard}: 0.0.0.0, 127.0.0.1:8080 or [::]:8080"
)]
pub struct HttpListenError {
    found: String,
    standard: u16,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let wrong = |problem, example: &str| HostPortError {
            found: text.into(),
            problem,
            expected: "HOST:PORT",
            example: example.into(),
        };
        if let Some(name) = text.strip_prefix(SERVICE) {
            return Self::service(name).map_err(|problem| HostPortError {
                expected: "srv:_SERVICE._udp.DOMAIN",
                ..wrong(problem, "srv:_wasmgrid._udp.example.org")
            });
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = if Self::parse(host).is_ok() { host } else { EXAMPLE };
            return Err(wrong("is a URL", host));
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Err(wrong("is an IPv6 address without a port", &format!("[{ip}]:{PORT}")));
        }
        Self::parse(text).map_err(|problem| wrong(problem, EXAMPLE))
    }
}

/// What is shown of an address that is none.
const EXAMPLE: &str = "grid.example:7433, 192.168.1.5:7433 or [2001:db8::5]:7433";

/// What stands before the name of a service.
const SERVICE: &str = "srv:";

impl HostPort {
    /// A service as DNS lists it: `_wasmgrid._udp.example.org`.
    fn service(name: &str) -> Result<Self, &'static str> {
        let mut labels = name.trim_end_matches('.').split('.');
        let service = labels.next().is_some_and(|label| label.len() > 1 && label.starts_with('_'));
        if !service || labels.next() != Some("_udp") {
            return Err("does not name a service over UDP");
        }
        let domain = labels.next().is_some();
        if !domain || !is_name(name.trim_end_matches('.')) {
            return Err("does not name the domain of a service");
        }
        Ok(Self { host: name.into(), port: None })
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
        let host = match host.strip_prefix('[') {
            Some(host) => {
                let host = host.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok());
                host.ok_or("has no IPv6 address in its brackets")?
            }
            None if host.contains(':') => return Err("has an IPv6 address without brackets"),
            None => host,
        };
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err("is not an address that other machines can reach");
        }
        if host.parse::<IpAddr>().is_err() && !is_name(host) {
            return Err("has no name of a host");
        }
        // `parse` takes a sign too.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| digits && *port != 0);
        let port = Some(port.ok_or("has no port from 1 to 65535")?);
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        let Some(port) = port else { return write!(f, "{SERVICE}{host}") };
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// An address, with this port if it has none.
fn with_port(text: &str, port: u16) -> Result<SocketAddr, std::net::AddrParseError> {
    let alone = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    text.parse().or_else(|_| Ok(SocketAddr::new(alone.unwrap_or(text).parse()?, port)))
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        with_port(text, PORT).map(Self).map_err(|_| ListenError { found: text.into() })
    }
}

impl<const STANDARD: u16> FromStr for TcpListen<STANDARD> {
    type Err = HttpListenError;

    fn from_str(text: &str) -> Result<Self, HttpListenError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = with_port(text, STANDARD);
        let wrong = |_| HttpListenError { found: text.into(), standard: STANDARD };
        address.map(Self::At).map_err(wrong)
    }
}

impl Default for HttpListen {
    /// This machine alone reaches it there.
    fn default() -> Self {
        Self::At(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), HTTP_PORT))
    }
}

impl<const STANDARD: u16> fmt::Display for TcpListen<STANDARD> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Default for Listen {
    /// This machine alone reaches it there.
    fn default() -> Self {
        Self(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a text can be a host's name: labels of letters, digits, `-` and `_`.
fn is_name(host: &str) -> bool {
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
    };
    // What ends in a number would be an IPv4 address, and is none.
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= HOST_MAX
        && host.split('.').all(fits)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_taken_as_they_are_written() {
        for text in [
            "grid.example:7433",
            "10.0.0.1:1",
            "[2001:db8::1]:65535",
            "box-1:7433",
            "srv:_wasmgrid._udp.example.org",
            "srv:_grid-2._udp.example.org.",
        ] {
            assert_eq!(text.parse::<HostPort>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_host_and_a_port_is_refused_with_an_example() {
        for (text, problem, example) in [
            ("https://grid.example:7433/x", "a URL", "as grid.example:7433"),
            ("http://grid.example", "a URL", "grid.example:7433"),
            ("2001:db8::1", "without a port", "[2001:db8::1]:7433"),
            ("2001:db8::1:7433x", "without brackets", "[2001:db8::5]:7433"),
            ("[grid]:7433", "brackets", "grid.example:7433"),
            ("grid.example", "no port", "grid.example:7433"),
            ("grid.example:0", "1 to 65535", "grid.example:7433"),
            ("grid.example:65536", "1 to 65535", "grid.example:7433"),
            ("grid.example:+80", "1 to 65535", "grid.example:7433"),
            ("grid.example:", "1 to 65535", "grid.example:7433"),
            (":7433", "name of a host", "grid.example:7433"),
            ("a b:7433", "name of a host", "grid.example:7433"),
            ("user@grid:7433", "name of a host", "grid.example:7433"),
            ("grid/x:7433", "name of a host", "grid.example:7433"),
            ("10.0.0.256:7433", "name of a host", "grid.example:7433"),
            ("0.0.0.0:7433", "machines can reach", "grid.example:7433"),
            ("[::]:7433", "machines can reach", "grid.example:7433"),
            ("", "no port", "grid.example:7433"),
            ("srv:", "a service over UDP", "as srv:_wasmgrid._udp.example.org"),
            ("srv:_wasmgrid._tcp.example.org", "a service over UDP", "srv:_wasmgrid._udp"),
            ("srv:grid.example", "a service over UDP", "srv:_wasmgrid._udp.example.org"),
            ("srv:_wasmgrid._udp", "the domain", "srv:_wasmgrid._udp.example.org"),
            ("srv:_wasmgrid._udp.a b", "the domain", "srv:_wasmgrid._udp.example.org"),
            ("srv:_wasmgrid._udp.example.org:7433", "the domain", "srv:_wasmgrid._udp"),
        ] {
            let error = text.parse::<HostPort>().expect_err(text).to_string();
            assert!(error.contains(problem) && error.contains(example), "{error}");
        }
    }

    #[test]
    fn where_to_listen_needs_no_port() {
        for (text, address) in [
            ("0.0.0.0", "0.0.0.0:7433"),
            ("::", "[::]:7433"),
            ("[::]", "[::]:7433"),
            ("192.168.1.5:9000", "192.168.1.5:9000"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            assert_eq!(text.parse::<Listen>().expect(text).to_string(), address);
        }
        for text in ["", "grid.example", "http://0.0.0.0", "0.0.0.0:x", ":7433", "7433"] {
            let error = text.parse::<Listen>().expect_err(text).to_string();
            assert!(error.contains("0.0.0.0 for all"), "{error}");
        }
    }
}
