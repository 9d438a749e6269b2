//! `--grid`: the product of lists of values, each point of it a JSON object. Not for one list of numbers
//! (see [`range`](super::range)).

use std::str::FromStr;

use serde::de::IgnoredAny;

use super::{
    chunk::{ChunkBuilder, Origins, Piece, TooLong},
    range::{Range, RangeError},
    stream::Sink,
};

/// One name and its values.
#[derive(Clone, Debug)]
pub struct Axis {
    /// As the user wrote it.
    pub text: String,
    name: String,
    /// `"name":`.
    key: String,
    values: Vec<Values>,
    count: u64,
}

/// Values that were written as one.
#[derive(Clone, Debug)]
enum Values {
    /// One, as JSON.
    One(String),
    Range(Range),
}

/// Lists whose product is the inputs; the last one's values change fastest.
#[derive(Clone, Debug)]
pub struct Product {
    axes: Vec<Axis>,
    count: u64,
}

/// A text that is no axis, or axes without a product.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// There is no name or no `=`.
    #[error("invalid axis {found:?}: expected NAME=VALUES, such as rate=0.1,0.2 or seed=0..10")]
    Shape {
        /// What was there.
        found: String,
    },
    /// Nothing stands before or behind a comma.
    #[error("{name}= has an empty value; write \"\" for an empty text")]
    Empty {
        /// The axis.
        name: String,
    },
    /// A value begins as JSON and does not go on so.
    #[error("{name}= has a value that is not valid JSON: {why}")]
    Json {
        /// The axis.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Two numbers with dots between, which are no range.
    #[error("{name}=: {why}")]
    Range {
        /// The axis.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Two axes have one name.
    #[error("--grid {name}= is given twice; give its values together: {name}=A,B")]
    Twice {
        /// The name.
        name: String,
    },
    /// There are too many points.
    #[error("the grid has more points than 64 bits can count")]
    Count,
}

impl FromStr for Axis {
    type Err = ProductError;

    /// Reads `NAME=VALUES`: values with commas between, each a range, JSON, or a text.
    fn from_str(text: &str) -> Result<Self, ProductError> {
        let shape = || ProductError::Shape { found: text.into() };
        let (name, values) = text.split_once('=').ok_or_else(shape)?;
        if name.is_empty() || values.is_empty() {
            return Err(shape());
        }
        let (values, mut count) = (parse(name, values)?, 0_u64);
        for part in &values {
            count = count.checked_add(part.count()).ok_or(ProductError::Count)?;
        }
        let key = format!("{}:", text_as_json(name));
        Ok(Self { text: text.into(), name: name.into(), key, values, count })
    }
}

impl Values {
    const fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Range(range) => range.count(),
        }
    }
}

fn parse(name: &str, mut rest: &str) -> Result<Vec<Values>, ProductError> {
    let mut values = Vec::new();
    loop {
        let (value, end) = if rest.starts_with(['"', '[', '{']) {
            let json = |why: String| ProductError::Json { name: name.into(), why };
            let mut found = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
            found.next().transpose().map_err(|error| json(error.to_string()))?;
            let end = found.byte_offset();
            (Values::One(rest.get(..end).unwrap_or_default().into()), end)
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (plain(name, rest.get(..end).unwrap_or_default())?, end)
        };
        values.push(value);
        rest = rest.get(end..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(values);
        }
        rest = rest.strip_prefix(',').ok_or_else(|| ProductError::Json {
            name: name.into(),
            why: format!("{rest:?} stands behind it, and a comma should"),
        })?;
    }
}

/// A value that is a range, a number, a word of JSON, or else a text.
fn plain(name: &str, text: &str) -> Result<Values, ProductError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ProductError::Empty { name: name.into() });
    }
    if text.contains("..") && text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) {
        let range = text.parse().map(Values::Range);
        return range.map_err(|error: RangeError| ProductError::Range {
            name: name.into(),
            why: error.to_string(),
        });
    }
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
    Ok(Values::One(if is_json { text.into() } else { text_as_json(text) }))
}

fn text_as_json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Axis {
    /// Appends the value at this place.
    fn push(&self, mut at: u64, json: &mut String) {
        for values in &self.values {
            let count = values.count();
            if at < count {
                match values {
                    Values::One(value) => json.push_str(value),
                    Values::Range(range) => json.push_str(&range.at(at).to_string()),
                }
                return;
            }
            at -= count;
        }
    }
}

impl Product {
    /// The product of these.
    ///
    /// # Errors
    /// Where two have one name, or it has too many points.
    pub fn new(axes: &[Axis]) -> Result<Self, ProductError> {
        let mut count = 1_u64;
        for (at, axis) in axes.iter().enumerate() {
            if axes.iter().take(at).any(|other| other.name == axis.name) {
                return Err(ProductError::Twice { name: axis.name.clone() });
            }
            count = count.checked_mul(axis.count).ok_or(ProductError::Count)?;
        }
        Ok(Self { axes: axes.to_vec(), count })
    }

    /// How many points it has.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Makes the points, from this one on.
    pub fn send(&self, from: u64, out: &Sink) {
        let mut chunk = ChunkBuilder::default();
        for at in from..self.count {
            // A point is as long as its flags, which are shorter than an input may be.
            if chunk.add(self.point(at).as_bytes()) == Err(TooLong) {
                return;
            }
            if chunk.is_full() || at + 1 == self.count {
                let full = std::mem::take(&mut chunk).finish(Origins::Made);
                if !out.send(Ok(Piece::Inputs(full))) {
                    return;
                }
            }
        }
    }

    fn point(&self, at: u64) -> String {
        let (mut json, mut block) = (String::from("{"), self.count);
        for (n, axis) in self.axes.iter().enumerate() {
            // Of a product with points, every axis has a value.
            block = block.checked_div(axis.count).unwrap_or(1);
            json.push_str(if n == 0 { "" } else { "," });
            json.push_str(&axis.key);
            axis.push((at / block.max(1)) % axis.count.max(1), &mut json);
        }
        json.push('}');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(axes: &[&str]) -> Result<Product, ProductError> {
        let axes: Result<Vec<Axis>, _> = axes.iter().map(|axis| axis.parse()).collect();
        Product::new(&axes?)
    }

    fn points(axes: &[&str]) -> Vec<String> {
        let product = product(axes).expect("a product");
        (0..product.count()).map(|at| product.point(at)).collect()
    }

    #[test]
    fn the_last_axis_changes_fastest() {
        let expected = [
            r#"{"rate":0.1,"seed":0}"#,
            r#"{"rate":0.1,"seed":1}"#,
            r#"{"rate":1e-3,"seed":0}"#,
            r#"{"rate":1e-3,"seed":1}"#,
        ];
        assert_eq!(points(&["rate=0.1,1e-3", "seed=0..2"]), expected);
        assert_eq!(points(&["a=1", "b=2", "c=3,4"]).len(), 2);
        assert!(points(&["a=1,2", "b=0..0"]).is_empty());
    }

    #[test]
    fn values_are_ranges_json_or_text() {
        for (axis, values) in [
            ("v=0..=4/2,10", &["0", "2", "4", "10"][..]),
            ("v=2..0/-1", &["2", "1"]),
            ("v=true,null,-1.5", &["true", "null", "-1.5"]),
            ("v=a, b c", &["\"a\"", "\"b c\""]),
            ("v=\"a,b\",\"7\"", &["\"a,b\"", "\"7\""]),
            ("v=[1,2],{\"k\":3}", &["[1,2]", "{\"k\":3}"]),
            ("v=../x,007,x=y", &["\"../x\"", "\"007\"", "\"x=y\""]),
        ] {
            let expected: Vec<_> =
                values.iter().map(|value| format!("{{\"v\":{value}}}")).collect();
            assert_eq!(points(&[axis]), expected, "{axis}");
        }
    }

    #[test]
    fn what_is_no_grid_is_refused_with_its_name() {
        for (axes, said) in [
            (&["rate"][..], "NAME=VALUES"),
            (&["=1"], "NAME=VALUES"),
            (&["rate="], "NAME=VALUES"),
            (&["rate=1,,2"], "rate= has an empty value"),
            (&["rate=1,"], "rate= has an empty value"),
            (&["rate=\"a"], "rate= has a value that is not valid JSON"),
            (&["rate=[1]2"], "a comma should"),
            (&["rate=0..x"], "rate=:"),
            (&["rate=0..1/0"], "rate=: a range with step 0"),
            (&["rate=1", "rate=2"], "rate= is given twice"),
            (&["a=0..10000000000", "b=0..10000000000"], "64 bits"),
        ] {
            let error = product(axes).expect_err(said).to_string();
            assert!(error.contains(said), "{axes:?}: {error}");
        }
    }
}
