//! The task as an ordinary command: a line in, a line out. This is what `cargo run` does, and
//! what the component's `wasi:cli/run` does; a grid calls `wasmgrid:task/guest` instead.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use crate::host::Task;
use crate::{Context, Error, results, value};

/// Maps standard input to standard output. Fails if a line does, after all of them. A reader of the
/// output that closes it has had enough, which is no failure.
pub fn main<T: Task>() -> ExitCode {
    let given = if T::TAKES_VALUE { value::given() } else { Ok(Vec::new()) };
    let given = match given {
        Ok(given) => given,
        Err(wrong) => {
            tell(&mut io::stderr(), format_args!("error: {wrong}"));
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    let done = results::take().and_then(|results| {
        let results = io::BufWriter::new(results);
        map_lines::<T>(&given, io::stdin().lock(), results, io::stderr(), &mut failed)
    });
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tell(&mut io::stderr(), format_args!("error: standard input or output: {error}"));
            ExitCode::FAILURE
        }
        _ if failed > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Runs the task once a line; the n-th line is task n, from 0. Counts the lines that failed.
fn map_lines<T: Task>(
    given: &[u8],
    mut input: impl BufRead,
    mut output: impl Write,
    mut messages: impl Write,
    failed: &mut u64,
) -> io::Result<()> {
    for index in 0.. {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        strip_line_end(&mut line);
        if let Err(error) = map_line::<T>(given, index, &mut line, &mut output, &mut messages)? {
            *failed += 1;
            let kind = if error.is_retry() { "retry" } else { "rejected" };
            tell(&mut messages, format_args!("line {}: {kind}: {error}", index + 1));
        }
    }
    output.flush()
}

/// What cannot be told is left out: it is no reason to lose results.
fn tell(messages: &mut impl Write, line: fmt::Arguments<'_>) {
    let _ = writeln!(messages, "{line}");
}

/// Writes the records and the result of one task, or nothing if it failed: a grid commits a
/// task's records together with its result.
fn map_line<T: Task>(
    given: &[u8],
    index: u64,
    line: &mut Vec<u8>,
    output: &mut impl Write,
    messages: &mut impl Write,
) -> io::Result<Result<(), Error>> {
    let mut fake = Context::fake().with_index(index);
    let result = T::run(line, given, fake.context());
    for (level, message) in fake.logged() {
        tell(messages, format_args!("line {}: {level}: {message}", index + 1));
    }
    let result = match result {
        Ok(result) => result,
        Err(error) => return Ok(Err(error)),
    };
    for record in fake.emitted().iter().chain([&result]) {
        output.write_all(record)?;
        output.write_all(b"\n")?;
    }
    Ok(Ok(()))
}

/// Removes `\n` or `\r\n`.
fn strip_line_end(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    struct Half;

    impl Task for Half {
        const TAKES_CONTEXT: bool = true;
        const TAKES_VALUE: bool = true;

        fn run(input: &mut Vec<u8>, value: &[u8], context: &mut Context) -> Result<Vec<u8>, Error> {
            let number: u64 = std::str::from_utf8(input)?.parse()?;
            context.emit_bytes(format!("task {}", context.index()));
            if number % 2 == 1 {
                context.log(Level::Warn, "odd");
                return Err(Error::rejected("cannot halve"));
            }
            let unit = std::str::from_utf8(value)?;
            Ok(format!("{}{unit}", number / 2).into_bytes())
        }
    }

    fn run(input: &str) -> (u64, String, String) {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let mut failed = 0;
        map_lines::<Half>(b"m", input.as_bytes(), &mut output, &mut messages, &mut failed).unwrap();
        (failed, String::from_utf8(output).unwrap(), String::from_utf8(messages).unwrap())
    }

    #[test]
    fn each_line_is_a_task_and_its_records_come_before_its_result() {
        assert_eq!(run("8\r\n6").1, "task 0\n4m\ntask 1\n3m\n");
    }

    #[test]
    fn a_failed_line_is_named_and_leaves_no_output() {
        let (failed, output, messages) = run("2\n3\n4\n");
        assert_eq!((failed, output.as_str()), (1, "task 0\n1m\ntask 2\n2m\n"));
        assert_eq!(messages, "line 2: warn: odd\nline 2: rejected: cannot halve\n");
    }

    #[test]
    fn messages_that_cannot_be_written_are_left_out() {
        let (mut output, mut failed) = (Vec::new(), 0);
        let full = &mut [][..];
        map_lines::<Half>(b"m", &b"2\n3\n4\n"[..], &mut output, full, &mut failed).unwrap();
        assert_eq!((failed, output.as_slice()), (1, &b"task 0\n1m\ntask 2\n2m\n"[..]));
    }

    #[test]
    fn no_input_is_no_task() {
        assert_eq!(run("").0, 0);
    }
}
