//! What a program of a WASI test suite is given and how it should end: the JSON beside it, in
//! either of the suite's two shapes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// What a manifest says, with the suite's defaults for what it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The program's arguments, without its name.
    pub args: Vec<String>,
    /// Its standard input.
    pub stdin: String,
    /// What it should write, where that matters.
    pub stdout: Option<String>,
    /// The code it should end with.
    pub exit_code: i64,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The directory that it finds as `/`, below the program's own.
    pub root: Option<PathBuf>,
    /// Whether it talks to the executor by a network.
    pub has_network: bool,
}

impl Manifest {
    /// The manifest of a program.
    ///
    /// # Panics
    /// Where there is one and it is no JSON object.
    pub fn of(program: &Path) -> Self {
        match fs::read_to_string(program.with_extension("json")) {
            Ok(text) => Self::parse(&text),
            Err(_) => Self::default(),
        }
    }

    /// Reads a manifest's text.
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
            read.has_network = true;
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
            self.exit_code = code;
        }
        self.root = self.root.take().or_else(|| text("root").map(PathBuf::from));
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
            _ => self.has_network = true,
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
        assert_eq!((read.args.as_slice(), read.exit_code), (&["a".to_owned()][..], 3));
        assert_eq!(read.env, [("B".to_owned(), "c".to_owned())]);
        assert_eq!((read.stdout.as_deref(), read.root), (Some("out"), None));

        let new = r#"{"operations": [{"type": "run", "args": ["a"], "root": "dir"},
            {"type": "write", "payload": "in"}, {"type": "read", "payload": "out"},
            {"type": "wait", "exit_code": 3}]}"#;
        let read = Manifest::parse(new);
        assert_eq!((read.stdin.as_str(), read.stdout.as_deref()), ("in", Some("out")));
        assert_eq!((read.exit_code, read.root), (3, Some("dir".into())));
        assert!(!read.has_network);

        let network = r#"{"proposals": ["sockets"], "operations": [{"type": "connect"}]}"#;
        assert!(Manifest::parse(network).has_network);
        assert_eq!(Manifest::parse("{}"), Manifest::default());
    }
}
