//! The files beside the pages: styles, scripts and the icon. Each is in the binary, and its path has a
//! hash of its content, so that it may be kept forever. Nothing else is ever asked for.

use std::sync::LazyLock;

/// A file that pages name.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// What it is called.
    pub name: &'static str,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// Where assets are: a path is `/assets/HASH/NAME`.
pub const ASSETS: &str = "/assets/";

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const STYLE_NAME: &str = "style.css";
const SCRIPT_NAME: &str = "wasmgrid.js";
const HTMX_NAME: &str = "htmx.min.js";
const SSE_NAME: &str = "sse.min.js";
const ICON_NAME: &str = "icon.svg";

const ALL: &[Asset] = &[
    Asset { name: STYLE_NAME, content_type: CSS, bytes: include_bytes!("../assets/style.css") },
    Asset {
        name: SCRIPT_NAME,
        content_type: SCRIPT,
        bytes: include_bytes!("../assets/wasmgrid.js"),
    },
    Asset { name: HTMX_NAME, content_type: SCRIPT, bytes: include_bytes!("../vendor/htmx.min.js") },
    Asset { name: SSE_NAME, content_type: SCRIPT, bytes: include_bytes!("../vendor/sse.min.js") },
    Asset {
        name: ICON_NAME,
        content_type: "image/svg+xml",
        bytes: include_bytes!("../assets/icon.svg"),
    },
];

/// The path of each, in the order of [`ALL`].
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let path = |asset: &Asset| {
        let hash = blake3::hash(asset.bytes).to_hex();
        format!("{ASSETS}{}/{}", hash.get(..16).unwrap_or_default(), asset.name)
    };
    ALL.iter().map(path).collect()
});

/// All files, each with its path.
pub fn assets() -> impl Iterator<Item = (&'static str, Asset)> {
    PATHS.iter().map(String::as_str).zip(ALL.iter().copied())
}

/// The file at a path; `None` if there is none, or if it is of another release.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    assets().find(|(at, _)| *at == path).map(|(_, asset)| asset)
}

/// The paths that the pages' head names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files;

impl Files {
    pub(crate) fn style(self) -> &'static str {
        path(STYLE_NAME)
    }

    pub(crate) fn script(self) -> &'static str {
        path(SCRIPT_NAME)
    }

    pub(crate) fn htmx(self) -> &'static str {
        path(HTMX_NAME)
    }

    pub(crate) fn sse(self) -> &'static str {
        path(SSE_NAME)
    }

    pub(crate) fn icon(self) -> &'static str {
        path(ICON_NAME)
    }
}

fn path(name: &str) -> &'static str {
    assets().find(|(_, asset)| asset.name == name).map_or(ASSETS, |(path, _)| path)
}
