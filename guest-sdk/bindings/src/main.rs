//! Prints the bindings of the guest SDK, made from its WIT, as `guest-sdk/src/bindings.rs` has them.

use std::{error::Error, io::Write as _, path::Path};

use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

/// What stands above them.
const HEADING: &str = "\
// Made from guest-sdk/wit, and not to be changed by hand. In the root of the repository, this makes it
// again: cargo run --manifest-path guest-sdk/bindings/Cargo.toml > guest-sdk/src/bindings.rs

";

fn main() -> Result<(), Box<dyn Error>> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let bindings = make(&wit)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(HEADING.as_bytes())?;
    stdout.write_all(&bindings)?;
    Ok(())
}

/// The bindings of the world that tasks are of.
fn make(wit: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("task"))?;
    let options = Opts {
        format: true,
        generate_all: true,
        pub_export_macro: true,
        default_bindings_module: Some("wasmgrid::__private::bindings".into()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, bindings) = files.iter().next().ok_or("wit-bindgen made no file")?;
    Ok(bindings.to_vec())
}
