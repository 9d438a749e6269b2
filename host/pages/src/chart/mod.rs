//! Pictures drawn from plain numbers, as SVG with words in HTML beside them. Each says in its
//! `aria-label` what it shows; none needs a colour, a script or a pointer to be understood.

mod bar;
mod line;
mod strip;

pub use self::{
    bar::{Bar, Fill},
    line::{Axis, Line, Spark},
    strip::{Block, Column, Lanes, Strip, StripRow},
};

/// A number in a path: to a tenth, without a trailing zero.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").map_or(text.clone(), str::to_owned);
    if text == "-0" { "0".into() } else { text }
}
