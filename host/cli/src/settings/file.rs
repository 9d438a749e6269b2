//! Settings as a file has them: TOML with the keys of the table. An error says in which line, and an
//! unknown key is answered with the known one that is most like it.

use std::{collections::BTreeMap, path::Path};

use toml::{Spanned, Table, Value};

use super::{Commands, Kind, Settings, TABLE, check_names, of};

/// How like another one a key must be to be proposed: as clap has it for flags.
const LIKE: f64 = 0.7;

/// What is wrong with settings in a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct FileError {
    line: Option<usize>,
    what: String,
}

impl Settings {
    /// Reads what stands in a table.
    ///
    /// # Errors
    /// A key that is no setting, or a value that does not fit it.
    pub fn from_table(table: &Table) -> Result<Self, FileError> {
        let mut settings = Self::default();
        for (key, value) in table {
            settings
                .take(key, value, Path::new(""))
                .map_err(|what| FileError { line: None, what })?;
        }
        Ok(settings)
    }

    fn take(&mut self, key: &str, value: &Value, folder: &Path) -> Result<(), String> {
        if TABLE.iter().any(|setting| setting.key == key) {
            let set = self.set(key, value, folder).and_then(|()| check_names(key, value));
            set.map_err(|wrong| format!("{key}: {wrong}"))
        } else {
            Err(format!("unknown setting {key}{}", proposal(key)))
        }
    }
}

/// Reads a file's text, which may set what one of these commands has. Paths in the result are
/// absolute if `folder`, in which the file is, is absolute.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read(text: &str, folder: &Path, commands: Commands) -> Result<Table, FileError> {
    let lines: BTreeMap<Spanned<String>, Spanned<Value>> = toml::from_str(text)
        .map_err(|error| FileError { line: None, what: error.to_string().trim_end().to_owned() })?;
    let (mut settings, mut table) = (Settings::default(), Table::new());
    for (key, value) in lines {
        let line = text.get(..key.span().start).map(|before| before.matches('\n').count() + 1);
        let wrong = |what| FileError { line, what };
        let (key, value) = (key.into_inner(), value.into_inner());
        settings.take(&key, &value, folder).map_err(wrong)?;
        if !of(commands).any(|setting| setting.key == key) {
            return Err(wrong(format!(
                "{key} is not a setting of this command; expected one of: {}",
                of(commands).map(|setting| setting.key).collect::<Vec<_>>().join(", ")
            )));
        }
        table.insert(key, value);
    }
    let whole = settings.table();
    for path in TABLE.iter().filter(|setting| setting.kind == Kind::Path) {
        if let Some(value) = whole.get(path.key) {
            table.insert(path.key.to_owned(), value.clone());
        }
    }
    Ok(table)
}

/// The known key that is most like another one, if one is.
fn proposal(key: &str) -> String {
    let likeness = |setting: &&super::Setting| strsim::jaro(setting.key, key);
    let like = TABLE.iter().filter(|setting| likeness(setting) > LIKE);
    let like = like.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    match like {
        Some(setting) => format!("; did you mean {}?", setting.key),
        None => {
            let keys: Vec<&str> = TABLE.iter().map(|setting| setting.key).collect();
            format!("; expected one of: {}", keys.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SERVER, UP, WORKER};

    fn error(text: &str, commands: Commands) -> String {
        read(text, Path::new("/f"), commands).expect_err(text).to_string()
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_one_that_is_most_like_it() {
        for (key, meant) in [
            ("slotz", "slots"),
            ("label", "labels"),
            ("state-dir", "state_dir"),
            ("tenant_weight", "tenant_weights"),
            ("allow_dir", "allow_dirs"),
            ("keep_open_byte", "keep_open_bytes"),
        ] {
            let error = error(&format!("# settings\n\n{key} = 1"), UP);
            assert_eq!(error, format!("line 3: unknown setting {key}; did you mean {meant}?"));
        }
        let error = error("colour = 1", UP);
        assert!(error.contains("unknown setting colour; expected one of: name, listen"), "{error}");
    }

    #[test]
    fn a_key_of_another_command_is_refused_with_those_of_this_one() {
        let error = error("slots = 1", SERVER);
        assert!(error.starts_with("line 1: slots is not a setting of this command"), "{error}");
        assert!(error.contains("listen") && !error.contains("isolation"), "{error}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("slots = \"4\"", "slots: \"4\": expected a number"),
            ("slots = 4097", "slots: 4097: expected 1 to 4096"),
            ("memory = 4", "memory: 4: expected a text in quotes"),
            ("memory = \"0B\"", "memory: expected at least 1MiB"),
            ("state_dir = \"\"", "line 1: state_dir: \"\": expected a path that is not empty"),
            ("allow_dirs = [\"\"]", "allow_dirs: \"\": expected a path that is not empty"),
            ("require_jail = 1", "require_jail: 1: expected true or false"),
            ("labels = \"zone=a\"", "labels: \"zone=a\": expected a list in brackets"),
            ("labels = [\"zone\"]", "labels: \"zone\": expected KEY=VALUE"),
            ("max = [\"fuel\"]", "max: \"fuel\": expected NAME=VALUE, such as memory=1GiB"),
            ("labels = [1]", "labels: 1: expected a text in quotes"),
            ("compile_time = \"0s\"", "compile_time: it must be greater than 0"),
            ("isolation = \"none\"", "expected process, task or in-process"),
        ] {
            let error = error(text, WORKER);
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let twice = "is given twice; expected each name once";
        let found = error("max = [\"log=1B\", \"memory=1GiB\", \"memory = 2GiB\"]", WORKER);
        assert_eq!(found, format!("line 1: max: memory {twice}"));
        let found = error("tenant_weights = [\"ada=3\", \"ada=4\"]", SERVER);
        assert_eq!(found, format!("line 1: tenant_weights: ada {twice}"));
        let found = error("caps = [\"functions=7\", \"functions=8\"]", SERVER);
        assert_eq!(found, format!("line 1: caps: functions {twice}"));
    }

    #[test]
    fn a_relative_path_begins_at_the_files_folder() {
        let table = read(
            "allow_dirs = [\"data\", \"/srv\"]\nmemory = \"1024MiB\"",
            Path::new("/f"),
            WORKER,
        );
        let table = table.expect("fits");
        let dirs = table["allow_dirs"].as_array().expect("a list");
        assert_eq!(dirs, &[Value::from("/f/data"), Value::from("/srv")]);
        assert_eq!(table["memory"].as_str(), Some("1024MiB"), "as it was written");
    }
}
