//! The flags of settings, with the variables of the environment that stand for them.

use std::ops::{Deref, DerefMut};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

use super::{Commands, Kind, Setting, Settings, check_names, of};

/// What was set by flags of these commands or by variables.
#[derive(Clone, Debug, Default)]
pub struct Flags<const COMMANDS: Commands>(pub Settings);

impl Setting {
    fn arg(&'static self, help: &str) -> Arg {
        let help = match self.default {
            "" => help.to_owned(),
            default => format!("{help} [default: {default}]"),
        };
        let arg = Arg::new(self.key)
            .long(self.flag)
            .value_name(self.value)
            .env(self.variable)
            .value_parser((self.parser)())
            .help_heading(self.heading)
            .help(help);
        match (self.kind, self.is_list) {
            (_, true) => arg.action(ArgAction::Append).value_delimiter(','),
            (Kind::Switch, _) => {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true")
            }
            _ => arg,
        }
    }
}

impl<const COMMANDS: Commands> Args for Flags<COMMANDS> {
    fn augment_args(command: Command) -> Command {
        let args = of(COMMANDS).filter_map(|one| Some(one.arg(one.help_of(COMMANDS)?)));
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const COMMANDS: Commands> FromArgMatches for Flags<COMMANDS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let settings = Settings::given(matches, COMMANDS);
        let table = settings.table();
        for Setting { key, flag, .. } in of(COMMANDS) {
            let checked = table.get(*key).map_or(Ok(()), |list| check_names(key, list));
            checked.map_err(|wrong| {
                Error::raw(ErrorKind::ArgumentConflict, format!("--{flag}: {wrong}"))
            })?;
        }
        Ok(Self(settings))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const COMMANDS: Commands> Deref for Flags<COMMANDS> {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl<const COMMANDS: Commands> DerefMut for Flags<COMMANDS> {
    fn deref_mut(&mut self) -> &mut Settings {
        &mut self.0
    }
}
