//! Keys: which programs may act for the tenant. No secret is ever here.

use askama::Template;
use wasmgrid_proto::{Micros, wire::Role};

use crate::{Guest, Nav, Page, Shape, Shell, State, Tone, When, number, shell::drawn, text::query};

/// A key or a browser's session.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id, which is no secret.
    pub id: String,
    /// Its name.
    pub name: Guest,
    /// For whom it acts.
    pub tenant: Guest,
    /// As what.
    pub role: Role,
    /// True if it is a browser's session.
    pub is_session: bool,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends by itself.
    pub expires_at: Option<Micros>,
    /// The day on which it was last used, as the time at which the day began.
    pub last_used: Option<Micros>,
    /// True if it was revoked.
    pub revoked: bool,
}

/// The page of keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The time, as the scheduler has it.
    pub now: Micros,
    /// Those of this page.
    pub rows: Vec<KeyRow>,
    /// The cursor of the next ones, if there are any.
    pub next: Option<String>,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Keys,
}

impl Keys {
    pub(crate) fn next_path(&self) -> Option<String> {
        self.next.as_ref().map(|cursor| format!("/keys{}", query(&[("cursor", cursor)])))
    }
}

impl KeyRow {
    pub(crate) fn is_good(&self, now: &Micros) -> bool {
        !self.revoked && self.expires_at.is_none_or(|at| at > *now)
    }

    pub(crate) fn state(&self, now: &Micros) -> State {
        if self.revoked {
            return State::new(Shape::Cancelled, Tone::Rest, "revoked");
        }
        if !self.is_good(now) {
            return State::new(Shape::Expired, Tone::Warn, "expired");
        }
        State::new(Shape::Ready, Tone::Ok, "good")
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.is_session { "browser" } else { "key" }
    }

    pub(crate) fn created(&self) -> When {
        When::day(self.created_at)
    }

    pub(crate) fn ends(&self, now: &Micros) -> String {
        match self.expires_at {
            None => "never".into(),
            Some(at) if at > *now => format!("in {}", number::span(at.since(*now))),
            Some(_) => "ended".into(),
        }
    }

    pub(crate) fn used(&self) -> Option<When> {
        self.last_used.map(When::day)
    }
}

impl Page for Keys {
    fn path(&self) -> String {
        "/keys".into()
    }

    fn title(&self) -> String {
        "Keys".into()
    }

    fn nav(&self) -> Nav {
        Nav::Keys
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
