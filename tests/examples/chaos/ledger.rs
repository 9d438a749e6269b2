//! What workers ran, by their own logs: what was run twice although nothing befell a worker that
//! ran it was run again for nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// One life of a worker's process, until a fault befell it.
pub type Life = u64;

/// Tasks that were run again and are named in the report.
const SHOWN: usize = 20;

/// See the module.
pub struct Ledger {
    opened: Instant,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// By job and task: who ran it, and when that was heard.
    runs: BTreeMap<(u64, u64), Vec<(Life, Instant)>>,
    /// When a fault befell a life.
    hurt: BTreeMap<Life, Instant>,
    lives: Life,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self { opened: Instant::now(), books: Mutex::default() }
    }

    /// A process began, or went on after a fault.
    pub fn begin(&self) -> Life {
        let mut books = self.books();
        books.lives += 1;
        books.lives
    }

    /// A fault befalls a worker in this life.
    pub fn hurt(&self, life: Life) {
        self.books().hurt.entry(life).or_insert_with(Instant::now);
    }

    /// Takes in a line of a worker's log.
    pub fn hear(&self, life: Life, line: &str) {
        let Some((_, told)) = line.split_once("slot answered ") else { return };
        let number = |name: &str| {
            let (_, rest) = told.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
        };
        let (Some(job), Some(first), Some(count)) =
            (number("job="), number("first="), number("count="))
        else {
            panic!("a worker's log has another form: {line}");
        };
        let mut books = self.books();
        for index in first..first + count {
            books.runs.entry((job, index)).or_default().push((life, Instant::now()));
        }
    }

    /// Tasks that ran.
    fn ran(&self) -> usize {
        self.books().runs.values().map(Vec::len).sum()
    }

    /// Tasks that were run again although the worker that had run them was well.
    pub fn rerun(&self) -> usize {
        self.reruns().len()
    }

    /// Which, and when they ran.
    fn reruns(&self) -> Vec<String> {
        let books = self.books();
        let mut found = Vec::new();
        for ((job, index), runs) in &books.runs {
            for pair in runs.windows(2) {
                let [(life, first), (other, second)] = pair else { continue };
                // Also where the one that was hurt had it first, and is heard after the other.
                let excuses = |life| books.hurt.get(life).is_some_and(|hurt| hurt <= second);
                if !excuses(life) && !excuses(other) {
                    let (first, second) = (self.seconds(*first), self.seconds(*second));
                    found.push(format!(
                        "task {job}/{index} at {first:.3} s in life {life}, at {second:.3} s in life {other}"
                    ));
                }
            }
        }
        found
    }

    /// The time of the report: seconds since the ledger was opened.
    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.opened).as_secs_f64()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no holder panics")
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = self.books().runs.values().map(|runs| runs.len() - 1).sum::<usize>();
        let after_faults = again - self.rerun();
        writeln!(f, "tasks run: {}, again after their worker's fault: {after_faults}", self.ran())?;
        writeln!(f, "tasks run again though their worker was well: {}", self.rerun())?;
        self.reruns().iter().take(SHOWN).try_for_each(|rerun| writeln!(f, "  {rerun}"))
    }
}
