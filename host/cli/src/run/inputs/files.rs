//! `--files`: one task a file. Finds what a pattern or a list names, and reads it file by file; one
//! that cannot be read is a task that has failed, and holds up no other.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read as _},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use super::{
    chunk::{CHUNK_INPUTS, ChunkBuilder, INPUT_BYTES_MAX, Origins, Piece, Unread, length_of},
    glob::{self, Found},
    source::BYTE_ORDER_MARK,
    stream::Sink,
};
use crate::exit::usage;

/// The files that these patterns name, in the order of the patterns; one that several name is there
/// once, where the first has it.
pub fn find_all(patterns: &[OsString]) -> anyhow::Result<Found> {
    let [pattern] = patterns else {
        let (mut all, mut seen) = (Found::default(), HashSet::new());
        if patterns.iter().filter(|pattern| *pattern == "-").count() > 1 {
            return Err(usage("--files - is given twice, but standard input is only one list"));
        }
        for pattern in patterns {
            let found = find(pattern)?;
            all.files.extend(found.files.into_iter().filter(|path| seen.insert(path.clone())));
            all.unlisted.extend(found.unlisted);
        }
        return Ok(all);
    };
    find(pattern)
}

/// The files that `pattern` names, sorted by their paths; `-` reads a list from stdin, whose order
/// stays.
fn find(pattern: &OsStr) -> anyhow::Result<Found> {
    if pattern == "-" {
        return listed();
    }
    let path = Path::new(pattern);
    let shown = path.display();
    match path.symlink_metadata() {
        Ok(_) if path.is_dir() => {
            return Err(usage(format!("{shown} is a folder; name its files: '{shown}/**'")));
        }
        Ok(_) => return Ok(Found { files: vec![path.to_owned()], unlisted: Vec::new() }),
        Err(_) => {}
    }
    let found = glob::find(pattern)?;
    if !found.files.is_empty() {
        return Ok(found);
    }
    Err(usage(match found.unlisted.first() {
        None => format!("no file matches the pattern {pattern:?}"),
        Some(folder) => format!(
            "no file matches the pattern {pattern:?}; {} cannot be listed: {}",
            folder.path.display(),
            folder.error
        ),
    }))
}

fn listed() -> anyhow::Result<Found> {
    let mut list = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut list)
        .map_err(|error| usage(format!("failed to read paths from stdin: {error}")))?;
    Ok(Found { files: paths(&list), unlisted: Vec::new() })
}

/// The paths of a list: one a line, or each with a NUL behind it, as `find -print0` writes them. No
/// path has a NUL, so that one tells which it is.
fn paths(list: &[u8]) -> Vec<PathBuf> {
    let list = list.strip_prefix(BYTE_ORDER_MARK).unwrap_or(list);
    let end = if list.contains(&0) { 0 } else { b'\n' };
    let names = list.split(|byte| *byte == end).filter(|name| !name.is_empty());
    names.map(|name| OsString::from_vec(name.to_vec()).into()).collect()
}

/// Reads files into `out`, as far as they can be read, until the last.
pub fn read(paths: impl IntoIterator<Item = PathBuf>, out: &Sink) {
    let mut files = Files::default();
    for path in paths {
        if !files.add(path).into_iter().all(|piece| out.send(Ok(piece))) {
            return;
        }
    }
    files.finish().map(|piece| out.send(Ok(piece)));
}

/// Files as they are read: those before each other that can be, and those that cannot.
#[derive(Default)]
pub struct Files {
    chunk: ChunkBuilder,
    names: Vec<PathBuf>,
    unread: Vec<Unread>,
}

impl Files {
    /// Reads the next one; gives what is complete.
    pub fn add(&mut self, path: PathBuf) -> Vec<Piece> {
        let mut complete = Vec::new();
        match self.read(&path) {
            Ok(length) => {
                complete.extend(self.unread());
                self.chunk.push(length);
                self.names.push(path);
                if self.chunk.is_full() {
                    complete.extend(self.chunk());
                }
            }
            Err(why) => {
                self.chunk.drop_open();
                complete.extend(self.chunk());
                self.unread.push(Unread { path, why });
                if self.unread.len() >= CHUNK_INPUTS {
                    complete.extend(self.unread());
                }
            }
        }
        complete
    }

    /// What is left.
    pub fn finish(&mut self) -> Option<Piece> {
        self.chunk().or_else(|| self.unread())
    }

    fn chunk(&mut self) -> Option<Piece> {
        let names = std::mem::take(&mut self.names);
        let chunk = std::mem::take(&mut self.chunk);
        (!chunk.is_empty()).then(|| Piece::Inputs(chunk.finish(Origins::Files(names))))
    }

    fn unread(&mut self) -> Option<Piece> {
        let unread = std::mem::take(&mut self.unread);
        (!unread.is_empty()).then_some(Piece::Unread(unread))
    }

    /// Reads a file behind those before; gives its length.
    fn read(&mut self, path: &Path) -> Result<u32, String> {
        let limit = INPUT_BYTES_MAX as u64 + 1;
        let read = fs::File::open(path).and_then(|file| {
            // Without it a large file is moved to a larger place again and again.
            let length = file.metadata().map_or(0, |meta| meta.len().min(limit));
            self.chunk.payload.reserve(usize::try_from(length).unwrap_or(0));
            file.take(limit).read_to_end(&mut self.chunk.payload)
        });
        let shown = path.display();
        let length = read.map_err(|error| format!("failed to read {shown}: {error}"))?;
        length_of(length).map_err(|error| format!("{shown} {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn read_all(paths: Vec<PathBuf>) -> Vec<Piece> {
        let mut files = Files::default();
        let mut pieces: Vec<Piece> = paths.into_iter().flat_map(|path| files.add(path)).collect();
        pieces.extend(files.finish());
        pieces
    }

    #[test]
    fn a_pattern_that_no_file_fits_is_an_error_that_shows_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("a")).expect("made");
        for pattern in ["a/*.py", "nowhere/*.txt", "a", "nothing"] {
            let pattern = dir.path().join(pattern);
            let error = find(pattern.as_os_str()).expect_err("fits none");
            assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage);
            assert!(error.to_string().contains(pattern.to_str().expect("UTF-8")), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_no_pattern() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in [&b"a[1].txt"[..], b"b*", b"c\xff{"] {
            let path = dir.path().join(OsStr::from_bytes(name));
            fs::write(&path, "x").expect("written");
            assert_eq!(find(path.as_os_str()).expect("found").files, [path]);
        }
    }

    #[test]
    fn of_several_patterns_each_file_is_there_once_in_their_order() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        let pattern = |name: &str| dir.path().join(name).into_os_string();
        let found = find_all(&["[bc]", "*"].map(pattern)).expect("found");
        assert_eq!(found.files, ["b", "c", "a"].map(|name| dir.path().join(name)));
        assert!(find_all(&["b", "nothing"].map(pattern)).is_err());
    }

    #[test]
    fn a_list_has_a_path_a_line_or_one_before_each_nul() {
        let names = |list: &[u8]| {
            let names = paths(list).into_iter().map(|path| path.into_os_string().into_vec());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(b"a\n\nb c\n\xff"), [&b"a"[..], b"b c", b"\xff"]);
        assert_eq!(names(b"two\nlines\0b\0"), [&b"two\nlines"[..], b"b"]);
        assert_eq!(names(b"one\n.txt\0"), [&b"one\n.txt"[..]]);
        assert_eq!(names(b"\xef\xbb\xbfone\n"), [&b"one"[..]]);
        assert!(names(b"").is_empty());
    }

    #[test]
    fn what_cannot_be_read_stands_between_what_can() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("one"), "1").expect("written");
        fs::write(path("three"), "333").expect("written");
        fs::create_dir(path("folder")).expect("made");
        let pieces =
            read_all(["one", "three", "gone", "folder", "one"].map(path).into_iter().collect());
        let [Piece::Inputs(two), Piece::Unread(unread), Piece::Inputs(one)] = &pieces[..] else {
            panic!("{pieces:?}")
        };
        assert_eq!(&two.payload[..], b"1333");
        assert_eq!(two.origins, Origins::Files(vec![path("one"), path("three")]));
        assert_eq!(&one.payload[..], b"1");
        let whys: Vec<_> = unread.iter().map(|unread| &unread.why).collect();
        assert!(whys[0].contains("gone: No such file"), "{whys:?}");
        assert!(whys[1].contains("folder: Is a directory"), "{whys:?}");
    }
}
