//! How long a gateway's requests took.

use std::time::Duration;

use axum::http::Method;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::Registry,
};

/// How long requests took, by route, method and status. It is taken when the head of the answer is
/// there: a stream of results may be open for days.
#[derive(Clone)]
pub struct HttpMetrics(Family<Labels, Histogram>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: &'static str,
    status: u16,
}

/// Where its ranges end, in seconds.
const HTTP_SECONDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

impl Default for HttpMetrics {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(HTTP_SECONDS)))
    }
}

impl HttpMetrics {
    /// Counts a request.
    pub fn count(&self, route: String, method: &Method, status: u16, time: Duration) {
        let labels = Labels { route, method: name(method), status };
        self.0.get_or_create(&labels).observe(time.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time from a request's head to that of its answer";
        registry.register("wasmgrid_http_seconds", help, self.0.clone());
    }
}

/// A method as a label: there are as many as clients make up.
pub fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
