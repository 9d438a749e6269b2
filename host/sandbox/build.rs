//! Names this build of the sandbox by what it is built of. Agents, runners and compilers of one
//! name speak the same language, and make the same code of a module: what one build has kept must
//! not be taken by another for its own.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// What decides how a module is made ready and what processes say to each other, from this crate's
/// folder: the sources of both, the interface they link, and the versions of all dependencies.
const SOURCES: [&str; 4] = ["src", "../proto/src", "../../guest-sdk/wit", "../../Cargo.lock"];

fn main() -> io::Result<()> {
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let mut name = Name::default();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        name.take(&folder, Path::new(source))?;
    }
    println!("cargo::rustc-env=WASMGRID_SANDBOX_BUILD={:032x}", name.0);
    Ok(())
}

/// FNV-1a of 128 bits: it tells builds apart, and needs to withstand nobody.
struct Name(u128);

impl Default for Name {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Name {
    /// Takes a file, or all files of a folder in the order of their names.
    fn take(&mut self, folder: &Path, path: &Path) -> io::Result<()> {
        let place = folder.join(path);
        if !place.is_dir() {
            self.add(path.as_os_str().as_encoded_bytes());
            self.add(&fs::read(place)?);
            return Ok(());
        }
        let mut entries: Vec<_> = fs::read_dir(place)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        entries.iter().try_for_each(|entry| self.take(folder, &path.join(entry.file_name())))
    }

    fn add(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u128::from(*byte))
                .wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}
