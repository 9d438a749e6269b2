//! Logging in: the one command. These pages are for those who are not logged in, so they tell nothing
//! of the grid but its name, and have no bar.

use askama::Template;
use wasmgrid_proto::Millis;

use crate::{Guest, Shape, assets::Files, number, shell::drawn};

/// The page of those who are not logged in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The grid's name; may be empty.
    pub grid: Guest,
    /// What it says.
    pub says: LoginSays,
    /// For how long a link works.
    pub valid: Millis,
}

/// What the page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginSays {
    /// How to log in.
    Command,
    /// The link that was opened is used up or too old. Its code is not told.
    OldLink,
    /// A link was opened: a button takes it, so that what only looks at links does not use it up. The
    /// code stays in the address: the form is sent to the page's own.
    Take,
    /// The browser was logged out.
    LoggedOut,
    /// The session is over or was revoked.
    Ended,
}

struct Frame<'a> {
    grid: &'a Guest,
}

#[derive(Template)]
#[template(path = "login.html")]
struct View<'a> {
    shell: Frame<'a>,
    page: &'a Login,
    files: Files,
}

impl Login {
    /// The path at which it is served.
    pub const PATH: &'static str = "/login";

    /// The whole page. It needs no [`Shell`](crate::Shell), since nobody is logged in.
    #[must_use]
    pub fn html(&self) -> String {
        drawn(View { shell: Frame { grid: &self.grid }, page: self, files: Files }.render())
    }

    pub(crate) fn title(&self) -> &'static str {
        match self.says {
            LoginSays::Command | LoginSays::Take => "Log in",
            LoginSays::OldLink => "This link is used up or too old",
            LoginSays::LoggedOut => "Logged out",
            LoginSays::Ended => "Your session has ended",
        }
    }

    pub(crate) fn valid(&self) -> String {
        number::span(self.valid)
    }
}
