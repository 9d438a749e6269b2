//! Large inputs and results: what they take of memory, and of others.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use wasmgrid_tests::{Grid, Home, guest, memory_bytes};

/// Bytes of an input, and of its result.
const LARGE: usize = 1 << 20;

/// Tasks of one run: 600 MiB of inputs and results, far more than anybody may hold.
const TASKS: usize = 300;

/// What a process may hold of them: its windows, its caches and room to work.
const MEMORY_MAX: u64 = 256 << 20;

/// What an agent may hold, which keeps nothing but what its slots have and what is not committed.
const AGENT_MEMORY_MAX: u64 = 128 << 20;

fn write_inputs(home: &Home, tasks: usize) {
    home.write("in", format!("{}\n", "x".repeat(LARGE)).repeat(tasks));
}

fn echo(home: &Home, inputs: &str, output: &str) -> Command {
    let mut command = home.command(["run", &guest("echo"), "--lines", inputs, "-o", output]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits for the end of a run; the largest memory that each of these processes had until then.
fn peaks<const N: usize>(run: &mut Child, pids: [u32; N]) -> [u64; N] {
    let mut peaks = [0; N];
    loop {
        for (peak, pid) in peaks.iter_mut().zip(pids) {
            *peak = memory_bytes(pid).max(*peak);
        }
        if let Some(status) = run.try_wait().expect("a child of ours") {
            assert!(status.success(), "the run failed: {status}");
            return peaks;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn check_outputs(home: &Home) {
    let mut lines = 0;
    for line in
        BufReader::new(File::open(home.path().join("out")).expect("it is there")).split(b'\n')
    {
        let line = line.expect("it is readable");
        assert!(line.len() == LARGE && line.iter().all(|byte| *byte == b'x'), "line {lines}");
        lines += 1;
    }
    assert_eq!(lines, TASKS);
}

#[test]
fn large_payloads_take_bounded_memory_here() {
    let home = Home::new();
    write_inputs(&home, TASKS);
    let mut run = echo(&home, "in", "out").spawn().expect("the binary starts");
    let pid = run.id();
    let [peak] = peaks(&mut run, [pid]);
    check_outputs(&home);
    assert!(peak < MEMORY_MAX, "the run held {} MiB", peak >> 20);
}

#[test]
fn large_payloads_take_bounded_memory_in_each_process_of_a_cluster() {
    let grid = Grid::start(1, 2);
    write_inputs(&grid.home, TASKS);
    let mut run = echo(&grid.home, "in", "out").spawn().expect("the binary starts");
    let pids = [run.id(), grid.scheduler.pid(), grid.workers[0].process.pid()];
    let [client, scheduler, agent] = peaks(&mut run, pids).map(|bytes| bytes >> 20);
    check_outputs(&grid.home);
    let said = format!("client {client} MiB, scheduler {scheduler} MiB, agent {agent} MiB");
    let held = client.max(scheduler);
    assert!(held < MEMORY_MAX >> 20 && agent < AGENT_MEMORY_MAX >> 20, "{said}");
}

#[test]
fn who_does_not_read_large_results_holds_up_nobody_else() {
    let grid = Grid::start(1, 2);
    write_inputs(&grid.home, 100);
    let mut stuck = echo(&grid.home, "in", "-").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut results = stuck.stdout.take().expect("it is piped");
    // Its first results are there, and nobody reads on.
    let mut first = [0; 1];
    results.read_exact(&mut first).expect("a result");
    grid.home.write("few", "a\nb\n");
    for _ in 0..3 {
        let others = grid.run(&["run", &guest("echo"), "--lines", "few"]);
        assert_eq!(others.ok(), "a\nb\n");
    }
    assert!(stuck.try_wait().expect("a child of ours").is_none(), "it had no reader, and ended");
    // Read to its end it has lost nothing.
    let mut rest = Vec::new();
    results.read_to_end(&mut rest).expect("it is readable");
    assert_eq!(first.len() + rest.len(), 100 * (LARGE + 1));
    assert!(stuck.wait().expect("a child of ours").success());
}
