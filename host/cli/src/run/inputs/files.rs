//! `--files`: one task a file. Finds what a pattern means and reads it file by file.

use std::{
    fs,
    io::{self, BufRead as _, Read as _},
    path::{Path, PathBuf},
};

use globset::GlobBuilder;
use walkdir::WalkDir;

use super::{Chunk, ChunkBuilder, INPUT_BYTES_MAX, Origins, Sink};
use crate::exit::usage;

/// The files that `pattern` names, sorted by their paths; `-` reads paths from stdin.
pub fn find(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    if pattern == "-" {
        return listed();
    }
    let path = Path::new(pattern);
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if path.is_dir() {
        return Err(usage(format!("{pattern} is a folder; name its files: '{pattern}/**'")));
    }
    let files = walk(pattern)?;
    if files.is_empty() {
        return Err(usage(format!("no file fits the pattern {pattern:?}")));
    }
    Ok(files)
}

fn listed() -> anyhow::Result<Vec<PathBuf>> {
    let lines = io::stdin().lock().lines();
    let paths = lines.filter(|line| !line.as_ref().is_ok_and(String::is_empty));
    paths
        .map(|line| line.map(PathBuf::from))
        .collect::<io::Result<_>>()
        .map_err(|error| usage(format!("failed to read paths from stdin: {error}")))
}

fn walk(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| usage(format!("{pattern:?} is no pattern: {}", error.kind())))?
        .compile_matcher();
    let root = root(pattern);
    // A pattern without a folder means the files here, whose paths must not begin with "./".
    let from_here = root.as_os_str().is_empty();
    let start = if from_here { Path::new(".") } else { &root };
    let mut files = Vec::new();
    for entry in WalkDir::new(start) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 => return Ok(Vec::new()),
            Err(error) => return Err(usage(format!("failed to look for files: {error}"))),
        };
        let path = entry.path();
        let path = if from_here { path.strip_prefix(".").unwrap_or(path) } else { path };
        if glob.is_match(path) && path.is_file() {
            files.push(path.to_owned());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The folders of a pattern before its first special character: where to look.
fn root(pattern: &str) -> PathBuf {
    let special = |part: &str| part.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let mut root = PathBuf::new();
    for part in Path::new(pattern).components() {
        if part.as_os_str().to_str().is_none_or(special) {
            break;
        }
        root.push(part);
    }
    root
}

/// Reads files into `out`, until the last or the first error.
pub fn read(paths: Vec<PathBuf>, out: &Sink) {
    let mut paths = paths.into_iter().peekable();
    while paths.peek().is_some() {
        let chunk = chunk(&mut paths);
        let failed = chunk.is_err();
        if !out.send(chunk) || failed {
            return;
        }
    }
}

fn chunk(paths: &mut impl Iterator<Item = PathBuf>) -> anyhow::Result<Chunk> {
    let mut chunk = ChunkBuilder::default();
    let mut names = Vec::new();
    while !chunk.is_full() {
        let Some(path) = paths.next() else { break };
        let limit = INPUT_BYTES_MAX as u64 + 1;
        let read = fs::File::open(&path).and_then(|file| {
            // Without it a large file is moved to a larger place again and again.
            let length = file.metadata().map_or(0, |meta| meta.len().min(limit));
            chunk.payload.reserve(usize::try_from(length).unwrap_or(0));
            file.take(limit).read_to_end(&mut chunk.payload)
        });
        let length =
            read.map_err(|error| usage(format!("failed to read {}: {error}", path.display())))?;
        chunk.push(length).map_err(|error| usage(format!("{} {error}", path.display())))?;
        names.push(path);
    }
    Ok(chunk.finish(Origins::Files(names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["a/1.txt", "a/2.txt", "a/b/3.txt", "a/b/4.rs", "c.txt"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("made");
            fs::write(&path, path.display().to_string()).expect("written");
        }
        dir
    }

    fn found(dir: &Path, pattern: &str) -> Vec<String> {
        let pattern = dir.join(pattern);
        let files = find(pattern.to_str().expect("UTF-8")).expect("found");
        let name = |file: PathBuf| {
            file.strip_prefix(dir).expect("inside").to_str().expect("UTF-8").to_owned()
        };
        files.into_iter().map(name).collect()
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_go_deeper() {
        let dir = tree();
        assert_eq!(found(dir.path(), "a/*.txt"), ["a/1.txt", "a/2.txt"]);
        assert_eq!(found(dir.path(), "**/*.txt"), ["a/1.txt", "a/2.txt", "a/b/3.txt", "c.txt"]);
        assert_eq!(found(dir.path(), "a/b/{3.txt,4.rs}"), ["a/b/3.txt", "a/b/4.rs"]);
        assert_eq!(found(dir.path(), "a/1.txt"), ["a/1.txt"]);
    }

    #[test]
    fn a_pattern_that_no_file_fits_is_an_error_that_shows_it() {
        let dir = tree();
        for pattern in ["a/*.py", "nowhere/*.txt", "a"] {
            let pattern = dir.path().join(pattern);
            let error = find(pattern.to_str().expect("UTF-8")).expect_err("fits none");
            assert!(error.to_string().contains(pattern.to_str().expect("UTF-8")), "{error}");
        }
        assert!(find("a[").is_err());
    }

    #[test]
    fn a_chunk_has_each_file_with_its_bytes() {
        let dir = tree();
        let paths = vec![dir.path().join("c.txt"), dir.path().join("a/1.txt")];
        let chunk = chunk(&mut paths.clone().into_iter()).expect("read");
        let text: String = paths.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(&chunk.payload[..], text.as_bytes());
        assert_eq!(chunk.origins, Origins::Files(paths));
    }
}
