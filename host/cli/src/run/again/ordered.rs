//! Entries in the order of their indices, whatever order they come in. Not for what one has.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write},
};

use serde::Serialize;

/// A file in the making, and what must wait for entries before it.
pub struct Ordered<W> {
    /// Entries whose turn it was.
    pub file: W,
    waiting: Waiting,
    /// How many these are.
    pub written: u64,
}

/// Entries that came before others of lower indices: in a file without a name.
#[derive(Default)]
struct Waiting {
    spool: Option<BufWriter<File>>,
    end: u64,
    /// Where each begins, and how long it is.
    places: BTreeMap<u64, (u64, u64)>,
}

impl<W: Write> Ordered<W> {
    /// A file with what it has.
    pub fn new(file: W) -> Self {
        Self { file, waiting: Waiting::default(), written: 0 }
    }

    /// Adds an entry's line; all of lower indices than `settled` have come, as far as they come.
    ///
    /// # Errors
    /// As the system says.
    pub fn add(&mut self, index: u64, line: &[u8], settled: u64) -> io::Result<()> {
        let is_next = self.waiting.first().is_none_or(|first| index < first);
        if is_next && index < settled {
            self.written += 1;
            return self.file.write_all(line);
        }
        self.waiting.add(index, line)?;
        self.write_before(settled)
    }

    /// Writes those that wait and whose index is below this one, in order.
    ///
    /// # Errors
    /// As the system says.
    pub fn write_before(&mut self, index: u64) -> io::Result<()> {
        self.written += self.waiting.write_before(index, &mut self.file)?;
        Ok(())
    }
}

impl Waiting {
    fn first(&self) -> Option<u64> {
        self.places.first_key_value().map(|(index, _)| *index)
    }

    fn add(&mut self, index: u64, line: &[u8]) -> io::Result<()> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            none => none.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        spool.write_all(line)?;
        let length = line.len() as u64;
        self.places.insert(index, (self.end, length));
        self.end += length;
        Ok(())
    }

    /// Writes those whose index is below this one, in order; gives how many.
    fn write_before(&mut self, index: u64, out: &mut impl Write) -> io::Result<u64> {
        let waiting = self.places.len();
        if self.first().is_none_or(|first| first >= index) {
            return Ok(0);
        }
        let Some(spool) = &mut self.spool else { return Ok(0) };
        spool.flush()?;
        let mut read = BufReader::new(spool.get_ref().try_clone()?);
        let mut at = read.stream_position()?;
        while let Some(place) = self.places.first_entry().filter(|place| *place.key() < index) {
            let (start, length) = place.remove();
            // Most follow each other, and need no other place of the file.
            read.seek_relative(start.cast_signed() - at.cast_signed())?;
            at = start + io::copy(&mut read.by_ref().take(length), out)?;
        }
        let file = spool.get_mut();
        if self.places.is_empty() {
            // Its room is used again.
            file.set_len(0)?;
            self.end = 0;
        }
        file.seek(SeekFrom::Start(self.end))?;
        Ok((waiting - self.places.len()) as u64)
    }
}

/// A value as a line of JSON.
///
/// # Errors
/// Where it cannot be JSON.
pub fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
