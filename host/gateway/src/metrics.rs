//! `/metrics`: what the scheduler counts, and the gateway's own requests, as Prometheus reads them.
//! Every label has few values: no job, no task, no worker.

use std::{fmt, time::Duration};

use axum::http::Method;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, NoLabelSet, text::encode},
    metrics::{
        MetricType, counter::ConstCounter, family::Family, gauge::ConstGauge, histogram::Histogram,
    },
    registry::Registry,
};
use wasmgrid_proto::{Histogram as Counted, Metrics, TenantUsage};

/// Tenants that are named; what the others have used is counted together.
const TENANTS_MAX: usize = 100;

/// The value of the label `tenant` for all further ones. No tenant can be called so.
const OTHERS: &str = "*";

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
}

fn name(method: &Method) -> &'static str {
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

/// All of it as text.
///
/// # Errors
/// None that can happen: writing to a string does not fail.
pub fn text(
    http: &HttpMetrics,
    metrics: Metrics,
    tenants: Vec<TenantUsage>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let help = "Time from a request's head to that of its answer";
    registry.register("wasmgrid_http_seconds", help, http.0.clone());
    registry.register_collector(Box::new(Scrape { metrics, tenants }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What the scheduler answered.
#[derive(Debug)]
struct Scrape {
    metrics: Metrics,
    tenants: Vec<TenantUsage>,
}

/// Values of one metric, each with the value of its one label.
type Values<'a> = &'a [(&'a str, u64)];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.tasks(&mut encoder)?;
        self.tenants(&mut encoder)?;
        self.state(&mut encoder)?;
        self.server(&mut encoder)
    }
}

impl Scrape {
    fn tasks(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metrics { usage, attempts, leases, tasks, .. } = &self.metrics;
        let ended = &usage.ended;
        counters(
            out,
            "wasmgrid_tasks",
            "Tasks that have ended, by how they did",
            "outcome",
            &[
                ("ok", ended.ok),
                ("failed", ended.failed),
                ("lost", ended.lost),
                ("cancelled", ended.cancelled),
                ("expired", ended.expired),
                ("skipped", ended.skipped),
            ],
        )?;
        counters(
            out,
            "wasmgrid_attempts",
            "Attempts that were given to workers",
            "",
            &[("", attempts.given)],
        )?;
        counters(
            out,
            "wasmgrid_retries",
            "Attempts after which a task was run again",
            "why",
            &[
                ("app", attempts.app_retries),
                ("host-loss", attempts.host_loss_retries),
                ("infra", attempts.infra_retries),
            ],
        )?;
        let help = "Late results, which were discarded, and those of them that differ";
        counters(
            out,
            "wasmgrid_late_results",
            help,
            "kind",
            &[("late", attempts.late), ("diverged", attempts.diverged)],
        )?;
        counters(
            out,
            "wasmgrid_leases",
            "Leases by what happened to them",
            "event",
            &[
                ("granted", leases.granted),
                ("returned", leases.returned),
                ("lost", leases.lost),
                ("expired", leases.expired),
            ],
        )?;
        gauges(out, "wasmgrid_leases_held", "Leases that workers hold", "", &[("", leases.held)])?;
        let help = "Tasks that are not given to a worker";
        gauges(out, "wasmgrid_queue_tasks", help, "", &[("", tasks.queued)])?;
        let help = "Tasks that workers have, running or waiting for a slot there";
        gauges(out, "wasmgrid_assigned_tasks", help, "", &[("", tasks.assigned)])?;
        let help = "Wall time of attempts whose results came";
        histogram(out, "wasmgrid_task_seconds", help, &self.metrics.server.task_us)
    }

    fn tenants(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (named, others) = self.tenants.split_at(self.tenants.len().min(TENANTS_MAX));
        let of = |value: fn(&TenantUsage) -> u64| {
            let mut all: Vec<(&str, u64)> =
                named.iter().map(|one| (one.name.as_str(), value(one))).collect();
            if !others.is_empty() {
                all.push((OTHERS, others.iter().map(value).fold(0, u64::saturating_add)));
            }
            all
        };
        let fuel = of(|one| one.usage.cost.fuel);
        counters(out, "wasmgrid_fuel", "Fuel of committed results", "tenant", &fuel)?;
        let wall = of(|one| one.usage.cost.wall_us);
        let help = "Wall time of committed results on workers, in microseconds";
        counters(out, "wasmgrid_wall_us", help, "tenant", &wall)
    }

    fn state(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metrics { jobs, workers, store, .. } = &self.metrics;
        let help = "Jobs that were submitted";
        counters(out, "wasmgrid_jobs_submitted", help, "", &[("", jobs.submitted)])?;
        gauges(
            out,
            "wasmgrid_jobs",
            "Jobs that are known, by state",
            "state",
            &[
                ("active", jobs.active),
                ("ok", jobs.ok),
                ("failed", jobs.failed),
                ("cancelled", jobs.cancelled),
                ("expired", jobs.expired),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_workers",
            "Workers by state",
            "state",
            &[
                ("ready", workers.ready),
                ("draining", workers.draining),
                ("drained", workers.drained),
                ("cordoned", workers.cordoned),
                ("failing", workers.failing),
                ("gone", workers.gone),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_slots",
            "Slots of workers that take tasks",
            "state",
            &[
                ("busy", workers.slots.saturating_sub(workers.free_slots)),
                ("free", workers.free_slots),
            ],
        )?;
        gauges(
            out,
            "wasmgrid_stored_bytes",
            "Bytes that are stored, by kind",
            "kind",
            &[
                ("logs", store.log_bytes),
                ("modules", store.module_bytes),
                ("snapshot", store.snapshot_bytes),
            ],
        )?;
        let help = "Bytes of the journal's records after its snapshot";
        gauges(out, "wasmgrid_journal_bytes", help, "", &[("", store.journal_bytes)])
    }

    fn server(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let server = &self.metrics.server;
        let help = "Time until a batch of records and segments was durable";
        histogram(out, "wasmgrid_commit_seconds", help, &server.commit_us)?;
        let help = "Bytes that were made durable";
        counters(out, "wasmgrid_committed_bytes", help, "", &[("", server.committed_bytes)])?;
        let help = "Bytes that are not durable yet";
        gauges(out, "wasmgrid_uncommitted_bytes", help, "", &[("", server.uncommitted_bytes)])?;
        let help = "Messages that wait for the scheduler";
        gauges(out, "wasmgrid_inbox_messages", help, "", &[("", server.inbox_messages)])?;
        gauges(
            out,
            "wasmgrid_links",
            "Links by the role of the other side",
            "role",
            &[("worker", server.worker_links), ("client", server.client_links)],
        )?;
        gauges(out, "wasmgrid_watches", "Readers of result logs", "", &[("", server.watches)])?;
        let help = "Requests of clients to the scheduler, by answer";
        counters(
            out,
            "wasmgrid_requests",
            help,
            "answer",
            &[
                ("done", server.requests.saturating_sub(server.requests_refused)),
                ("refused", server.requests_refused),
            ],
        )?;
        let help = "Links that ended because a message was not understood or not allowed";
        counters(out, "wasmgrid_links_refused", help, "", &[("", server.links_refused)])
    }
}

fn counters(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: Values<'_>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        let count = ConstCounter::new(*count);
        if label.is_empty() {
            return count.encode(metric);
        }
        count.encode(metric.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}

fn gauges(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: Values<'_>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value, amount) in values {
        let amount = ConstGauge::new(*amount);
        if label.is_empty() {
            return amount.encode(metric);
        }
        amount.encode(metric.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}

fn histogram(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counted: &Counted,
) -> fmt::Result {
    let bound = |at| Counted::bound_us(at).map_or(f64::INFINITY, |us| us as f64 / 1e6);
    let counts = counted.buckets.iter().enumerate();
    let buckets: Vec<(f64, u64)> = counts.map(|(at, count)| (bound(at), *count)).collect();
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let sum = counted.sum_us as f64 / 1e6;
    metric.encode_histogram::<NoLabelSet>(sum, counted.total(), &buckets, None)
}
