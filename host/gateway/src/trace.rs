//! The trace of which a request is a part, as its sender says in the header `traceparent` of W3C's Trace
//! Context. It stands in the log lines of the request and means nothing else here.

use axum::http::HeaderMap;

/// Where the parts of version 0 end: `00-<trace>-<parent>-<flags>`.
const LENGTH: usize = 55;

/// The number of the trace; `None` if there is none or the header is malformed, which is ignored as the
/// specification wants.
pub fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all("traceparent").iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    parse(value.to_str().ok()?)
}

fn parse(text: &str) -> Option<&str> {
    let (known, rest) = (text.get(..LENGTH)?, text.get(LENGTH..)?);
    let mut parts = known.split('-');
    let mut next = |digits: usize| {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        parts.next().filter(|part| part.len() == digits && part.bytes().all(hex))
    };
    let (version, trace, parent, _flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    // Later versions may have further parts.
    let fits = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let is_number = |digits: &str| digits.bytes().any(|digit| digit != b'0');
    (fits && is_number(trace) && is_number(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn the_trace_is_taken_from_whole_headers_alone() {
        let whole = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(parse(&whole), Some(TRACE));
        assert_eq!(parse(&whole.replacen("00-", "cc-", 1)), Some(TRACE));
        assert_eq!(parse(&(whole.replacen("00-", "cc-", 1) + "-more")), Some(TRACE));
        for malformed in [
            String::new(),
            "00".into(),
            whole.to_uppercase(),
            whole.replacen("00-", "ff-", 1),
            whole.clone() + "-more",
            whole.replace(TRACE, &"0".repeat(32)),
            whole.replace("00f067aa0ba902b7", &"0".repeat(16)),
            whole.replace('-', "_"),
            format!("00-{}-00f067aa0ba902b7-01", "é".repeat(16)),
        ] {
            assert_eq!(parse(&malformed), None, "{malformed}");
        }
    }

    #[test]
    fn two_traces_are_none() {
        let mut headers = HeaderMap::new();
        let value = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().expect("a value");
        headers.append("traceparent", value);
        assert_eq!(trace_id(&headers), Some(TRACE));
        let again = headers["traceparent"].clone();
        headers.append("traceparent", again);
        assert_eq!(trace_id(&headers), None);
    }
}
