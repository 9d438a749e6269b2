//! What a program of a WASI test suite is given and how it should end: the JSON beside it, in
//! either of the suite's two shapes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// What a program is given, and how it should end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The program's arguments, without its name.
    pub args: Vec<String>,
    /// Its standard input.
    pub stdin: String,
    /// What it should write, where that matters.
    pub stdout: Option<String>,
    /// How it should end.
    pub ending: Ending,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Directories: where they are, and where it finds them.
    pub dirs: Vec<(PathBuf, String)>,
    /// What it may need beyond that and no task is given.
    pub needs: Option<&'static str>,
}

/// How a program should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Code(i64),
    /// Stopped by its host, before it comes to say what it takes for wrong.
    Stopped,
    /// By a panic of its own that says this.
    Panic(&'static str),
}

impl Default for Ending {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// What no task is given.
pub(super) const A_NETWORK: &str = "a network";
pub(super) const A_WRITABLE_DIRECTORY: &str = "a directory that it can change";

impl Manifest {
    /// The manifest beside a program, if there is one.
    ///
    /// # Panics
    /// Where it is no JSON object.
    pub fn beside(program: &Path) -> Option<Self> {
        let text = fs::read_to_string(program.with_extension("json")).ok()?;
        let mut manifest = Self::parse(&text);
        for (root, _) in &mut manifest.dirs {
            *root = program.with_file_name(&root).canonicalize().unwrap_or_default();
        }
        manifest.dirs.retain(|(root, _)| root.is_dir());
        Some(manifest)
    }

    /// Reads a manifest's text; directories are as they stand there.
    ///
    /// # Panics
    /// Where it is no JSON object.
    pub fn parse(text: &str) -> Self {
        let manifest: Map<String, Value> = serde_json::from_str(text).expect("a manifest is JSON");
        let mut read = Self::default();
        match manifest.get("operations").and_then(Value::as_array) {
            None => read.take(&manifest),
            Some(operations) => operations.iter().for_each(|operation| read.operation(operation)),
        }
        if manifest.get("proposals").is_some_and(|all| *all != Value::Array(Vec::new())) {
            read.needs = Some(A_NETWORK);
        }
        read
    }

    /// The older shape: one object for everything.
    fn take(&mut self, fields: &Map<String, Value>) {
        let strings = |field: &str| -> Vec<String> {
            let list = fields.get(field).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(Into::into).collect()
        };
        let text = |field: &str| fields.get(field).and_then(Value::as_str).map(String::from);
        self.args.extend(strings("args"));
        self.stdin.extend(text("stdin"));
        self.stdout = self.stdout.take().or_else(|| text("stdout"));
        if let Some(code) = fields.get("exit_code").and_then(Value::as_i64) {
            self.ending = Ending::Code(code);
        }
        if let Some(root) = text("root") {
            self.dirs.push((root.into(), "/".into()));
            self.needs.get_or_insert(A_WRITABLE_DIRECTORY);
        }
        let env = fields.get("env").and_then(Value::as_object).into_iter().flatten();
        self.env
            .extend(env.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into()))));
    }

    /// One step of the newer shape.
    fn operation(&mut self, operation: &Value) {
        let Some(fields) = operation.as_object() else { return };
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "run" | "wait" => self.take(fields),
            "write" => self.stdin.push_str(field("payload")),
            "read" if matches!(field("id"), "" | "stdout") => {
                self.stdout.get_or_insert_default().push_str(field("payload"));
            }
            "read" => {}
            _ => self.needs = Some(A_NETWORK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read() {
        let old = r#"{"args": ["a"], "env": {"B": "c"}, "exit_code": 3, "stdout": "out"}"#;
        let read = Manifest::parse(old);
        assert_eq!((read.args.as_slice(), read.ending), (&["a".to_owned()][..], Ending::Code(3)));
        assert_eq!(read.env, [("B".to_owned(), "c".to_owned())]);
        assert_eq!((read.stdout.as_deref(), read.dirs, read.needs), (Some("out"), vec![], None));

        let new = r#"{"operations": [{"type": "run", "args": ["a"], "root": "dir"},
            {"type": "write", "payload": "in"}, {"type": "read", "payload": "out"},
            {"type": "wait", "exit_code": 3}]}"#;
        let read = Manifest::parse(new);
        assert_eq!((read.stdin.as_str(), read.stdout.as_deref()), ("in", Some("out")));
        assert_eq!(read.ending, Ending::Code(3));
        assert_eq!(read.dirs, [("dir".into(), "/".to_owned())]);
        assert_eq!(read.needs, Some(A_WRITABLE_DIRECTORY));

        let network = r#"{"proposals": ["sockets"], "operations": [{"type": "connect"}]}"#;
        assert_eq!(Manifest::parse(network).needs, Some(A_NETWORK));
        assert_eq!(Manifest::parse("{}"), Manifest::default());
    }
}
