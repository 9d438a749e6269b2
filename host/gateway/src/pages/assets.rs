//! The files that pages name, compressed once.

use std::{collections::BTreeMap, io::Write as _, sync::LazyLock};

use axum::{
    extract::OriginalUri,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use wasmgrid_pages::assets;

/// The hash of its content is in its path.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Each file compressed, by its path.
static COMPRESSED: LazyLock<BTreeMap<&str, Bytes>> = LazyLock::new(|| {
    let compressed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).ok()?;
        encoder.finish().ok()
    };
    let all = assets().filter_map(|(path, asset)| Some((path, compressed(asset.bytes)?.into())));
    all.collect()
});

/// One file.
pub async fn asset(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let Some(asset) = wasmgrid_pages::asset(uri.path()) else {
        return super::answer::nothing().into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let takes_gzip = accepted.is_some_and(|all| all.split(',').any(is_gzip));
    let compressed = COMPRESSED.get(uri.path()).filter(|_| takes_gzip);
    let kind = HeaderValue::from_static(asset.content_type);
    let vary = HeaderValue::from_static("accept-encoding");
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOREVER), (header::VARY, vary)];
    match compressed {
        Some(bytes) => {
            let gzip = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            (headers, gzip, bytes.clone()).into_response()
        }
        None => (headers, asset.bytes).into_response(),
    }
}

/// True for `gzip`, unless its weight is nothing.
fn is_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let weight = weight.trim().strip_prefix("q=");
    let refused = weight.is_some_and(|weight| weight.parse::<f32>().is_ok_and(|q| q <= 0.0));
    name.trim().eq_ignore_ascii_case("gzip") && !refused
}
