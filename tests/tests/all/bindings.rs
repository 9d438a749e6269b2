//! The bindings of the SDK, which are kept, are those that are made from its WIT.

use std::{fs, path::Path, process::Command};

use wasmgrid_tests::repository;

#[test]
fn the_bindings_that_are_kept_are_those_of_the_wit() {
    let made = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked"])
        .current_dir(repository().join("guest-sdk/bindings"))
        // That of this cargo: rustup's would look for a toolchain in each dependency's folder.
        .env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("cargo starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let kept = repository().join("guest-sdk/src/bindings.rs");
    let found = fs::read(&kept).expect("it is there");
    assert!(found == made.stdout, "{} has in its first lines what makes it again", kept.display());
}
