//! Where a job's inputs come from: found before anything runs, then read in chunks. Not for sending
//! them, nor for remembering them (see [`ledger`](super::ledger)).

mod batch;
mod chunk;
mod csv;
mod files;
mod glob;
mod lines;
mod product;
mod range;
mod source;
mod stream;

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use wasmgrid_proto::ModuleKind;

use super::{again::Again, clash::Reads};
use crate::{
    args::InputArgs,
    exit::{Exit, WithExit as _, usage},
};

pub use self::glob::Unlisted;
pub use batch::Batch;
pub use chunk::{Chunk, ChunkBuilder, INPUT_BYTES_MAX, Origins, Piece, Unread, length_of};
pub use files::Files;
pub use product::Axis;
use product::Product;
pub use range::Range;
use stream::stream;
pub use stream::{Done, Inputs, Sink, Stream};

/// Indices of inputs, and the names of those that are files.
pub type Names = Vec<(u64, Option<PathBuf>)>;

/// Folders that cannot be listed and are named; the others are counted.
const UNLISTED_NAMED: usize = 3;

/// What the inputs of a job are, before any is read.
pub struct Sources {
    kind: Kind,
    /// Folders that may have more, and cannot be listed.
    unlisted: Vec<Unlisted>,
    /// Those that an earlier run has results of.
    done: Option<Done>,
}

enum Kind {
    /// There are none.
    Nothing,
    /// One, from stdin.
    Single,
    Range(Range),
    /// Of a list on stdin, where that is so.
    Files {
        paths: Vec<PathBuf>,
        listed: bool,
    },
    Product(Product),
    Text(Text),
    Again(Box<Again>),
}

/// A file of lines or rows.
struct Text {
    path: PathBuf,
    form: Form,
    /// How many are one input, where that is not one.
    batch: Option<Batch>,
}

enum Form {
    Lines,
    Json,
    /// With the columns that are numbers.
    Csv(Vec<String>),
}

impl Sources {
    /// Finds what the flags name; without any, the input is stdin.
    ///
    /// # Errors
    /// Usage errors: a pattern that no file fits, a list that cannot be read.
    pub fn find(args: &InputArgs) -> anyhow::Result<Self> {
        let named = Self::named(args)?;
        let single = matches!(named.kind, Kind::Nothing);
        Ok(if single { Self::of(Kind::Single) } else { named })
    }

    /// What the flags name, and nothing where they name nothing.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn named(args: &InputArgs) -> anyhow::Result<Self> {
        // What is required of one group of flags is not asked for where another of it is there.
        if !args.cut.csv_numbers.is_empty() && args.csv.is_none() {
            return Err(usage("--csv-numbers needs a table (--csv); leave it out"));
        }
        if !args.files.is_empty() {
            let glob::Found { files: paths, unlisted } = files::find_all(&args.files)?;
            let listed = args.files.iter().any(|pattern| pattern == "-");
            return Ok(Self { kind: Kind::Files { paths, listed }, unlisted, done: None });
        }
        if !args.grid.is_empty() {
            let product = Product::new(&args.grid).map_err(usage)?;
            return Ok(Self::of(Kind::Product(product)));
        }
        Ok(Self::of(if let Some(range) = args.range {
            Kind::Range(range)
        } else {
            text(args).map_or(Kind::Nothing, Kind::Text)
        }))
    }

    /// What an earlier run has kept.
    pub fn again(again: Again) -> Self {
        Self::of(Kind::Again(Box::new(again)))
    }

    /// The same, behind those that are done.
    pub fn behind(self, done: Option<Done>) -> Self {
        Self { done, ..self }
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, unlisted: Vec::new(), done: None }
    }

    /// What is left out, for people; `None` where nothing is.
    pub fn left_out(&self) -> Option<String> {
        let count = self.unlisted.len();
        let named = self.unlisted.iter().take(UNLISTED_NAMED);
        let named: Vec<_> =
            named.map(|folder| format!("{}: {}", folder.path.display(), folder.error)).collect();
        let folders = match count {
            0 => return None,
            1 => "1 folder cannot be listed, and its files are left out".into(),
            _ => format!("{count} folders cannot be listed, and their files are left out"),
        };
        let more = if count > named.len() { "; …" } else { "" };
        Some(format!("{folders}: {}{more}", named.join("; ")))
    }

    /// Adds what is read to `reads`.
    pub fn add_to(&self, reads: &mut Reads) {
        match &self.kind {
            Kind::Nothing | Kind::Range(_) | Kind::Product(_) => {}
            Kind::Single => reads.stdin(),
            Kind::Files { paths, listed } => {
                if *listed {
                    reads.stdin();
                }
                paths.iter().for_each(|path| reads.input(path));
            }
            Kind::Text(Text { path, .. }) if is_stdin(path) => reads.stdin(),
            Kind::Text(Text { path, .. }) => reads.input(path),
            Kind::Again(again) => again.add_to(reads),
        }
    }

    /// The indices of the inputs, and those that are files, where there may be files among them. Of a
    /// list that is read only once there is none yet.
    ///
    /// # Errors
    /// A usage error where the list is wrong.
    pub fn names(&self) -> anyhow::Result<Option<Names>> {
        match &self.kind {
            Kind::Files { paths, .. } => {
                Ok(Some((0..).zip(paths.iter().cloned().map(Some)).collect()))
            }
            Kind::Again(again) => Ok(Some(again.names()?.unwrap_or_default())),
            _ => Ok(None),
        }
    }

    /// Opens them. Must be called inside a runtime.
    ///
    /// # Errors
    /// Usage errors: a file that is not there, a line that is no JSON.
    pub fn open(self) -> anyhow::Result<Inputs> {
        let mut done = self.done;
        let known = match self.kind {
            Kind::Nothing => Chunk::empty(),
            Kind::Single => single()?,
            Kind::Range(range) => {
                let (block, payload, origins) = (range.block(), Bytes::new(), Origins::Range);
                Chunk { block, payload, origins }
            }
            Kind::Files { mut paths, .. } => {
                if let Some(done) = &mut done {
                    paths = done.pass_files(paths)?;
                }
                return Ok(Inputs::Stream(stream(done, move |out| files::read(paths, &out))));
            }
            Kind::Product(product) => {
                return Ok(Inputs::Stream(stream(done, move |out| product.send(0, &out))));
            }
            Kind::Text(text) => return Ok(Inputs::Stream(text.open(done)?)),
            Kind::Again(again) => {
                again.check()?;
                return Ok(Inputs::Stream(stream(done, move |out| again.read(&out))));
            }
        };
        Ok(if done.is_none() {
            Inputs::Known(known)
        } else {
            Inputs::Stream(stream(done, move |out| {
                out.send(Ok(Piece::Inputs(known)));
            }))
        })
    }

    /// How many there are, where that can be known without taking them from whom they are for.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where an input is wrong.
    pub async fn count(self) -> anyhow::Result<Option<u64>> {
        match &self.kind {
            Kind::Nothing => Ok(Some(0)),
            Kind::Single => Ok(Some(1)),
            Kind::Range(range) => Ok(Some(range.block().count())),
            Kind::Files { paths, .. } => Ok(Some(paths.len() as u64)),
            Kind::Product(product) => Ok(Some(product.count())),
            Kind::Again(again) => again.check(),
            Kind::Text(Text { path, .. }) if is_read_once(path) => Ok(None),
            Kind::Text(text) => {
                let mut inputs = text.open(None)?;
                let mut count = 0;
                while let Some(piece) = inputs.next().await.transpose()? {
                    count += piece.count();
                }
                Ok(Some(count))
            }
        }
    }
}

/// The file of lines or rows that the flags name.
fn text(args: &InputArgs) -> Option<Text> {
    let (path, form) = if let Some(path) = args.lines() {
        (path, Form::Lines)
    } else if let Some(path) = &args.json {
        (path, Form::Json)
    } else {
        (args.csv.as_ref()?, Form::Csv(args.cut.csv_numbers.clone()))
    };
    Some(Text { path: path.clone(), form, batch: args.cut.batch })
}

/// Fails where lines are to be joined and there are none, or the task has none.
///
/// # Errors
/// A usage error that says what to do.
pub fn check_batch(args: &InputArgs, kind: ModuleKind) -> anyhow::Result<()> {
    if args.cut.batch.is_none() {
        return Ok(());
    }
    if text(args).is_none() {
        return Err(usage(
            "--batch joins lines; name them with --lines, --json or --csv, or `-` for standard \
             input",
        ));
    }
    if kind == ModuleKind::Task {
        return Err(usage(format!(
            "--batch joins lines for commands, which read standard input; this is a {kind}, whose \
             input is one value; leave --batch out"
        )));
    }
    Ok(())
}

/// Whether reading a path takes away what it has: stdin, a pipe.
pub fn is_read_once(path: &Path) -> bool {
    is_stdin(path) || path.metadata().is_ok_and(|meta| !meta.is_file())
}

impl Text {
    /// Opens it; what can be read twice is looked through before anything runs.
    fn open(&self, done: Option<Done>) -> anyhow::Result<Stream> {
        let name = display_name(&self.path);
        if is_stdin(&self.path) {
            return Ok(self.read(name, done, || io::stdin().lock()));
        }
        let file = open_file(&self.path)?;
        if file.metadata().is_ok_and(|meta| meta.is_file()) {
            match &self.form {
                Form::Lines => {}
                Form::Json => lines::check(open_file(&self.path)?, &name)?,
                Form::Csv(numbers) => csv::check(open_file(&self.path)?, &name, numbers)?,
            }
        }
        Ok(self.read(name, done, || file))
    }

    fn read<R: Read>(
        &self,
        name: String,
        done: Option<Done>,
        file: impl FnOnce() -> R + Send + 'static,
    ) -> Stream {
        let batch = self.batch;
        match &self.form {
            Form::Csv(numbers) => {
                let numbers = numbers.clone();
                stream(done, move |out| csv::read(file(), &name, &numbers, batch, &out))
            }
            form => {
                let json = matches!(form, Form::Json);
                stream(done, move |out| lines::read(file(), &name, json, batch, &out))
            }
        }
    }
}

fn single() -> anyhow::Result<Chunk> {
    let mut chunk = ChunkBuilder::default();
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let limit = INPUT_BYTES_MAX as u64 + 1;
        stdin
            .lock()
            .take(limit)
            .read_to_end(&mut chunk.payload)
            .map_err(|error| usage(format!("failed to read stdin: {error}")))?;
    }
    let length = length_of(chunk.open().len()).map_err(|error| usage(format!("stdin {error}")))?;
    chunk.push(length);
    Ok(chunk.finish(Origins::Single))
}

/// True where a path stands for stdin.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn display_name(path: &Path) -> String {
    if is_stdin(path) { "stdin".into() } else { path.display().to_string() }
}

/// Opens a file of inputs.
///
/// # Errors
/// A usage error where that cannot be.
pub fn open_file(path: &Path) -> anyhow::Result<File> {
    File::open(path)
        .map_err(|error| anyhow::anyhow!("failed to open {}: {error}", path.display()))
        .exit(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_not_there_is_a_usage_error_that_names_it() {
        let args = InputArgs { lines: Some("/no/such/file".into()), ..InputArgs::default() };
        let error = Sources::find(&args).and_then(Sources::open).err().expect("is not there");
        assert_eq!(crate::exit::of(&error), Exit::Usage);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }

    #[tokio::test]
    async fn a_range_is_one_block_whatever_its_length() {
        let range = "0..1000000000000".parse().expect("a range");
        let args = InputArgs { range: Some(range), ..InputArgs::default() };
        let Ok(Inputs::Known(chunk)) = Sources::find(&args).and_then(Sources::open) else {
            panic!("not known")
        };
        assert_eq!(chunk.block.count(), 1_000_000_000_000);
    }
}
