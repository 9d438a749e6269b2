//! Whether the scheduler keeps more workers busy: tasks that only wait, so that they need no core,
//! on one to eight workers, each an agent and runners as processes.

use std::time::Duration;

use wasmgrid_tests::Grid;

use crate::{
    Bench,
    report::Row,
    throughput::{count, daemons, repeated, stop, time},
    usage,
};

/// Tasks at a time of each worker.
const SLOTS: u32 = 8;

/// How long a task waits, by a clock that it was granted.
const TASK: Duration = Duration::from_millis(20);

/// Tasks a second of one worker, if nothing but the waiting took time.
const IDEAL: u64 = 400;

/// Workers of each step.
const WORKERS: [usize; 4] = [1, 2, 4, 8];

/// One grid that grows.
pub fn run(bench: &mut Bench) {
    let mut grid = Grid::start(0, 0);
    for workers in WORKERS {
        while grid.workers.len() < workers {
            grid.add_worker(SLOTS);
        }
        let ideal = count(IDEAL * workers as u64);
        // Each runner has the module before it counts.
        for seconds in [1, if bench.options.quick { 2 } else { 5 }] {
            let tasks = IDEAL * workers as u64 * seconds;
            grid.home.write("in", repeated(&TASK.as_millis().to_string(), tasks));
            let scheduler = usage::cpu(&[grid.scheduler.pid()]);
            let flags = ["--lines", "in", "--allow", "clock"];
            let run = time(&grid.home, &bench.sleeper, &flags, &daemons(&grid));
            if seconds == 1 {
                continue;
            }
            let scheduler = usage::cpu(&[grid.scheduler.pid()]).saturating_sub(scheduler);
            let what = format!("tasks of 20 ms that wait, {workers} workers of {SLOTS} slots");
            let row = Row::new(
                format!("scaling.{workers}"),
                what,
                count(tasks) / run.wall.as_secs_f64(),
                "tasks/s",
            );
            let us = |time: Duration| time.as_secs_f64() * 1e6 / count(tasks);
            bench.report.push(
                row.of("ideal", ideal)
                    .beside("us_cpu_a_task_of_the_scheduler", us(scheduler))
                    .beside("us_cpu_a_task", us(run.cpu)),
            );
        }
    }
    stop(grid);
}
