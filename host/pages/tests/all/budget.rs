//! The first load of the largest page, compressed.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use wasmgrid_pages::assets;

use crate::{html::all, samples};

/// GATEWAY's number: HTML, styles and scripts together.
const FIRST_LOAD: usize = 40 << 10;

/// All live parts of a page at once, which is what a page costs that is kept open.
const PARTS: usize = 8 << 10;

fn compressed(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory").len()
}

#[test]
fn the_first_load_of_the_largest_page_is_under_40_kib() {
    let files: Vec<_> = assets().map(|(_, file)| (file.name, compressed(file.bytes))).collect();
    let beside: usize = files.iter().map(|(_, size)| size).sum();
    let pages = all().into_iter().map(|(name, html)| (compressed(html.as_bytes()), name));
    let (largest, name) = pages.max().expect("there are pages");
    println!("{name}: {largest} bytes, beside it {beside}: {files:?}");
    assert!(largest + beside < FIRST_LOAD, "{name}: {largest} + {beside}, {files:?}");
}

#[test]
fn a_page_that_is_kept_open_costs_little() {
    for (name, shell, page) in samples::pages() {
        let parts = page.live_parts().iter().filter_map(|part| page.part(&shell, part.id));
        let sizes: usize = parts.map(|part| compressed(part.as_bytes())).sum();
        println!("{name}: {sizes} bytes of parts");
        assert!(sizes < PARTS, "{name}: {sizes}");
    }
}
