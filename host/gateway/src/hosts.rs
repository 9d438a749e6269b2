//! Which hosts a gateway answers for. A page of another site that had
//! its own name lead to this machine (DNS rebinding) is refused by that name.

use std::{collections::BTreeSet, net::IpAddr};

use axum::http::{HeaderMap, StatusCode, Uri, Version, header};

use crate::problem::Problem;

/// Bytes of a path and query at most.
const URL_MAX: usize = 8 << 10;

/// The names by which a gateway is known.
#[derive(Clone, Debug, Default)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// These names, without ports, beside those of this machine itself and every address: a name that
    /// was made to lead here is never an address.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn knows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let plain = name.trim_end_matches('.');
        let bare = plain.trim_start_matches('[').trim_end_matches(']');
        plain == "localhost" || bare.parse::<IpAddr>().is_ok() || self.0.contains(plain)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

/// Refuses requests for other hosts, and with long URLs.
///
/// # Errors
/// What is wrong with the request.
pub fn check(
    hosts: &Hosts,
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length > URL_MAX {
        let detail = format!("the URL has {length} bytes, {URL_MAX} allowed");
        let title = "The URL is too long.";
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "url_too_long", title, detail));
    }
    // Whoever stands before the gateway may have looked at another one.
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        let (title, detail) = ("The request names two hosts.", "the header Host is there twice");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "host_twice", title, detail));
    }
    let said = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = uri.authority().map(|authority| authority.as_str());
    let Some(host) = authority.or(said) else {
        // Only then may a request leave it out.
        if version == Version::HTTP_10 {
            return Ok(());
        }
        let (title, detail) = ("The request names no host.", "the header Host is missing");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "host_missing", title, detail));
    };
    let one = authority.is_none() || said.is_none() || said == authority;
    if one && hosts.knows(host) {
        return Ok(());
    }
    let detail = format!("this gateway is not known as {host:?}; its operator can add the name");
    let title = "The gateway does not answer for this host.";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host_unknown", title, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_this_machine_and_the_given_names_are_known() {
        let hosts = Hosts::new(["Grid.Example.org".to_owned()]);
        for host in [
            "localhost:7434",
            "127.0.0.1",
            "[::1]:7434",
            "10.0.0.1:80",
            "grid.example.org",
            "GRID.example.org.:443",
        ] {
            assert!(hosts.knows(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:7434", "grid.example.org:x", ":80"]
        {
            assert!(!hosts.knows(host), "{host}");
        }
    }
}
