//! A writer of whole results: between two writes a file ends behind one, and not within it. Not for
//! how a result looks.

use std::{
    fs::File,
    io::{self, Write},
    sync::MutexGuard,
};

use crate::print;

/// Bytes that are gathered before they are written; what is longer is written as it comes.
const GATHERED_BYTES: usize = 1 << 16;

/// See the module.
pub struct Whole {
    to: Box<dyn Write>,
    /// What it is, where it is a file that can be made shorter.
    file: Option<File>,
    /// Bytes that it has, and those of them that are whole results.
    written: u64,
    good: u64,
    gathered: Vec<u8>,
    /// How much of that is whole results.
    whole: usize,
    /// Where a part of a result is written: the process is not ended politely before the rest is.
    unbroken: Option<MutexGuard<'static, ()>>,
}

impl Whole {
    /// Writes there; a `file` is cut back to its whole results where a write fails.
    pub fn new(to: Box<dyn Write>, file: Option<File>) -> Self {
        let (written, good, gathered, whole) = (0, 0, Vec::new(), 0);
        Self { to, file, written, good, gathered, whole, unbroken: None }
    }

    /// The file has so many bytes, which stay.
    pub const fn begin_at(&mut self, bytes: u64) {
        (self.written, self.good) = (bytes, bytes);
    }

    /// Bytes that were handed on.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Has what was written on the disk, where it is a file.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// What was written last is whole.
    ///
    /// # Errors
    /// As the system says.
    pub fn end_result(&mut self) -> io::Result<()> {
        self.whole = self.gathered.len();
        if self.unbroken.is_some() {
            self.spill()?;
            self.good = self.written;
            self.unbroken = None;
        }
        Ok(())
    }

    /// Writes what is gathered of whole results.
    fn spill(&mut self) -> io::Result<()> {
        if self.whole > 0 {
            let held = self.hold();
            let bytes = self.gathered.get(..self.whole).unwrap_or_default();
            let put = self.to.write_all(bytes);
            self.put(put, self.whole)?;
            self.gathered.drain(..self.whole);
            (self.whole, self.good) = (0, self.written);
            drop(held);
        }
        Ok(())
    }

    /// Writes a part of a result that is too long to be gathered.
    fn write_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(held) = self.hold() {
            self.unbroken = Some(held);
        }
        let gathered = std::mem::take(&mut self.gathered);
        let put = self.to.write_all(&gathered).and_then(|()| self.to.write_all(bytes));
        self.put(put, gathered.len() + bytes.len())
    }

    /// Has the process wait before it ends, where that would leave a file within a result.
    fn hold(&self) -> Option<MutexGuard<'static, ()>> {
        (self.file.is_some() && self.unbroken.is_none()).then(print::unbroken)
    }

    /// Counts what was written; where it was not, takes away what there may be of it.
    fn put(&mut self, put: io::Result<()>, count: usize) -> io::Result<()> {
        match (put, &self.file) {
            (Ok(()), _) => self.written += count as u64,
            (Err(error), None) => return Err(error),
            (Err(error), Some(file)) => {
                // The failure is told in any case.
                let _ = file.set_len(self.good);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            self.spill()?;
        }
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            self.write_part(bytes)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    /// Hands on all whole results.
    fn flush(&mut self) -> io::Result<()> {
        self.spill()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, and no more: a full disk.
    struct Small(File, usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.write(bytes.get(..self.1.min(bytes.len())).unwrap_or_default())?;
            self.1 -= count;
            if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_ends_behind_a_whole_result_also_where_the_disk_is_full() {
        let line = |length: usize| "x".repeat(length - 1) + "\n";
        for lengths in [&[10, 20, 40_000, 30_000][..], &[200_000, 10, 70_000, 70_000], &[65_536, 1]]
        {
            let total: usize = lengths.iter().sum();
            for room in [0, 5, 30, 60_000, 200_005, total] {
                let file = tempfile::tempfile().expect("made");
                let small = Small(file.try_clone().expect("the same"), room);
                let mut whole = Whole::new(Box::new(small), Some(file.try_clone().expect("same")));
                let mut write = || -> io::Result<()> {
                    for length in lengths {
                        for part in line(*length).as_bytes().chunks(50_000) {
                            whole.write_all(part)?;
                        }
                        whole.end_result()?;
                    }
                    whole.flush()
                };
                let written = write();
                drop(whole);
                let has = file.metadata().expect("there").len();
                let mut sum = 0;
                let ends: Vec<u64> = lengths
                    .iter()
                    .map(|length| {
                        sum += *length as u64;
                        sum
                    })
                    .collect();
                assert!(has == 0 || ends.contains(&has), "{lengths:?} {room}: {has}");
                assert_eq!(written.is_ok(), room >= total);
                assert!(written.is_err() || has == total as u64);
            }
        }
    }
}
