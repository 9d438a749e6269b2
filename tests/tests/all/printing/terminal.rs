//! A terminal that is closed under a command.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    process::Command,
};

use wasmgrid_tests::{Daemon, Grid, Home, guest};

/// A terminal: what shows it, and what programs see of it.
struct Terminal {
    screen: File,
    line: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        // No child of another test, which may be forked at any time, keeps it open.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: a system call by values alone.
        let screen = unsafe { libc::posix_openpt(flags) };
        assert!(screen >= 0, "{}", io::Error::last_os_error());
        // SAFETY: it was just opened and is nobody else's.
        let screen = unsafe { OwnedFd::from_raw_fd(screen) };
        let mut name = [0; 64];
        // SAFETY: calls on a descriptor of ours; the last writes as much as `name` has room for.
        let named = unsafe {
            libc::grantpt(screen.as_raw_fd()) == 0
                && libc::unlockpt(screen.as_raw_fd()) == 0
                && libc::ptsname_r(screen.as_raw_fd(), name.as_mut_ptr(), name.len()) == 0
        };
        assert!(named, "{}", io::Error::last_os_error());
        // SAFETY: it ends in a zero byte, as the call succeeded.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().expect("a plain path");
        let mut options = File::options();
        let line = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
        Self { screen: screen.into(), line: line.expect("a terminal").into() }
    }

    /// Has the command say on it what it says.
    fn shows(&self, command: &mut Command) {
        let line = || File::from(self.line.try_clone().expect("it is open"));
        command.stdout(line()).stderr(line());
    }

    /// Has the command read its keys from it, too.
    fn is_used_by(&self, command: &mut Command) {
        self.shows(command);
        command.stdin(File::from(self.line.try_clone().expect("it is open")));
        let size = libc::winsize { ws_row: 30, ws_col: 110, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: a call on a descriptor of ours, which reads `size`.
        let set = unsafe { libc::ioctl(self.line.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
    }

    /// Presses keys.
    fn press(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).expect("it is open");
    }

    /// How the terminal's line is set.
    fn mode(&self) -> libc::tcflag_t {
        let mut mode = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: a call on a descriptor of ours, which fills `mode`.
        let read = unsafe { libc::tcgetattr(self.line.as_raw_fd(), mode.as_mut_ptr()) };
        assert_eq!(read, 0, "{}", io::Error::last_os_error());
        // SAFETY: it was filled, as the call succeeded.
        unsafe { mode.assume_init() }.c_lflag
    }

    /// Has the command be the one that the terminal was opened for, as a shell is.
    fn belongs_to(&self, command: &mut Command) {
        self.shows(command);
        // SAFETY: system calls, between fork and exec.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(2, libc::TIOCSCTTY, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            })
        };
    }

    /// Reads until this has been shown.
    fn wait_for(&mut self, text: &str) {
        let mut shown = Vec::new();
        let mut part = [0; 4_096];
        while !String::from_utf8_lossy(&shown).contains(text) {
            let read = self.screen.read(&mut part);
            let read = read.unwrap_or_else(|error| {
                panic!("no {text:?} ({error}) in: {}", String::from_utf8_lossy(&shown))
            });
            shown.extend_from_slice(&part[..read]);
        }
    }
}

/// A grid that says on a terminal what it says, started by `prepare`.
fn up(
    home: &Home,
    terminal: &mut Terminal,
    prepare: impl FnOnce(&Terminal, &mut Command),
) -> Daemon {
    let mut command = home.command(["up", "--slots", "1", "--listen", "127.0.0.1:0"]);
    prepare(terminal, &mut command);
    let daemon = Daemon::start(command);
    terminal.wait_for("wgt1.");
    daemon
}

/// Somebody joins it as a client, and a job runs.
fn serves(home: &Home) {
    let token = home.run(["token", "create", "--role", "client"]);
    let other = Home::new();
    other.run(["context", "add", "there", token.ok().trim()]).ok();
    assert_eq!(other.run(["run", &guest("noop"), "--range", "0..3"]).ok(), "0\n1\n2\n");
}

#[test]
fn a_grid_goes_on_without_the_terminal_it_was_started_on() {
    let (home, mut terminal) = (Home::new(), Terminal::new());
    let mut grid = up(&home, &mut terminal, Terminal::shows);
    drop(terminal);
    serves(&home);
    assert_eq!(grid.interrupt().code(), Some(0));
}

#[test]
fn a_grid_ends_in_order_with_the_terminal_that_it_runs_on() {
    let (home, mut terminal) = (Home::new(), Terminal::new());
    let mut grid = up(&home, &mut terminal, Terminal::belongs_to);
    drop(terminal);
    assert_eq!(grid.wait().code(), Some(0));
}

#[test]
fn a_grid_under_nohup_outlives_the_terminal_that_it_runs_on() {
    let (home, mut terminal) = (Home::new(), Terminal::new());
    let mut grid = up(&home, &mut terminal, |terminal, command| {
        terminal.belongs_to(command);
        // SAFETY: a system call, between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                Ok(())
            })
        };
    });
    drop(terminal);
    serves(&home);
    assert_eq!(grid.interrupt().code(), Some(0));
}

#[test]
fn a_run_whose_progress_bar_has_no_terminal_any_more_prints_all_results() {
    let (home, mut terminal) = (Home::new(), Terminal::new());
    home.write("in", "20\n".repeat(100));
    let args = ["run", &guest("sleeper"), "--allow", "clock", "--lines", "in", "-o", "out"];
    let mut command = home.command(args);
    terminal.shows(&mut command);
    let mut run = Daemon::start(command);
    terminal.wait_for("/100 tasks");
    drop(terminal);
    assert_eq!(run.wait().code(), Some(0));
    assert_eq!(home.read("out"), "20\n".repeat(100));
}

#[test]
fn top_shows_a_grid_and_gives_the_terminal_back() {
    let mut grid = Grid::start(1, 2);
    let args = ["submit", &guest("sleeper"), "--allow", "clock", "--name", "naps", "--range"];
    grid.run(&[&args[..], &["1..200000"]].concat()).ok();
    let mut terminal = Terminal::new();
    let before = terminal.mode();
    let mut command = grid.home.command(["top"]);
    terminal.is_used_by(&mut command);
    let mut top = Daemon::start(command);
    terminal.wait_for("naps");
    assert_ne!(terminal.mode(), before, "keys come one by one");
    terminal.press("2");
    terminal.wait_for("TENANT");
    terminal.press("\r");
    terminal.wait_for("queued");
    terminal.press("\x1b3");
    terminal.wait_for("HEARD");
    grid.scheduler.kill();
    terminal.wait_for("away");
    terminal.press("q");
    assert_eq!(top.wait().code(), Some(0));
    terminal.wait_for("\x1b[?1049l");
    assert_eq!(terminal.mode(), before);
}
