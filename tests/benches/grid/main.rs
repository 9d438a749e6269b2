//! The grid against the bare sandbox, in one run: `make bench`.
//!
//! What is compared, and how to read it, is in `README.md` beside this file. Nothing here fails
//! for being slow. `--quick` takes a tenth of the tasks; `--json FILE` writes the figures.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run says so")]

mod floor;
mod latency;
mod memory;
mod table;
mod throughput;

use std::env;

use wasmgrid_tests::{binary, guest};

use crate::{
    floor::Floor,
    table::{Row, Table},
    throughput::Work,
};

/// Inputs of so many bytes are also compared with plain QUIC, as messages of 1 MiB.
const LARGE: usize = 1 << 20;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let scale = if args.iter().any(|arg| arg == "--quick") { 10 } else { 1 };
    let json = args.iter().position(|arg| arg == "--json").and_then(|at| args.get(at + 1));
    // Everything is built before anything is timed.
    binary();
    let (noop, spin, echo) = (guest("noop"), guest("spin"), guest("echo"));
    let floor = Floor::find();
    let rounds = floor.calibrate(&spin, 1_000.0);

    let mut table = Table::default();
    let works = [
        Work::new("no-op, 16 bytes in and out", &noop, throughput::short_lines(1_000_000 / scale)),
        Work::new("1 ms of computing", &spin, throughput::repeated(&rounds, 10_000 / scale)),
        Work::new("1 MiB in and out", &echo, throughput::large_lines(500 / scale)),
    ];
    for work in &works {
        let bare_one = floor.run(work, 1);
        let bare_two = floor.run(work, 2);
        table.push(Row::bare(work, "(a) bare loop, one process", bare_one, bare_two));
        table.push(Row::bare(work, "(a) bare loop, two processes", bare_two, bare_two));
        let quic = (work.first().len() >= LARGE).then(Floor::quic);
        if let Some(quic) = quic {
            let row = Row::bare(work, "(a) plain QUIC, there and back", quic, bare_two);
            table.push(row.beside_quic(Some(quic)));
        }
        let runs = [
            ("(b) wasmgrid run, local grid", throughput::local(work, "process")),
            ("(b) the same in process", throughput::local(work, "in-process")),
            ("(c) over QUIC, durable", throughput::cluster(work)),
        ];
        for (how, measured) in runs {
            table.push(Row::grid(work, how, measured, bare_two).beside_quic(quic));
        }
    }
    table.print();
    let latencies = latency::measure(&noop, if scale == 1 { 1_000 } else { 200 });
    latency::print(&latencies);
    if let Some(path) = json {
        table.write_json(path, &latencies);
    }
}
