//! Pages of a few sentences: what is not there, what went wrong, and what this is.

use askama::Template;

use crate::{Guest, Nav, Page, Prose, Shell, shell::drawn};

/// Something is not there, or could not be done. The gateway chooses the status.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The path that was asked for.
    pub path: String,
    /// The entry of the bar.
    pub nav: Nav,
    /// What is so: `There is no job 99`.
    pub heading: String,
    /// Why, and what to do.
    pub text: Prose,
    /// Where to go on, and its words.
    pub onward: (String, &'static str),
    /// After how many seconds the browser asks again; `None` if that would not help.
    pub again: Option<u32>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemView<'a> {
    shell: &'a Shell,
    page: &'a Problem,
}

impl Problem {
    /// There is no such job, or none that may be seen: the answer does not say which. `kept` is for how
    /// long ended jobs are kept.
    #[must_use]
    pub fn no_job(id: &str, kept: Option<&str>) -> Self {
        let ended = kept.map_or_else(
            || "so long ago that it is not kept".to_owned(),
            |kept| format!("more than {kept} ago"),
        );
        let text =
            format!("Its number is not in use, it is another tenant’s, or it ended {ended}.");
        Self {
            path: "/jobs".into(),
            nav: Nav::Jobs,
            heading: format!("There is no job {}", Guest::new(id).plain()),
            text: Prose::new(&text.replace('`', "'")),
            onward: ("/jobs".into(), "All jobs"),
            again: None,
        }
    }

    /// There is nothing at this address.
    #[must_use]
    pub fn no_page() -> Self {
        Self {
            path: "/".into(),
            nav: Nav::None,
            heading: "There is no such page".into(),
            text: Prose::new("The address is wrong, or what was there is gone."),
            onward: ("/".into(), "Overview"),
            again: None,
        }
    }

    /// The scheduler cannot be reached, and nothing is known of what was asked for.
    #[must_use]
    pub fn away(path: &str, nav: Nav, address: &str) -> Self {
        Self {
            path: path.into(),
            nav,
            heading: "The grid is away".into(),
            text: Prose::new("This gateway does not reach the scheduler at ").code(address).say(
                ". It tries again each second, and this page is asked for again by itself. On \
                     the scheduler’s machine, start it again: `wasmgrid up`, or `wasmgrid server` \
                     where it runs alone.",
            ),
            onward: (path.into(), "Ask again"),
            again: Some(5),
        }
    }

    /// The form was not one of this browser's session, or is too old.
    #[must_use]
    pub fn forged() -> Self {
        Self {
            path: "/".into(),
            nav: Nav::None,
            heading: "Nothing was changed".into(),
            text: Prose::new(
                "The form is not of this session, or is too old. Go back, load the page again, and \
                 press the button once more.",
            ),
            onward: ("/".into(), "Overview"),
            again: None,
        }
    }
}

impl Page for Problem {
    fn path(&self) -> String {
        self.path.clone()
    }

    fn reload_seconds(&self) -> Option<u32> {
        self.again
    }

    fn title(&self) -> String {
        self.heading.clone()
    }

    fn nav(&self) -> Nav {
        self.nav
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(ProblemView { shell, page: self }.render())
    }
}

/// What this grid is, and how else to reach it.
#[derive(Clone, Debug)]
pub struct About {
    /// The version of the gateway.
    pub version: String,
    /// The version of the scheduler.
    pub scheduler_version: String,
    /// The gateway's own address, for examples: `https://grid.example:7434`.
    pub base: String,
    /// What else is to be known, in pairs: `scheduler`, `authority`, `started`.
    pub facts: Vec<(&'static str, Guest)>,
}

#[derive(Template)]
#[template(path = "about.html")]
struct AboutView<'a> {
    shell: &'a Shell,
    page: &'a About,
}

impl Page for About {
    fn path(&self) -> String {
        "/about".into()
    }

    fn title(&self) -> String {
        "About".into()
    }

    fn nav(&self) -> Nav {
        Nav::About
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(AboutView { shell, page: self }.render())
    }
}
