//! The colours: text can be read on what is below it, in both schemes (WCAG 2 AA).

use std::collections::BTreeMap;

use wasmgrid_pages::assets;

type Colours = BTreeMap<String, [u8; 3]>;

fn style() -> String {
    let file = assets().find(|(_, file)| file.name == "style.css").expect("a style").1;
    String::from_utf8(file.bytes.into()).expect("text")
}

/// The colour variables of the first `:root` in a text.
fn colours(of: &str) -> Colours {
    let (_, rest) = of.split_once(":root {").expect("variables");
    let (block, _) = rest.split_once('}').expect("they end");
    let mut colours = Colours::new();
    for part in block.split(';') {
        let part = part.rsplit("*/").next().unwrap_or_default();
        if let Some((name, value)) = part.trim().split_once(": #") {
            let double = |digits: &str| digits.chars().flat_map(|c| [c, c]).collect::<String>();
            let value = if value.len() == 3 { double(value) } else { value.into() };
            let number = u32::from_str_radix(&value, 16).expect("a colour");
            let [_, red, green, blue] = number.to_be_bytes();
            colours.insert(name.trim_start_matches("--").into(), [red, green, blue]);
        }
    }
    colours
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.040_45 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_has_a_contrast_of_4_5_and_areas_of_3_in_both_schemes() {
    let style = style();
    let light = colours(&style);
    let (_, dark) = style.split_once("prefers-color-scheme: dark").expect("a dark scheme");
    let dark = colours(dark);
    assert!(light.keys().eq(dark.keys()), "both schemes have the same colours");
    let text = ["ink", "muted", "accent", "ok", "bad", "warn", "rest"];
    let soft = [("bad", "bad-soft"), ("warn", "warn-soft"), ("ink", "bad-soft")];
    let below = ["ground", "surface", "sunk"].map(|below| text.map(|text| (text, below)));
    let pairs = below.into_iter().flatten().chain(soft).chain([("on-accent", "accent")]);
    let pairs: Vec<_> = pairs.collect();
    let areas = ["fill-run", "fill-ok", "bad", "warn", "other", "edge"];
    for (scheme, colours) in [("light", &light), ("dark", &dark)] {
        for (text, below) in &pairs {
            let found = contrast(colours[*text], colours[*below]);
            assert!(found >= 4.5, "{scheme}: {text} on {below} has {found:.2}");
        }
        for area in areas {
            let found = contrast(colours[area], colours["surface"]);
            assert!(found >= 3.0, "{scheme}: {area} on surface has {found:.2}");
        }
    }
}

#[test]
fn every_class_that_has_a_meaning_is_in_the_style() {
    let style = style();
    for class in ["is-ok", "is-run", "is-bad", "is-warn", "is-rest", "f-ok", "f-bad", "f-other"] {
        assert!(style.contains(&format!(".{class} {{")), "{class}");
    }
    assert!(style.contains("prefers-reduced-motion") && style.contains(":focus-visible"));
}
