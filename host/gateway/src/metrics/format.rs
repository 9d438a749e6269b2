//! The two text formats that Prometheus reads. OpenMetrics is what the encoder writes; the older one is
//! for whoever does not ask for that: curl, and programs that do not know it.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    Open,
    /// Prometheus's own, 0.0.4.
    Plain,
}

impl Format {
    /// What a request accepts.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut accepts =
            headers.get_all(header::ACCEPT).iter().filter_map(|one| one.to_str().ok());
        let is_open = accepts.any(|one| one.contains("application/openmetrics-text"));
        if is_open { Self::Open } else { Self::Plain }
    }

    /// The answer with a text of OpenMetrics.
    pub fn answer(self, text: String) -> Response {
        let (kind, text) = match self {
            Self::Open => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
            Self::Plain => ("text/plain; version=0.0.4; charset=utf-8", plain(&text)),
        };
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
    }
}

/// The same in Prometheus's own format: there the name of a counter has its `_total` also where it is
/// described, and there are no units and no end.
pub(super) fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = Some(described);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let suffix = if typed.ends_with(" counter") { "_total" } else { "" };
            describe(&mut text, "HELP", help.take().unwrap_or_default(), suffix);
            describe(&mut text, "TYPE", typed, suffix);
        } else if line != "# EOF" && !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn describe(text: &mut String, word: &str, described: &str, suffix: &str) {
    if let Some((name, rest)) = described.split_once(' ') {
        text.extend(["# ", word, " ", name, suffix, " ", rest, "\n"]);
    }
}
