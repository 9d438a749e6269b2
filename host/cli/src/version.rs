//! What `--version` says: the release, the commit that it was built of, and the engine's version.

use std::sync::LazyLock;

use wasmgrid_worker::sandbox;

/// The commit, where the build knows it; see `build.rs`.
const COMMIT: Option<&str> = option_env!("GRID_BUILT_OF");

/// The version, as it stands behind the program's name.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let release = env!("CARGO_PKG_VERSION");
        let commit = COMMIT.map(|commit| format!("{commit}, ")).unwrap_or_default();
        format!("{release} ({commit}wasmtime {})", sandbox::ENGINE_VERSION)
    });
    &TEXT
}
