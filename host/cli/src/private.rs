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

/// Writes a file, in place of what it had: whole or not at all, also where the machine goes down.
///
/// # Errors
/// As the file system says.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let permissions = Permissions::from_mode(FILE);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    File::open(folder)?.sync_all()
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
        fs::set_permissions(&text, Permissions::from_mode(0o644)).expect("its own");
        write(&text, "new").expect("written again");
        let linked = outer.path().join("link");
        std::os::unix::fs::symlink(&text, &linked).expect("made");
        write(&linked, "newest").expect("written through the link");
        let modes =
            [outer.path().join("a"), made.clone(), lock, text.clone()].map(|path| mode(&path));
        assert_eq!(modes, [FOLDER, FOLDER, FILE, FILE]);
        assert_eq!(fs::read_to_string(text).expect("its own"), "newest");
        assert_eq!(fs::read_dir(made).expect("its own").count(), 2, "nothing is left beside them");
    }
}
