//! The end of each command's help: its prose, broken where the terminal ends, and its examples.

use std::fmt::Write as _;

use clap::Command;

use super::examples::of;

/// As wide as help gets, also on a wider terminal: what is in it as it is, such as JSON, fits that.
pub const WIDTH: usize = 80;

/// The same command with an end to its help, and to that of each command below it.
pub fn complete(command: Command) -> Command {
    below(before_the_task(command).max_term_width(WIDTH), "")
}

/// What a job has and a function has not: a function has no end, and is named by itself.
const NOT_OF_A_FUNCTION: [&str; 6] =
    ["again", "changed", "deadline", "dry_run", "max_failures", "name"];

/// Has the name stand before the task where a function is deployed, and hides what functions have not.
fn before_the_task(command: Command) -> Command {
    command.mut_subcommand("function", |function| {
        function.mut_subcommand("deploy", |deploy| {
            let deploy = deploy.mut_arg("task", |task| task.index(2));
            let deploy = deploy.mut_arg("function", |name| name.index(1).required(true));
            let hide = |deploy: Command, id| deploy.mut_arg(id, |arg| arg.hide(true));
            NOT_OF_A_FUNCTION.into_iter().fold(deploy, hide)
        })
    })
}

fn below(command: Command, path: &str) -> Command {
    let command = command.mut_subcommands(|one| {
        let path = join(path, one.get_name());
        below(one, &path)
    });
    let (short, long) = (short(&command), prose(&command));
    let examples = examples(path);
    let end = |prose: Option<String>| {
        let parts = [prose, examples.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    };
    let (short, long) = (end(short), end(long));
    command.after_help(short).after_long_help(long)
}

/// A command's words behind `wasmgrid`.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }
}

/// What a command explains behind its flags.
pub fn prose(command: &Command) -> Option<String> {
    let long = command.get_after_long_help().map(|text| flowing(&text.to_string()));
    long.or_else(|| short(command))
}

fn short(command: &Command) -> Option<String> {
    command.get_after_help().map(|text| flowing(&text.to_string()))
}

/// A command's examples; `None` where it has none.
pub fn examples(path: &str) -> Option<String> {
    let examples = of(path);
    if examples.is_empty() {
        return None;
    }
    let mut text = String::from("Examples:");
    for (purpose, line) in examples {
        // Writing to a string cannot fail.
        if !purpose.is_empty() {
            let _ = write!(text, "\n  {purpose}:");
        }
        if !line.is_empty() {
            let _ = write!(text, "\n      {line}");
        }
    }
    Some(text)
}

/// A text whose paragraphs are a line each, which is then broken where the terminal ends. Lines that
/// begin with a blank stay as they are.
fn flowing(text: &str) -> String {
    let mut flowing = String::new();
    let mut in_paragraph = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !flowing.is_empty() {
            flowing.push(if in_paragraph && is_prose { ' ' } else { '\n' });
        }
        flowing.push_str(line);
        in_paragraph = is_prose;
    }
    flowing
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::{Cli, command, parse_from};

    /// Each command with its words, the commands that only have others below them too.
    fn all() -> Vec<(String, Command)> {
        fn below(command: &Command, path: &str, all: &mut Vec<(String, Command)>) {
            all.push((path.to_owned(), command.clone()));
            for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
                below(one, &join(path, one.get_name()), all);
            }
        }
        let mut all = Vec::new();
        below(&command(), "", &mut all);
        all
    }

    #[test]
    fn every_commands_help_fits_80_columns() {
        for (path, command) in all() {
            let mut command = command.term_width(WIDTH);
            let (short, long) = (command.render_help(), command.render_long_help());
            for line in [short, long].iter().flat_map(|help| {
                help.to_string().lines().map(ToOwned::to_owned).collect::<Vec<_>>()
            }) {
                let wide = line.chars().count();
                assert!(wide <= WIDTH, "`wasmgrid {path} --help`: {wide} columns: {line}");
            }
        }
    }

    #[test]
    fn what_is_shown_as_it_is_fits_80_columns() {
        fn check(command: &Command, path: &str) {
            let texts = [prose(command), examples(path)];
            let lines = texts.iter().flatten().flat_map(|text| text.lines());
            for line in lines.filter(|line| line.starts_with(' ')) {
                let wide = line.chars().count();
                assert!(
                    wide <= WIDTH,
                    "`wasmgrid {path} --help` shows a line of {wide} columns as it is, since it \
                     begins with a blank: {line}"
                );
            }
            for one in command.get_subcommands() {
                check(one, &join(path, one.get_name()));
            }
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn every_command_has_examples_that_parse() {
        for (path, mut command) in all() {
            let examples = of(&path);
            let lines = examples.iter().map(|(_, line)| *line).filter(|line| !line.is_empty());
            let lines: Vec<&str> = lines.collect();
            assert!(
                !lines.is_empty(),
                "`wasmgrid {path}` has no example: add one to host/cli/src/args/examples.rs"
            );
            let help = command.render_long_help().to_string();
            for line in lines {
                assert!(help.contains(line), "`wasmgrid {path} --help` does not show: {line}");
                let ours = ours(line);
                assert!(
                    !ours.is_empty(),
                    "no wasmgrid in the example of `wasmgrid {path}`: {line}"
                );
                for words in ours {
                    let parsed = parse_from(&words);
                    assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("is none"));
                }
            }
            let shows_itself = examples.iter().any(|(_, line)| {
                ours(line).iter().any(|words| words.join(" ").contains(path.as_str()))
            });
            assert!(shows_itself, "no example of `wasmgrid {path}` shows it");
        }
    }

    #[test]
    fn no_example_is_of_a_command_that_is_not_there() {
        let known: Vec<String> = all().into_iter().map(|(path, _)| path).collect();
        for (path, _) in crate::args::examples::ALL {
            assert!(known.iter().any(|one| one == path), "there is no `wasmgrid {path}`");
        }
    }

    #[test]
    fn paragraphs_flow_and_what_is_indented_stays() {
        let text = "One\ntwo.\n\nThree:\n  {\"a\":1,\n   \"b\":2}\nFour\nfive.";
        let expected = "One two.\n\nThree:\n  {\"a\":1,\n   \"b\":2}\nFour five.";
        assert_eq!(flowing(text), expected);
    }

    /// The command lines of ours in a shell's line, each in its words.
    fn ours(line: &str) -> Vec<Vec<String>> {
        let words = words(line);
        let commands = words.split(|word| ["|", "&&"].contains(&word.as_str())).map(|all| {
            let begin = all.iter().position(|word| word == "wasmgrid");
            let ours = begin.map_or(&[][..], |begin| &all[begin..]);
            ours.iter().take_while(|word| *word != ">" && *word != "<").cloned().collect()
        });
        commands.filter(|words: &Vec<String>| !words.is_empty()).collect()
    }

    /// As a shell reads them, as far as examples need it.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.replace("<(", " ").replace(')', " ").chars().chain([' ']) {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => {
                    if !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                }
                c => word.push(c),
            }
        }
        words
    }
}
