//! A `wasmgrid` process that runs until it is told to stop, and what it says meanwhile.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread,
};

use crate::{run::wait_for_exit, wait_for};

/// A running process; killed when dropped.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
    /// What is done with each further line.
    listener: Arc<Mutex<Option<Listener>>>,
}

type Listener = Box<dyn FnMut(&str) + Send>;

impl Daemon {
    /// Starts `command` and listens to what it says.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let (said, listener) = (Arc::<Mutex<String>>::default(), Arc::default());
        if let Some(stdout) = child.stdout.take() {
            listen(stdout, Arc::clone(&said), Arc::clone(&listener));
        }
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, Arc::clone(&said), Arc::clone(&listener));
        }
        Self { child, said, listener }
    }

    /// Calls `listener` with each line that it says from now on, in the place of the one before;
    /// the first one also with what was said by then.
    pub fn each_line(&self, mut listener: impl FnMut(&str) + Send + 'static) {
        let mut place = self.listener.lock().expect("no listener panics");
        if place.is_none() {
            self.said().lines().for_each(&mut listener);
        }
        *place = Some(Box::new(listener));
    }

    /// Its standard input, where that is piped.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// All it has said so far, on both outputs.
    pub fn said(&self) -> String {
        self.said.lock().expect("no listener panics").clone()
    }

    /// Waits until it has said a line from which `find` makes something.
    pub fn hear<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        wait_for(what, || {
            if let Some(found) = self.said().lines().find_map(&find) {
                return Some(found);
            }
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                // What it said last may still be on its way through the pipe.
                thread::yield_now();
                let said = self.said();
                if let Some(found) = said.lines().find_map(&find) {
                    return Some(found);
                }
                panic!("it ended ({status}) before {what}:\n{said}");
            }
            None
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its number.
    pub fn signal(&self, signal: i32) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.pid().to_string()])
            .status()
            .expect("kill(1) is there");
        assert!(status.success(), "cannot signal {}", self.pid());
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        wait_for_exit(&mut self.child);
    }

    /// Ctrl-C, and waits until it has ended.
    pub fn interrupt(&mut self) -> ExitStatus {
        self.signal(2);
        wait_for_exit(&mut self.child)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(
    pipe: impl Read + Send + 'static,
    said: Arc<Mutex<String>>,
    listener: Arc<Mutex<Option<Listener>>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut listener = listener.lock().expect("no listener panics");
            if let Some(listener) = listener.as_mut() {
                listener(&line);
            }
            let mut said = said.lock().expect("no reader panics");
            said.push_str(&line);
            said.push('\n');
        }
    });
}
