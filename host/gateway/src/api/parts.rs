//! JSON whose large strings are written as they are taken, so that no second copy of them is made at
//! once.

use std::{collections::VecDeque, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use wasmgrid_views::Data;

use crate::{answer::PIECE, problem::Problem};

/// Bytes of a string that are written at once. A multiple of 3, so that base64 has no padding within.
const STRING_PIECE: usize = 12 << 10;

/// What is to be written.
#[derive(Default)]
pub struct Parts(VecDeque<Part>);

enum Part {
    /// As it is.
    Plain(Bytes),
    /// The rest of a JSON string, of UTF-8.
    Text(Bytes),
    /// The rest of a JSON string of base64.
    Base64(Bytes),
    /// Bytes as JSON.
    Data(Bytes),
    /// The rest of a JSON list of bytes, and the length of each.
    List { bytes: Bytes, lengths: std::vec::IntoIter<u32>, is_first: bool },
}

impl Parts {
    /// True if everything was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has bytes written as they are.
    pub fn plain(&mut self, bytes: impl Into<Bytes>) {
        self.0.push_back(Part::Plain(bytes.into()));
    }

    /// Writes until there is a piece, or everything was written.
    ///
    /// # Errors
    /// If it is no JSON, which does not happen.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        while out.len() < PIECE
            && let Some(part) = self.0.pop_front()
        {
            self.write_part(part, out)?;
        }
        Ok(())
    }

    /// Its pieces.
    pub fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut parts| async move {
            let mut piece = Vec::new();
            let written = parts.write(&mut piece);
            let written = written.map_err(|problem| io::Error::other(problem.detail().to_owned()));
            (written.is_err() || !piece.is_empty()).then(|| (written.map(|()| piece.into()), parts))
        })
    }

    fn write_part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem> {
        match part {
            Part::Plain(mut rest) => {
                out.extend_from_slice(&rest.split_to(PIECE.min(rest.len())));
                if !rest.is_empty() {
                    self.0.push_front(Part::Plain(rest));
                }
            }
            Part::Data(bytes) => {
                let is_text = std::str::from_utf8(&bytes).is_ok();
                out.extend_from_slice(if is_text { b"\"" } else { b"{\"base64\":\"" });
                self.0.push_front(if is_text { Part::Text(bytes) } else { Part::Base64(bytes) });
            }
            Part::Text(mut rest) => {
                let text = beginning(&rest);
                let written = serde_json::to_string(text).map_err(Problem::away)?;
                let inside = written.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                out.extend_from_slice(inside.unwrap_or_default().as_bytes());
                let length = text.len();
                drop(rest.split_to(length));
                if rest.is_empty() {
                    out.push(b'"');
                } else {
                    self.0.push_front(Part::Text(rest));
                }
            }
            Part::Base64(mut rest) => {
                let piece = rest.split_to(STRING_PIECE.min(rest.len()));
                out.extend_from_slice(STANDARD.encode(piece).as_bytes());
                if rest.is_empty() {
                    out.extend_from_slice(b"\"}");
                } else {
                    self.0.push_front(Part::Base64(rest));
                }
            }
            Part::List { mut bytes, mut lengths, is_first } => {
                let Some(length) = lengths.next() else { return Ok(()) };
                if !is_first {
                    out.push(b',');
                }
                let one = bytes.split_to((length as usize).min(bytes.len()));
                self.0.push_front(Part::List { bytes, lengths, is_first: false });
                self.0.push_front(Part::Data(one));
            }
        }
        Ok(())
    }
}

/// The first characters of a text.
fn beginning(text: &[u8]) -> &str {
    let piece = text.get(..STRING_PIECE.min(text.len())).unwrap_or_default();
    match std::str::from_utf8(piece) {
        Ok(text) => text,
        // The last character is cut.
        Err(error) => {
            let whole = piece.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
    }
}

/// An object whose bytes are filled in later: each has a mark in its place.
pub struct Marked {
    mark: String,
    parts: Vec<Part>,
}

impl Marked {
    /// None has any yet.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn new() -> Result<Self, Problem> {
        let mut random = [0; 16];
        // Nobody else knows it: no text of a task has it.
        getrandom::fill(&mut random).map_err(Problem::away)?;
        Ok(Self { mark: format!("{:032x}", u128::from_le_bytes(random)), parts: Vec::new() })
    }

    /// Stands for bytes. They are filled in in the order of these calls.
    pub fn data(&mut self, bytes: Bytes) -> Data<'static> {
        self.stand_for(Part::Data(bytes))
    }

    /// Stands for the elements of a list.
    pub fn list(&mut self, bytes: Bytes, lengths: Vec<u32>) -> Vec<Data<'static>> {
        let lengths = lengths.into_iter();
        vec![self.stand_for(Part::List { bytes, lengths, is_first: true })]
    }

    fn stand_for(&mut self, part: Part) -> Data<'static> {
        self.parts.push(part);
        Data::Text(self.mark.clone().into())
    }

    /// The object with what the marks stand for.
    ///
    /// # Errors
    /// If it is no JSON, which does not happen.
    pub fn filled(self, object: &impl Serialize, out: &mut Parts) -> Result<(), Problem> {
        let json = serde_json::to_string(object).map_err(Problem::away)?;
        let mark = format!("\"{}\"", self.mark);
        let mut parts = self.parts.into_iter();
        for between in json.split(&mark) {
            out.plain(between.to_owned());
            out.0.extend(parts.next());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Serialize)]
    struct Object {
        first: Data<'static>,
        list: Vec<Data<'static>>,
        last: Data<'static>,
    }

    /// The JSON, and how long its longest piece is.
    fn written(first: Bytes, list: &[Bytes], last: Bytes) -> (Value, usize) {
        let mut marked = Marked::new().expect("random numbers");
        let lengths = list.iter().map(|one| one.len() as u32).collect();
        let object = Object {
            first: marked.data(first),
            list: marked.list(list.concat().into(), lengths),
            last: marked.data(last),
        };
        let mut parts = Parts::default();
        marked.filled(&object, &mut parts).expect("JSON");
        let (mut all, mut longest) = (Vec::new(), 0);
        loop {
            let mut piece = Vec::new();
            parts.write(&mut piece).expect("JSON");
            if piece.is_empty() {
                break;
            }
            longest = longest.max(piece.len());
            all.extend(piece);
        }
        (serde_json::from_slice(&all).expect("JSON"), longest)
    }

    #[test]
    fn bytes_of_any_kind_are_the_same_json_in_pieces() {
        let cut: Bytes = "a€\"\n".repeat(100_000).into();
        let binary = Bytes::from((0..100_001_u32).map(|n| n as u8).collect::<Vec<_>>());
        let list = [Bytes::new(), binary.clone(), "x".into()];
        let (found, longest) = written(cut.clone(), &list, binary.clone());
        let data = |bytes: &Bytes| serde_json::to_value(Data::from(&bytes[..])).expect("JSON");
        let expected = json!({
            "first": data(&cut),
            "list": list.iter().map(data).collect::<Vec<_>>(),
            "last": data(&binary),
        });
        assert!(found == expected);
        assert!(longest < 3 * PIECE, "{longest}");
    }

    #[test]
    fn nothing_is_an_empty_string_and_no_elements() {
        let (found, _) = written(Bytes::new(), &[], Bytes::new());
        assert_eq!(found, json!({ "first": "", "list": [], "last": "" }));
    }
}
