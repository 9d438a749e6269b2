//! A plain command that knows nothing of wasmgrid: prints the lines of its standard input that
//! contain a word. Exits like grep: 0 if there was one, 1 if there was none, 2 on misuse.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(word), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: grep WORD < TEXT");
        return ExitCode::from(2);
    };
    match filter(word.as_bytes(), io::stdin().lock(), io::BufWriter::new(io::stdout().lock())) {
        Ok(0) => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grep: {error}");
            ExitCode::from(2)
        }
    }
}

/// Copies the lines that contain `word`; gives their number.
fn filter(word: &[u8], mut input: impl BufRead, mut output: impl Write) -> io::Result<u64> {
    let mut found = 0;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if contains(line.strip_suffix(b"\n").unwrap_or(&line), word) {
            output.write_all(&line)?;
            found += 1;
        }
        line.clear();
    }
    output.flush()?;
    Ok(found)
}

/// Whether `word` is somewhere in `line`. The empty word is in every line.
fn contains(line: &[u8], word: &[u8]) -> bool {
    word.is_empty() || line.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(word: &str, text: &str) -> (u64, String) {
        let mut output = Vec::new();
        let found = filter(word.as_bytes(), text.as_bytes(), &mut output).unwrap();
        (found, String::from_utf8(output).unwrap())
    }

    #[test]
    fn lines_with_the_word_pass_as_they_are() {
        assert_eq!(lines("or", "word\nother\nfor"), (2, "word\nfor".to_owned()));
    }

    #[test]
    fn a_word_that_is_not_there_gives_nothing() {
        assert_eq!(lines("x", "a\nb\n"), (0, String::new()));
    }

    #[test]
    fn a_word_does_not_reach_over_the_line_end() {
        assert_eq!(lines("a\n", "a\n").0, 0);
        assert_eq!(lines("", "a\n\n").0, 2);
    }
}
