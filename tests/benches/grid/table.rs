//! The figures as a table for people and as JSON for programs.

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    latency::Latency,
    throughput::{Measured, Work},
};

/// All rows.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// One way of doing one work.
pub struct Row {
    work: &'static str,
    how: &'static str,
    tasks: u64,
    wall: Duration,
    floor_rate: f64,
    /// What plain QUIC does of it, where that is the floor that counts.
    quic_rate: Option<f64>,
    peak_bytes: Option<u64>,
}

impl Row {
    /// A bare loop that did `rate` tasks a second.
    pub fn bare(work: &Work, how: &'static str, rate: f64, floor_rate: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let wall = Duration::from_secs_f64(work.tasks as f64 / rate);
        let (quic_rate, peak_bytes) = (None, None);
        Self { work: work.name, how, tasks: work.tasks, wall, floor_rate, quic_rate, peak_bytes }
    }

    /// A run of the grid.
    pub fn grid(work: &Work, how: &'static str, measured: Measured, floor_rate: f64) -> Self {
        let (wall, peak_bytes) = (measured.wall, Some(measured.peak_bytes));
        let quic_rate = None;
        Self { work: work.name, how, tasks: work.tasks, wall, floor_rate, quic_rate, peak_bytes }
    }

    /// The same row, also against what plain QUIC does.
    pub fn beside_quic(self, quic_rate: Option<f64>) -> Self {
        Self { quic_rate, ..self }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn rate(&self) -> f64 {
        self.tasks as f64 / self.wall.as_secs_f64()
    }
}

impl Table {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints it as Markdown.
    pub fn print(&self) {
        println!(
            "| work | how | tasks | tasks/s | us a task | of the bare two | of plain QUIC | peak memory |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|");
        for row in &self.rows {
            let rate = row.rate();
            let memory = row.peak_bytes.map_or_else(String::new, |b| format!("{} MiB", b >> 20));
            let of_quic = row.quic_rate.map(|quic| format!("{:.0} %", 100.0 * rate / quic));
            let of_quic = of_quic.unwrap_or_default();
            println!(
                "| {} | {} | {} | {:.0} | {:.2} | {:.0} % | {of_quic} | {memory} |",
                row.work,
                row.how,
                row.tasks,
                rate,
                1e6 / rate,
                100.0 * rate / row.floor_rate,
            );
        }
        println!();
    }

    /// Writes it, with the latencies, to a file.
    pub fn write_json(&self, path: &str, latencies: &[Latency]) {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "work": row.work, "how": row.how, "tasks": row.tasks,
                    "tasks_per_second": row.rate(), "ratio": row.rate() / row.floor_rate,
                    "ratio_to_quic": row.quic_rate.map(|quic| row.rate() / quic),
                    "peak_bytes": row.peak_bytes,
                })
            })
            .collect();
        let latencies: Vec<_> = latencies.iter().map(Latency::json).collect();
        let text = json!({ "throughput": rows, "latency": latencies }).to_string();
        fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
