//! What workers ran, by their own logs: what was run twice although nothing befell the worker that
//! ran it first was run again for nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// One life of a worker's process, until a fault befell it.
pub type Life = u64;

/// See the module.
#[derive(Default)]
pub struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    /// By job and task: who ran it, and when that was heard.
    runs: BTreeMap<(u64, u64), Vec<(Life, Instant)>>,
    /// When a fault befell a life.
    hurt: BTreeMap<Life, Instant>,
    lives: Life,
}

impl Ledger {
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
        let books = self.books();
        let again = |pair: &&[(Life, Instant)]| match pair {
            [(life, _), (_, at)] => books.hurt.get(life).is_none_or(|hurt| hurt > at),
            _ => false,
        };
        books.runs.values().map(|runs| runs.windows(2).filter(again).count()).sum()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder panics")
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = self.books().runs.values().map(|runs| runs.len() - 1).sum::<usize>();
        let after_faults = again - self.rerun();
        writeln!(f, "tasks run: {}, again after their worker's fault: {after_faults}", self.ran())?;
        writeln!(f, "tasks run again though their worker was well: {}", self.rerun())
    }
}
