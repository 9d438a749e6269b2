//! Commands and flags of ours are named by the command line alone: what other crates say reaches
//! people through it, through a gateway or through somebody's own program.

use std::fs;

use walkdir::WalkDir;
use wasmgrid_tests::repository;

/// Flags of other programs, which build what a module should be.
const FLAGS_OF_OTHERS: [&str; 6] = [
    "--target",
    "--gc-sections",
    "--export-all",
    "--locked",
    "--format-version",
    "--filter-platform",
];

/// Our commands, as a text would name them.
const COMMANDS: [&str; 15] = [
    "run", "up", "server", "join", "worker", "submit", "job", "status", "token", "client",
    "tenant", "context", "new", "inspect", "man",
];

/// The string literals of a source, each with its line, without those of its tests.
fn literals(source: &str) -> Vec<(usize, &str)> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let length = |text: Option<usize>| text.unwrap_or(rest.len());
        let is_text = rest.starts_with('"');
        at += if rest.starts_with("//") {
            length(rest.find('\n'))
        } else if is_text {
            let end = length(end_of_text(rest));
            let line = code.get(..at).unwrap_or_default().matches('\n').count() + 1;
            found.extend(rest.get(..end).map(|text| (line, text)));
            end
        } else if let Some(quoted) = ["'\"'", "'\\\"'"].iter().find(|q| rest.starts_with(**q)) {
            quoted.len()
        } else {
            length(rest.chars().next().map(char::len_utf8))
        };
    }
    found
}

/// Where a text that begins here ends.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        ends
    });
    end.map(|(at, _)| at + 1)
}

/// What in a text is a command or a flag of ours.
fn ours(text: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect()
    };
    let commands = text.split("wasmgrid ").skip(1).map(word);
    let commands = commands.filter(|name| COMMANDS.contains(&name.as_str()));
    let starts = text.match_indices("--").filter(|(at, _)| {
        !text
            .get(..*at)
            .is_some_and(|before| before.ends_with(|c: char| c.is_alphanumeric() || c == '-'))
    });
    let flags = starts.filter_map(|(at, _)| text.get(at..)).map(word);
    let flags = flags.filter(|flag| {
        flag.chars().nth(2).is_some_and(|c| c != '-') && !FLAGS_OF_OTHERS.contains(&flag.as_str())
    });
    commands.chain(flags).collect()
}

#[test]
fn only_the_command_line_names_its_commands_and_flags() {
    let host = repository().join("host");
    let (mut texts, mut wrong) = (0, Vec::new());
    for folder in fs::read_dir(&host).expect("the crates").map(|one| one.expect("readable").path())
    {
        // The pages are for people, as the command line is, and show what helps as it is typed.
        if folder.ends_with("cli") || folder.ends_with("pages") {
            continue;
        }
        for entry in WalkDir::new(folder.join("src")) {
            let path = entry.expect("readable").into_path();
            let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
            if is_test || path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let source = fs::read_to_string(&path).expect("a source file");
            for (line, text) in literals(&source) {
                texts += 1;
                let found = ours(text);
                if !found.is_empty() {
                    wrong.push(format!("{}:{line}: {found:?} in {text}", path.display()));
                }
            }
        }
    }
    assert!(texts > 2_000, "{texts} texts are not all");
    assert!(wrong.is_empty(), "let `host/cli/src/words` say it: {wrong:#?}");
}

#[test]
fn commands_and_flags_are_found_in_texts() {
    let source = r#"
        // "wasmgrid job list" in a comment is no text.
        let found = "see `wasmgrid job list`"; let quote = '"';
        let flag = "submit it with a lower --memory \" or \\";
        let others = "build it for `--target wasm32-wasip2`, a wasmgrid task component";
    "#;
    let found: Vec<Vec<String>> =
        literals(source).into_iter().map(|(_, text)| ours(text)).collect();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(found, [words(&["job"]), words(&["--memory"]), words(&[])]);
}
