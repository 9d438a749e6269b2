//! What the parts log, on stderr.

use std::{env, fmt};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::format::{Writer, debug_fn},
};

use crate::{
    args::{Command, Format, Talk},
    escape::Outside,
    exit::usage,
    print,
};

/// Has tracing directives, such as `debug` or `wasmgrid_server=trace,warn`.
pub const VARIABLE: &str = "WASMGRID_LOG";

/// Starts logging: warnings, or more for commands that serve and with `-v`.
///
/// # Errors
/// A usage error where `WASMGRID_LOG` makes no sense.
pub fn start(command: &Command, talk: Talk) -> anyhow::Result<()> {
    let serves = command.serves();
    let filter = match env::var(VARIABLE) {
        Ok(directives) => EnvFilter::try_new(&directives)
            .map_err(|error| usage(format!("invalid {VARIABLE}={directives:?}: {error}")))?,
        Err(_) => EnvFilter::new(level(serves.is_some(), talk)),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What cannot be written is no reason to write.
        .log_internal_errors(false);
    if serves.is_some_and(|log| log.format == Format::Json) {
        print::messages_in_json();
        logs.json()
            .flatten_event(true)
            // What is logged on the way of a request has its route, tenant and trace.
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(|| print::JsonLog)
            .init();
    } else {
        logs.fmt_fields(debug_fn(field).delimited(" "))
            .with_writer(|| print::Log)
            .with_ansi(print::messages_in_colour())
            .with_target(talk.verbose > 0)
            .init();
    }
    Ok(())
}

/// Writes a field on one line: what parts log may have text from peers and guests in it.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = Outside::new(with_plain_quotes(format!("{value:?}"))).line();
    match field.name() {
        "message" => writer.write_str(&value),
        name => write!(writer, "{name}={value}"),
    }
}

/// The quotes within a quoted text as they are: it may have a command that is to be pasted.
fn with_plain_quotes(debug: String) -> String {
    let is_text = debug.len() > 1 && debug.starts_with('"') && debug.ends_with('"');
    if is_text && debug.contains('\\') { debug.replace("\\\"", "\"") } else { debug }
}

const fn level(serves: bool, talk: Talk) -> &'static str {
    match (serves, talk.verbose) {
        _ if talk.quiet => "error",
        (false, 0) => "warn",
        (true, 0) | (false, 1) => "info",
        (true, 1) | (false, 2) => "debug",
        _ => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_in_a_log_line_can_be_pasted() {
        let said = |value: &str| with_plain_quotes(format!("{value:?}"));
        let command = r#"run `printf "a b" 'c'`"#;
        assert_eq!(said(command), format!("\"{command}\""));
        assert_eq!(said("a\u{1b}[2J\n"), r#""a\u{1b}[2J\n""#);
        let other = with_plain_quotes(format!("{:?}", ["a"]));
        assert_eq!(other, r#"["a"]"#);
    }
}
