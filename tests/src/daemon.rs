//! A `wasmgrid` process that runs until it is told to stop, and what it says meanwhile.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use crate::{process, wait_for, wait_until};

/// A running process; killed when dropped.
pub struct Daemon {
    child: Child,
    /// Read its outputs until nobody can write to them any more.
    readers: Vec<JoinHandle<()>>,
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
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(listen(stdout, Arc::clone(&said), Arc::clone(&listener)));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(listen(stderr, Arc::clone(&said), Arc::clone(&listener)));
        }
        Self { child, readers, said, listener }
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

    /// All it has said so far, on both outputs; after it has been waited for, all it ever said.
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
                self.read_to_the_end();
                let said = self.said();
                if let Some(found) = said.lines().find_map(&find) {
                    return Some(found);
                }
                panic!("it ended ({status}) before {what}:\n{said}");
            }
            None
        })
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its number.
    pub fn signal(&self, signal: i32) {
        process::signal(self.pid(), signal);
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours");
        self.wait();
    }

    /// Ctrl-C, and waits until it has ended.
    pub fn interrupt(&mut self) -> ExitStatus {
        self.signal(2);
        self.wait()
    }

    /// Waits until it has ended, and all that it said has come.
    pub fn wait(&mut self) -> ExitStatus {
        let status =
            wait_for("a command to end", || self.child.try_wait().expect("a child of ours"));
        self.read_to_the_end();
        status
    }

    /// Waits until nobody can say anything more on its outputs: its children, which may have them
    /// too, end soon after it.
    fn read_to_the_end(&self) {
        let read = || self.readers.iter().all(JoinHandle::is_finished);
        wait_until("the end of a command's outputs", read);
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
) -> JoinHandle<()> {
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
    })
}
