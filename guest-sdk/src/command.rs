//! The task as an ordinary command. This is what `cargo run` does, and what the component's
//! `wasi:cli/run` does; a grid calls `wasmgrid:task/guest` instead. It does what `wasmgrid run` does
//! with the same standard input: all of it is one input, or with `-` each line is one.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::host::Task;
use crate::{Context, results, value};

/// As `wasmgrid run` has it for a command line that makes no sense.
const USAGE: u8 = 2;

/// As much is read at once.
const READ_BYTES: usize = 64 << 10;

/// How `argument.rs` fails, by serde's words, where more comes behind a value.
const SEVERAL_VALUES: &str = "trailing characters at line";

/// What standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inputs {
    /// One input, whose result is written as it is.
    One,
    /// An input a line, whose result is a line.
    Lines,
}

/// Maps standard input to standard output. Fails if an input does, after all of them. A reader of the
/// output that closes it has had enough, which is no failure.
pub fn main<T: Task>() -> ExitCode {
    let inputs = inputs(std::env::args_os().skip(1), T::TAKES_VALUE).map_err(str::to_owned);
    let given = if T::TAKES_VALUE { value::given() } else { Ok(Vec::new()) };
    let (inputs, given) = match (inputs, given) {
        (Ok(inputs), Ok(given)) => (inputs, given),
        (Err(wrong), _) | (_, Err(wrong)) => {
            tell(&mut io::stderr(), format_args!("error: {wrong}"));
            return ExitCode::from(USAGE);
        }
    };
    let mut failed = 0;
    let done = results::take().and_then(|results| {
        let (stdin, results) = (io::stdin().lock(), io::BufWriter::new(results));
        let (messages, given, failed) = (io::stderr(), given.as_slice(), &mut failed);
        let mut run = Run { output: results, messages, inputs, given, failed };
        match inputs {
            Inputs::Lines => run.map_lines::<T>(stdin),
            // Nobody means to type an input.
            Inputs::One if is_typed(&stdin) => run.map_one::<T>(io::empty()),
            Inputs::One => run.map_one::<T>(stdin),
        }
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

/// What standard input is, by the arguments. What `--with` names is read elsewhere.
fn inputs(
    mut arguments: impl Iterator<Item = OsString>,
    takes_value: bool,
) -> Result<Inputs, &'static str> {
    let mut inputs = Inputs::One;
    while let Some(argument) = arguments.next() {
        let is_given = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"--with=");
        if takes_value && argument == "--with" {
            arguments.next();
        } else if argument == "-" {
            inputs = Inputs::Lines;
        } else if !(takes_value && is_given(&argument)) {
            return Err(
                "a task takes no arguments but `-`, which makes each line of standard input \
                        an input of its own (without it all of that is one), and `--with`, where it \
                        takes a value",
            );
        }
    }
    Ok(inputs)
}

#[cfg(not(target_arch = "wasm32"))]
fn is_typed(stdin: &io::StdinLock<'_>) -> bool {
    io::IsTerminal::is_terminal(stdin)
}

/// A component does not import what would tell.
#[cfg(target_arch = "wasm32")]
fn is_typed(_: &io::StdinLock<'_>) -> bool {
    false
}

/// What cannot be told is left out: it is no reason to lose results.
fn tell(messages: &mut impl Write, line: fmt::Arguments<'_>) {
    let _ = writeln!(messages, "{line}");
}

/// Where results and messages go.
struct Run<'a, O, M> {
    output: O,
    messages: M,
    inputs: Inputs,
    /// The value that all tasks have.
    given: &'a [u8],
    /// Counts the inputs that failed.
    failed: &'a mut u64,
}

impl<O: Write, M: Write> Run<'_, O, M> {
    /// Runs the task once a line; the n-th line is task n, from 0.
    fn map_lines<T: Task>(&mut self, input: impl Read) -> io::Result<()> {
        let mut input = BufReader::with_capacity(READ_BYTES, input);
        for index in 0.. {
            // Whoever waits for the next line may wait for what became of this one.
            if !input.buffer().contains(&b'\n') {
                self.output.flush()?;
            }
            let mut line = Vec::new();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            strip_line_end(&mut line);
            self.map::<T>(index, line)?;
        }
        self.output.flush()
    }

    /// Runs the task once, as task 0.
    fn map_one<T: Task>(&mut self, mut input: impl Read) -> io::Result<()> {
        let mut all = Vec::new();
        input.read_to_end(&mut all)?;
        let has_lines = all.trim_ascii().contains(&b'\n');
        let failure = self.map::<T>(0, all)?;
        if has_lines && failure.is_some_and(|failure| failure.contains(SEVERAL_VALUES)) {
            let hint = "standard input was one input of several lines; with `-` each line is one: \
                        cargo run -- -";
            tell(&mut self.messages, format_args!("help: {hint}"));
        }
        self.output.flush()
    }

    /// Writes the records and the result of one task, unless it failed: then it says how, and leaves
    /// nothing among the results. Gives how it failed, if it did.
    fn map<T: Task>(&mut self, index: u64, mut input: Vec<u8>) -> io::Result<Option<String>> {
        let mut fake = Context::fake().with_index(index);
        let run = || T::run(&mut input, self.given, fake.context());
        // What it panics with the standard library has told.
        let result = catch_unwind(AssertUnwindSafe(run));
        let name = match self.inputs {
            Inputs::One => String::new(),
            Inputs::Lines => format!("line {}: ", index + 1),
        };
        for (level, message) in fake.logged() {
            tell(&mut self.messages, format_args!("{name}{level}: {message}"));
        }
        let (result, failure) = match result {
            Ok(Ok(result)) => (result, None),
            Ok(Err(error)) if error.is_retry() => (Vec::new(), Some(format!("retry: {error}"))),
            Ok(Err(error)) => (Vec::new(), Some(format!("rejected: {error}"))),
            Err(_) => (Vec::new(), Some("trap: the task panicked".into())),
        };
        if failure.is_none() {
            for record in fake.emitted().iter().chain([&result]) {
                self.write(record)?;
            }
        }
        let Some(failure) = failure else { return Ok(None) };
        *self.failed += 1;
        tell(&mut self.messages, format_args!("{name}{failure}"));
        Ok(Some(failure))
    }

    /// Writes a record or a result: a line of its own, if there are several inputs; an empty one is
    /// none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        let lacks_end = bytes.last().is_some_and(|last| *last != b'\n');
        if self.inputs == Inputs::Lines && lacks_end {
            self.output.write_all(b"\n")?;
        }
        Ok(())
    }
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
    use crate::argument::{Argument, Typed as _};
    use crate::{Error, Level};

    struct Half;

    impl Task for Half {
        const TAKES_CONTEXT: bool = true;
        const TAKES_VALUE: bool = true;

        fn run(input: &mut Vec<u8>, value: &[u8], context: &mut Context) -> Result<Vec<u8>, Error> {
            let number = Argument::<u64>::new().decode(input)?;
            context.emit_bytes(format!("task {}", context.index()));
            if number % 2 == 1 {
                context.log(Level::Warn, "odd");
                return Err(Error::rejected("cannot halve"));
            }
            assert_ne!(number, 4, "not four");
            let half = number / 2;
            let unit = std::str::from_utf8(value)?;
            Ok(if half == 0 { Vec::new() } else { format!("{half}{unit}").into_bytes() })
        }
    }

    struct Done {
        failed: u64,
        output: String,
        messages: String,
    }

    fn run(inputs: Inputs, input: &str) -> Done {
        let (mut output, mut messages, mut failed) = (Vec::new(), Vec::new(), 0);
        let (out, said) = (&mut output, &mut messages);
        let (given, failed_now) = (&b"m"[..], &mut failed);
        let mut run = Run { output: out, messages: said, inputs, given, failed: failed_now };
        match inputs {
            Inputs::One => run.map_one::<Half>(input.as_bytes()),
            Inputs::Lines => run.map_lines::<Half>(input.as_bytes()),
        }
        .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { failed, output: text(output), messages: text(messages) }
    }

    #[test]
    fn each_line_is_a_task_and_its_records_come_before_its_result() {
        assert_eq!(run(Inputs::Lines, "8\r\n6").output, "task 0\n4m\ntask 1\n3m\n");
        assert_eq!(
            run(Inputs::Lines, "0\n2\n").output,
            "task 0\ntask 1\n1m\n",
            "nothing is no line"
        );
    }

    #[test]
    fn a_failed_line_is_named_and_leaves_no_output() {
        let done = run(Inputs::Lines, "2\n3\n8\n");
        assert_eq!((done.failed, done.output.as_str()), (1, "task 0\n1m\ntask 2\n4m\n"));
        assert_eq!(done.messages, "line 2: warn: odd\nline 2: rejected: cannot halve\n");
    }

    #[test]
    fn a_panic_fails_its_line_and_no_other() {
        let done = run(Inputs::Lines, "2\n4\n6\n");
        assert_eq!((done.failed, done.output.as_str()), (1, "task 0\n1m\ntask 2\n3m\n"));
        assert_eq!(done.messages, "line 2: trap: the task panicked\n");
    }

    #[test]
    fn without_lines_all_is_one_input_and_its_output_is_as_it_is() {
        let done = run(Inputs::One, "8\n");
        assert_eq!((done.failed, done.output.as_str()), (0, "task 04m"));
        let done = run(Inputs::One, "3\n");
        assert_eq!((done.failed, done.output.as_str()), (1, ""));
    }

    #[test]
    fn several_values_that_were_one_input_get_a_hint() {
        let done = run(Inputs::One, "8\n6\n");
        assert_eq!((done.failed, done.output.as_str()), (1, ""));
        assert!(done.messages.contains("cargo run -- -"), "{}", done.messages);
        let other = run(Inputs::One, "3\n");
        assert!(!other.messages.contains("cargo run"), "{}", other.messages);
    }

    #[test]
    fn messages_that_cannot_be_written_are_left_out() {
        let (mut output, mut failed) = (Vec::new(), 0);
        let full = &mut [][..];
        let (inputs, given, failed) = (Inputs::Lines, &b"m"[..], &mut failed);
        let mut run = Run { output: &mut output, messages: full, inputs, given, failed };
        run.map_lines::<Half>(&b"2\n3\n8\n"[..]).unwrap();
        assert_eq!((*run.failed, output.as_slice()), (1, &b"task 0\n1m\ntask 2\n4m\n"[..]));
    }

    #[test]
    fn a_dash_splits_lines_and_other_arguments_are_refused() {
        let inputs = |words: &[&str], takes_value| {
            super::inputs(words.iter().map(OsString::from), takes_value)
        };
        assert_eq!(inputs(&[], false), Ok(Inputs::One));
        assert_eq!(inputs(&["-"], false), Ok(Inputs::Lines));
        for with in [&["--with", "-"][..], &["--with=1"]] {
            assert_eq!(inputs(with, true), Ok(Inputs::One), "{with:?}");
            assert!(inputs(with, false).is_err(), "{with:?}");
        }
        assert_eq!(inputs(&["--with", "1", "-"], true), Ok(Inputs::Lines));
        assert!(inputs(&["--lines"], true).is_err());
    }

    #[test]
    fn no_lines_are_no_task() {
        assert_eq!(run(Inputs::Lines, "").failed, 0);
    }
}
