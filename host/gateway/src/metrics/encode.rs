//! How plain numbers become metrics.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use wasmgrid_proto::Histogram as Counted;

/// Values of one metric, each with the value of its one label; without a label, one value.
type Values<'a> = &'a [(&'a str, u64)];

/// Which release this is.
pub(super) fn build(out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    gauges(out, "wasmgrid_build_info", "The release that runs", "version", &[(version, 1)])
}

/// Counters of microseconds, as seconds.
pub(super) fn seconds(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: Values<'_>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, us) in values {
        let count = ConstCounter::new(*us as f64 / 1e6);
        count.encode(metric.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}

/// Counters, each with the value of the one label.
pub(super) fn counters(
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

/// Amounts, each with the value of the one label.
pub(super) fn gauges(
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

/// Durations.
pub(super) fn histogram(
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
