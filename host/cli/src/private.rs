//! Folders and files that are for their user alone: others on the machine may not even hold a lock of
//! them. Folders that are there already stay as their user made them.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// Makes a folder and those above it, where they are not there.
///
/// # Errors
/// As the file system says.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Opens a file to hold its lock; makes it where it is not there.
///
/// # Errors
/// As the file system says.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).mode(FILE).open(path)?;
    owned(file)
}

/// Writes a file, in place of what it had.
///
/// # Errors
/// As the file system says.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = File::options().create(true).write(true).truncate(true).mode(FILE).open(path)?;
    owned(file)?.write_all(text.as_bytes())
}

/// A file that was there before may have been for others too.
fn owned(file: File) -> io::Result<File> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(FILE))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_for_its_user_alone_also_where_it_was_not_before() {
        let outer = tempfile::tempdir().expect("a folder");
        let made = outer.path().join("a/b");
        folder(&made).expect("made");
        let (lock, text) = (made.join("lock"), made.join("text"));
        fs::write(&lock, "").expect("written");
        fs::set_permissions(&lock, Permissions::from_mode(0o644)).expect("its own");
        lock_file(&lock).expect("opened");
        write(&text, "long").expect("written");
        write(&text, "new").expect("written again");
        let modes = [outer.path().join("a"), made, lock, text.clone()].map(|path| mode(&path));
        assert_eq!(modes, [FOLDER, FOLDER, FILE, FILE]);
        assert_eq!(fs::read_to_string(text).expect("its own"), "new");
    }
}
