//! Console blocks of Markdown files: commands, what they print, and what a comment above a block
//! says of how it is run.

use std::{fmt, fs, path::Path};

/// A block with the comment above it.
pub struct Block {
    /// Its file, and the line in which it begins.
    pub place: String,
    /// Its commands, with what the text says that they print.
    pub steps: Vec<Step>,
    /// How it is run.
    pub how: How,
}

/// A command.
pub struct Step {
    /// The line as a shell is given it, without its comment.
    pub command: String,
    /// What it prints on standard output; nothing is compared if it is empty.
    pub prints: Vec<String>,
}

/// What the comment says, one thing a line:
///
/// ```text
/// <!-- console:
/// cluster
/// in squares
/// before: COMMAND
/// as 7 = $JOB
/// any: 10.0.0.1:7433, 3h
/// exit 1: wasmgrid job results
/// -->
/// ```
///
/// or `<!-- console: not here: REASON -->`.
#[derive(Default)]
pub struct How {
    /// Why no test runs it.
    pub not_here: Option<String>,
    /// Which grid it needs.
    pub grid: Grid,
    /// The folder that it begins in, on the desk.
    pub folder: Option<String>,
    /// Commands that run before it, to make what the text takes for granted.
    pub before: Vec<String>,
    /// Words of commands that stand for others: `$JOB` is the job that was submitted last.
    pub stand_for: Vec<(String, String)>,
    /// Parts of what is printed that differ each time.
    pub any: Vec<String>,
    /// Exit codes other than 0, by how the command begins.
    pub exits: Vec<(i32, String)>,
}

/// Which grid a block needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grid {
    /// None: commands run on this machine.
    #[default]
    None,
    /// The one that all such blocks share.
    Shared,
    /// One that no other block sees.
    Own,
    /// One of its own with three workers, of which one is gone.
    Degraded,
}

/// The blocks of a file.
pub fn blocks(root: &Path, file: &Path) -> Vec<Block> {
    let text = fs::read_to_string(file).expect("readable");
    let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
    of_text(&name, &text)
}

fn of_text(name: &str, text: &str) -> Vec<Block> {
    let (mut blocks, mut above) = (Vec::new(), String::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("<!-- console:") {
            above = comment.to_owned();
            while !above.contains("-->") {
                let (_, more) = lines.next().expect("a comment has an end");
                above = above + "\n" + more.trim();
            }
        } else if line == "```console" {
            let place = format!("{name}:{}", number + 1);
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside: Vec<&str> = inside.take_while(|line| line.trim() != "```").collect();
            let how = How::parse(above.trim_end_matches("-->"))
                .unwrap_or_else(|wrong| panic!("{place}: what does {wrong:?} mean?"));
            blocks.push(Block { steps: steps(&inside, &place), place, how });
            above.clear();
        } else if !line.is_empty() {
            assert!(above.is_empty(), "{name}:{}: a comment for no console block", number + 1);
        }
    }
    blocks
}

fn steps(lines: &[&str], place: &str) -> Vec<Step> {
    let indent = lines.first().map_or(0, |line| line.len() - line.trim_start().len());
    let mut steps: Vec<Step> = Vec::new();
    for line in lines.iter().map(|line| line.get(indent..).unwrap_or_default()) {
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.split(" #").next().unwrap_or_default().trim().to_owned();
            steps.push(Step { command, prints: Vec::new() });
        } else {
            let last = steps.last_mut().unwrap_or_else(|| panic!("{place} begins with no command"));
            last.prints.push(line.to_owned());
        }
    }
    steps
}

impl How {
    /// Reads a comment; what it does not know is the error.
    fn parse(text: &str) -> Result<Self, String> {
        let mut how = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            how.take(line).ok_or_else(|| line.to_owned())?;
        }
        Ok(how)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(": ").unwrap_or((line, ""));
        match word.split(' ').collect::<Vec<_>>().as_slice() {
            ["not", "here"] => self.not_here = Some(rest.to_owned()),
            ["cluster"] => self.grid = Grid::Shared,
            ["own", "cluster"] => self.grid = Grid::Own,
            ["degraded", "cluster"] => self.grid = Grid::Degraded,
            ["in", folder] => self.folder = Some((*folder).to_owned()),
            ["before"] => self.before.push(rest.to_owned()),
            ["any"] => self.any.extend(rest.split(", ").map(ToOwned::to_owned)),
            ["as", shown, "=", meant] => {
                self.stand_for.push(((*shown).to_owned(), (*meant).to_owned()));
            }
            ["exit", code] => self.exits.push((code.parse().ok()?, rest.to_owned())),
            _ => return None,
        }
        Some(())
    }

    /// The exit code that a command has.
    pub fn exit_of(&self, command: &str) -> i32 {
        let mut exits = self.exits.iter();
        exits.find(|(_, begin)| command.starts_with(begin.as_str())).map_or(0, |(code, _)| *code)
    }

    /// A command with what its words stand for.
    pub fn meant(&self, command: &str) -> String {
        let word = |word: &str| {
            let stands = self.stand_for.iter().find(|(shown, _)| shown == word);
            stands.map_or(word, |(_, meant)| meant.as_str()).to_owned()
        };
        command.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// Whether lines are those that the text shows: `...` is any lines, `[..]` any part of one.
    pub fn fits(&self, shown: &[String], printed: &[&str]) -> bool {
        let Some((first, shown_rest)) = shown.split_first() else { return printed.is_empty() };
        if first == "..." {
            return (0..=printed.len())
                .any(|skip| printed.get(skip..).is_some_and(|rest| self.fits(shown_rest, rest)));
        }
        let Some((line, printed_rest)) = printed.split_first() else { return false };
        let mut pattern = first.clone();
        for any in &self.any {
            pattern = pattern.replace(any.as_str(), "[..]");
        }
        line_fits(&pattern, line) && self.fits(shown_rest, printed_rest)
    }
}

fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once("[..]") else { return pattern == line };
    let Some(line) = line.strip_prefix(begin) else { return false };
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    ends.into_iter().any(|at| line.get(at..).is_some_and(|line| line_fits(rest, line)))
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

#[test]
fn a_block_has_its_commands_what_they_print_and_how_it_is_run() {
    let text = "Text.\n\n<!-- console:\ncluster\nas 7 = $JOB\nexit 1: false\n-->\n```console\n\
                $ wasmgrid job show 7   # a job\n[..]7\n\n$ false\n```\n";
    let blocks = of_text("f.md", text);
    let [block] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    assert_eq!((block.place.as_str(), block.how.grid), ("f.md:8", Grid::Shared));
    let commands: Vec<_> = block.steps.iter().map(|step| step.command.as_str()).collect();
    assert_eq!(commands, ["wasmgrid job show 7", "false"]);
    assert_eq!(block.steps[0].prints, ["[..]7", ""]);
    assert_eq!(block.how.meant(commands[0]), "wasmgrid job show $JOB");
    assert_eq!((block.how.exit_of("false"), block.how.exit_of("true")), (1, 0));
    assert!(How::parse("clustre").is_err());
}

#[test]
fn what_is_printed_fits_what_is_shown_or_not() {
    let how = How::parse("any: 3h").expect("known");
    let fits = |shown: &str, printed: &str| {
        let shown: Vec<String> = shown.lines().map(ToOwned::to_owned).collect();
        how.fits(&shown, &printed.lines().collect::<Vec<_>>())
    };
    assert!(fits("a\nb", "a\nb") && fits("a[..]c", "abbc") && fits("gone 3h ago", "gone 1s ago"));
    assert!(fits("a\n...\nz", "a\nb\nc\nz") && fits("...\nz", "z"));
    assert!(!fits("a", "a\nb") && !fits("a\nb", "a") && !fits("a[..]c", "abd") && !fits("a", "b"));
}
