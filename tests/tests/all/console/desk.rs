//! Where console blocks are run: a folder with the files that their texts speak of, at a home of its
//! own, with `wasmgrid` on the path.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
};

use wasmgrid_tests::{Daemon, Finished, Home, binary, example, free_address, guest, wait_until};

use super::block::{Block, Grid, Step};

/// How long a block may take: one builds a crate twice.
const PATIENCE_S: &str = "600";

/// Stands between what the commands of a block print.
const MARK: &str = "<- exit code";

/// A new crate, which some blocks begin in.
const CRATE: &str = "squares";

/// A user's desk.
pub struct Desk {
    /// The grid that is selected there; it ends before its home goes.
    grid: Vec<Daemon>,
    home: Home,
}

impl Desk {
    /// A desk with the grid that a block needs.
    pub fn new(grid: Grid) -> Self {
        let home = Home::new();
        fs::create_dir(home.path().join("bin")).expect("made");
        symlink(binary(), home.path().join("bin/wasmgrid")).expect("made");
        // A log that is followed has an end here.
        let tail = "#!/bin/sh\n[ \"$1\" = -f ] && exec cat \"$2\"\nexit 2\n";
        executable(&home.write("bin/tail", tail));
        for (name, module) in [
            ("grep", example("grep")),
            ("wc", example("wordcount")),
            ("score", guest("echo")),
            ("train", guest("echo")),
            ("thumb", guest("echo")),
        ] {
            home.write(&format!("{name}.wasm"), fs::read(module).expect("it was built"));
        }
        for (name, text) in [
            ("access.log", "1 ERROR\n2 well\n3 ERROR\n4 well\n"),
            ("src/main.rs", "fn main() {}\n"),
            ("src/deep/er.rs", "mod er;\n"),
            ("people.csv", "name,age\nada,36\nben,41\n"),
            ("in/a.png", "a"),
            ("in/deep/b.png", "b"),
            ("rows.ndjson", "{\"x\":1}\n{\"x\":2}\n"),
        ] {
            home.write(name, text);
        }
        let workers: &[&str] = match grid {
            Grid::None => &[],
            Grid::Shared | Grid::Own => &["box1"],
            Grid::Degraded => &["box1", "box2", "box3"],
        };
        let mut desk = Self { grid: Vec::new(), home };
        if grid != Grid::None {
            desk.start(workers);
        }
        if grid == Grid::Degraded {
            desk.grid.pop();
            desk.wait_for("box3", "gone");
        }
        desk
    }

    /// Starts a grid called `lab`, with these workers.
    fn start(&mut self, workers: &[&str]) {
        let address = free_address();
        let mut up =
            self.home.command(["up", "--no-worker", "--name", "lab", "--listen", &address]);
        up.args(["--token-uses", "8"]);
        let mut up = Daemon::start(up);
        let token = up.hear("a join token", |line| {
            line.split_whitespace().find(|word| word.starts_with("wgt1.")).map(str::to_owned)
        });
        self.grid.push(up);
        for name in workers {
            let join = ["join", &token, "--name", name, "--slots", "2"];
            let mut join = self.home.command(join);
            join.stdout(Stdio::null());
            self.grid.push(Daemon::start(join));
            self.wait_for(name, "ready");
        }
    }

    fn wait_for(&self, name: &str, state: &str) {
        wait_until(&format!("worker {name} to be {state}"), || {
            let listed = self.home.run(["worker", "list", "--output", "json"]);
            let listed = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            let serde_json::Value::Array(workers) = listed else { return false };
            workers.iter().any(|worker| worker["name"] == name && worker["state"] == state)
        });
    }

    /// Runs a block, and says in what it is not as the text says.
    pub fn run(&self, block: &Block) -> Result<(), String> {
        if block.how.folder.as_deref() == Some(CRATE) && !self.home.path().join(CRATE).exists() {
            self.home.run(["new", CRATE]).ok();
        }
        let finished = self.typed(&script(block), block.how.folder.as_deref());
        let mut parts = finished.text().split(MARK);
        let mut printed = parts.next().unwrap_or_default();
        for step in &block.steps {
            let Some(part) = parts.next() else {
                return Err(format!("{block}: `{}` did not end: {finished}", step.command));
            };
            let (code, rest) = part.split_once('\n').unwrap_or((part, ""));
            let expected = block.how.exit_of(&step.command);
            if code.trim().parse() != Ok(expected) {
                return Err(format!(
                    "{block}: `{}` ended with {code}, {expected} expected: {finished}",
                    step.command
                ));
            }
            check(block, step, printed)?;
            printed = rest;
        }
        Ok(())
    }

    /// A script, as typed in a shell.
    fn typed(&self, script: &str, folder: Option<&str>) -> Finished {
        let args = [PATIENCE_S, "sh", "-c", script];
        let mut command = self.home.command_of(Path::new("timeout"), args);
        let paths = env::var("PATH").expect("a path");
        command
            .current_dir(self.home.path().join(folder.unwrap_or_default()))
            .env("PATH", format!("{}:{paths}", self.home.path().join("bin").display()))
            .env("HOME", self.home.path())
            // One for all crates that are built here, also in later runs.
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("console"));
        // What builds the task is at home elsewhere.
        let elsewhere = env::var("HOME").unwrap_or_default();
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let there = env::var(name).unwrap_or_else(|_| format!("{elsewhere}/{folder}"));
            command.env(name, there);
        }
        Home::finish(command, b"")
    }
}

/// The commands of a block in one shell, so that `cd` and variables last.
fn script(block: &Block) -> String {
    let mut script = String::new();
    for command in &block.how.before {
        script += &format!("{{ {}; }} >&2 || exit\n", remembering(command));
    }
    for step in &block.steps {
        let command = block.how.meant(&step.command);
        script += &remembering(&command);
        script += &format!("\ncode=$?; echo '{MARK}' $code\n");
    }
    script
}

/// Has the shell know the job that a command submits.
fn remembering(command: &str) -> String {
    if command.starts_with("wasmgrid submit ") {
        format!("JOB=$({command}) && echo $JOB")
    } else {
        command.to_owned()
    }
}

fn check(block: &Block, step: &Step, printed: &str) -> Result<(), String> {
    if step.prints.is_empty() || block.how.fits(&step.prints, &printed.lines().collect::<Vec<_>>())
    {
        return Ok(());
    }
    let shown = step.prints.join("\n");
    Err(format!("{block}: `{}` prints\n{printed}\nand the text has\n{shown}", step.command))
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the test's own");
}
