//! The scheduler's disk: full, torn, damaged. The real process on a real file system.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use wasmgrid_tests::{Daemon, Grid, Home, free_address, guest, wait_until};

/// A small file system of its own, gone with the value.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one; `None`, with a line that says so, where that is not permitted.
    fn mount(at: PathBuf, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(&at).expect("a folder");
        let size = format!("size={megabytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "wasmgrid-test"];
        let why = match Command::new("mount").args(mount).arg(&at).output() {
            Ok(mounted) if mounted.status.success() => return Some(Self(at)),
            Ok(mounted) => String::from_utf8_lossy(&mounted.stderr).trim().to_owned(),
            Err(error) => format!("mount: {error}"),
        };
        eprintln!("skipped: there is no small disk to fill, as no tmpfs can be mounted: {why}");
        None
    }

    /// Leaves so many megabytes of room.
    fn fill_but(&self, megabytes: u64) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        let free = || {
            let disk = rustix::fs::statvfs(&self.0).expect("a file system");
            disk.f_bavail * disk.f_frsize
        };
        while free() > megabytes << 20 {
            file.write_all(&[7; 64 << 10]).expect("there is room");
        }
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        for size in [1 << 20, 4_096, 1] {
            let block = vec![7; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the scheduler may be ending still.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn up(home: &Home, listen: &str, more: &[&str]) -> Daemon {
    let mut args = vec!["up", "--listen", listen, "--state-dir", "state"];
    args.extend(more);
    Daemon::start(home.command(args))
}

#[test]
fn on_a_full_disk_reading_goes_on_and_submits_are_refused_until_there_is_room() {
    let home = Home::new();
    let Some(disk) = Disk::mount(home.path().join("state"), 32) else { return };
    let noop = guest("noop");
    let flags = ["--slots", "1", "--disk-reserve", "0B"];
    let mut scheduler = up(&home, &free_address(), &flags);
    scheduler.hear("a join token", |line| line.contains("wgt1.").then_some(()));
    let first = home.run(["submit", &noop, "--range", "0..100"]).ok().trim().to_owned();
    home.run(["job", "wait", &first]).ok();

    disk.fill();
    // More than the room that the store's own files still have.
    home.write("large", format!("{}\n", "x".repeat(1 << 20)).repeat(8));
    let mut large = Daemon::start(home.command(["submit", &noop, "--lines", "large"]));
    scheduler.hear("a full disk", |line| line.contains("disk full").then_some(()));
    home.run(["submit", &noop, "--range", "0..1"]).fails_with(4, &["disk is full"]);
    // Also if no job waits for it.
    let status = home.run(["status"]);
    assert_eq!(status.code, Some(1), "{status}");
    assert!(status.text().contains("disk is full"), "{status}");
    let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(home.run(["job", "results", &first]).ok(), expected);

    disk.make_room();
    assert_eq!(large.wait().code(), Some(0), "{}", large.said());
    let second = large.said().trim().to_owned();
    home.run(["job", "wait", &second]).ok();
    let third = home.run(["submit", &noop, "--range", "0..5"]).ok().trim().to_owned();
    home.run(["job", "wait", &third]).ok();
    let shown = home.run(["job", "show", &second, "--output", "json"]);
    let shown: Value = serde_json::from_str(shown.ok()).expect("JSON");
    assert_eq!(shown["counts"]["ok"], json!(8));
    assert!(scheduler.interrupt().success(), "{}", scheduler.said());
}

#[test]
fn below_the_reserve_of_the_disk_waiting_tasks_wait_and_new_work_is_refused() {
    let home = Home::new();
    let Some(disk) = Disk::mount(home.path().join("state"), 64) else { return };
    let noop = guest("noop");
    let more = ["--disk-reserve", "24MiB", "--no-worker"];
    let mut scheduler = up(&home, &free_address(), &more);
    let token = scheduler.hear("a join token", |line| {
        line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(ToOwned::to_owned)
    });
    let first = home.run(["submit", &noop, "--range", "0..1000"]).ok().trim().to_owned();

    disk.fill_but(20);
    scheduler.hear("too little space", |line| line.contains("disk nearly full").then_some(()));
    home.run(["submit", &noop, "--range", "0..1"])
        .fails_with(4, &["reserved for the work in progress", "24MiB"]);
    let mut worker = Daemon::start(home.command(["join", &token, "--slots", "1"]));
    worker.hear("the worker to join", |line| line.contains("joined the grid").then_some(()));
    let status = home.run(["status"]);
    assert!(status.text().contains("reserved for the work in progress"), "{status}");
    let explained = home.run(["job", "explain", &first]);
    assert!(explained.ok().contains("1000 tasks"), "{explained}");
    assert!(explained.ok().contains("less free than its reserve"), "{explained}");

    disk.make_room();
    scheduler.hear("space", |line| line.contains("accepting new work").then_some(()));
    home.run(["job", "wait", &first]).ok();
    let expected: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    assert_eq!(home.run(["job", "results", &first]).ok(), expected);
    let second = home.run(["submit", &noop, "--range", "0..5"]).ok().trim().to_owned();
    home.run(["job", "wait", &second]).ok();
    assert!(worker.interrupt().success(), "{}", worker.said());
    assert!(scheduler.interrupt().success(), "{}", scheduler.said());
}

/// Flips a bit of a file.
fn flip(path: &Path, at: u64) {
    let mut file = fs::File::options().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).expect("a file");
    file.read_exact(&mut byte).expect("long enough");
    file.seek(SeekFrom::Start(at)).expect("a file");
    file.write_all(&[byte[0] ^ 1]).expect("written");
}

#[test]
fn a_flipped_bit_is_refused_with_its_place_and_a_torn_tail_is_cut() {
    let mut grid = Grid::start(1, 1);
    let (spin, range) = (guest("spin"), "400000..403000");
    let expected = Home::new().run(["run", &spin, "--range", range]).ok().to_owned();
    let mut run = Daemon::start(grid.home.command(["run", &spin, "--range", range, "-o", "out"]));
    wait_until("the job to be under way", || {
        let listed = grid.run(&["job", "list", "--output", "json"]);
        let Ok(jobs) = serde_json::from_slice::<Vec<Value>>(&listed.stdout) else { return false };
        jobs.first().is_some_and(|job| job["counts"]["ok"].as_u64() > Some(100))
    });
    grid.kill_scheduler();
    let wal = grid.state_dir().join("grid.sqlite-wal");
    let in_the_first_frame = 32 + 24 + 100;
    flip(&wal, in_the_first_frame);
    let mut refused = up(&grid.home, grid.address(), &["--no-worker"]);
    assert_ne!(refused.wait().code(), Some(0));
    let said = refused.said();
    assert!(said.contains("damaged") && said.contains("grid.sqlite-wal, frame 1"), "{said}");

    // As it was, and then as a crash in the middle of the next commit would leave it.
    flip(&wal, in_the_first_frame);
    let mut bytes = fs::read(&wal).expect("it is there");
    bytes.extend_from_within(32..32 + 2_000);
    fs::write(&wal, bytes).expect("written");
    grid.restart_scheduler();
    assert_eq!(run.wait().code(), Some(0), "{}", run.said());
    assert!(grid.home.read("out") == expected, "the output differs from an undisturbed run's");
}
