//! Damage in the WAL, found before `SQLite` looks at it. For `SQLite` the WAL ends at the first
//! frame whose checksum is wrong, as it must after a crash in the middle of a commit; but a frame
//! that rots later hides every commit behind it in the same way, and those were acknowledged.
//!
//! The two differ in what comes behind the bad frame. Each commit is synced before the next is
//! written. So a crash leaves a bad frame in the last commit only: where two commits end in a chain
//! of frames that begins with it, the first of them was whole once. What does not go on with that
//! chain was written before it, and is what a longer commit left that was torn by an earlier crash.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::StoreError;

/// Bytes of the WAL's header and of each frame's; the format is at sqlite.org/fileformat2.html.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The header's first word; its last bit says in which order the checksums take bytes.
const MAGIC: u32 = 0x377f_0682;

/// Refuses a WAL with damage before its last commit; one that is not there is fine.
pub fn check(store: &Path) -> Result<(), StoreError> {
    let mut name = store.as_os_str().to_owned();
    name.push("-wal");
    let path = PathBuf::from(name);
    let io = |error: std::io::Error| StoreError::Io {
        doing: "reading the store's WAL",
        source: error.into(),
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    let damaged = |what: &str, place: String| StoreError::Damaged { what: what.into(), place };
    let scan = match Scan::new(file) {
        Ok(Some(scan)) => scan,
        Ok(None) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(damaged("the header is not as it was written", path.display().to_string()));
        }
        Err(error) => return Err(io(error)),
    };
    match scan.damaged_frame().map_err(io)? {
        None => Ok(()),
        Some(frame) => Err(damaged(
            "acknowledged commits follow a damaged one",
            format!("{}, frame {frame}", path.display()),
        )),
    }
}

/// A walk over the frames.
struct Scan {
    file: std::io::BufReader<File>,
    big_endian: bool,
    salt: [u8; 8],
    page: usize,
    /// The checksum of the header.
    sum: (u32, u32),
}

impl Scan {
    /// Reads the header; `None` where the WAL has nothing.
    fn new(file: File) -> std::io::Result<Option<Self>> {
        let mut file = std::io::BufReader::with_capacity(1 << 20, file);
        let mut header = [0; HEADER];
        if !fill(&mut file, &mut header)? {
            return Ok(None);
        }
        let magic = word(&header, 0);
        let big_endian = magic & 1 == 1;
        let page = word(&header, 8) as usize;
        let sum = (word(&header, 24), word(&header, 28));
        let computed = checksum(big_endian, (0, 0), header.get(..24).unwrap_or_default());
        if magic & !1 != MAGIC || !page.is_power_of_two() || page > 1 << 16 || sum != computed {
            // Behind a header that is all zeros nothing was ever synced.
            let empty = header.iter().all(|byte| *byte == 0);
            return if empty { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(header.get(16..24).unwrap_or(&[0; 8]));
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Some(Self { file, big_endian, salt, page, sum }))
    }

    /// The first bad frame, from 1, where it is no torn tail.
    fn damaged_frame(mut self) -> std::io::Result<Option<u64>> {
        let mut frame = vec![0; FRAME_HEADER + self.page];
        let (mut bad, mut commits) = (None, 0);
        // What the next frame builds on: of a bad one either the sum that it says or the one that
        // it has is right, unless more than one place in it has rotted.
        let (mut before, mut or_before) = (self.sum, None);
        for number in 1_u64.. {
            if !fill(&mut self.file, &mut frame)? {
                return Ok(None);
            }
            let (header, page) = frame.split_at(FRAME_HEADER);
            let said = (word(header, 16), word(header, 20));
            let sum_behind = |sum| {
                let sum = checksum(self.big_endian, sum, header.get(..8).unwrap_or_default());
                checksum(self.big_endian, sum, page)
            };
            let is_ours = header.get(8..16) == Some(&self.salt[..]);
            let sum = sum_behind(before);
            let follows = is_ours && (sum == said || or_before.map(sum_behind) == Some(said));
            (before, or_before) = (said, (!follows).then_some(sum));
            if !follows {
                bad.get_or_insert(number);
                // What stands here may be left from a commit that was torn before this one.
                commits = 0;
            }
            // Frames of the same WAL end a commit where they have the file's size.
            if bad.is_some() && is_ours && word(header, 4) != 0 {
                commits += 1;
                if commits > 1 && follows {
                    return Ok(bad);
                }
            }
        }
        Ok(None)
    }
}

/// Fills `buffer`; false where the file ends before.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

/// The WAL's checksum over whole pairs of words.
fn checksum(big_endian: bool, (mut one, mut two): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let read = |four: [u8; 4]| {
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    for pair in bytes.chunks_exact(8) {
        let Some((first, rest)) = pair.split_first_chunk::<4>() else { continue };
        let Some(second) = rest.first_chunk::<4>() else { continue };
        one = one.wrapping_add(read(*first)).wrapping_add(two);
        two = two.wrapping_add(read(*second)).wrapping_add(one);
    }
    (one, two)
}
