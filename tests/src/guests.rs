//! Guest programs, built once a test run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The root of the checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is inside the repository")
}

/// A guest of `tests/guests`, as a `.wasm`.
pub fn guest(name: &str) -> String {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| build(&repository().join("tests/guests")));
    artifact(built, name)
}

/// A Rust example of `examples`, as a `.wasm`.
pub fn example(name: &str) -> String {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| build(&repository().join("examples")));
    artifact(built, name)
}

fn artifact(built: &Path, name: &str) -> String {
    let path = built.join(format!("{name}.wasm"));
    assert!(path.is_file(), "no guest was built as {}", path.display());
    path.into_os_string().into_string().expect("the checkout has a plain path")
}

/// Builds a workspace of guests and says where its artifacts are.
fn build(workspace: &Path) -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-wasip2", "--quiet"])
        .current_dir(workspace)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .expect("cargo starts");
    assert!(status.success(), "the guests of {} do not build", workspace.display());
    workspace.join("target/wasm32-wasip2/release")
}
