//! Before something is done that cannot be undone: what will be lost, and the button.

use askama::Template;

use crate::{Guest, Nav, Page, Prose, Shell, path_part, shell::drawn};

/// A page that asks once more: cancelling a job, deleting a function, revoking a key.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// Where it is served, and where its form is sent to (POST).
    pub path: String,
    /// The entry of the bar.
    pub nav: Nav,
    /// What is asked: `Cancel job 4182?`
    pub question: String,
    /// The name of that which is at stake; may be empty.
    pub name: Guest,
    /// What will be lost.
    pub lost: Vec<Prose>,
    /// What will stay.
    pub kept: Vec<Prose>,
    /// The button: `Cancel the job`.
    pub button: &'static str,
    /// The way back, and its words.
    pub back: (String, &'static str),
}

/// Tasks of a job, for [`Confirm::cancel`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AtStake {
    /// Tasks that have not begun.
    pub queued: u64,
    /// Tasks that workers have.
    pub running: u64,
    /// Results that are there.
    pub results: u64,
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct View<'a> {
    shell: &'a Shell,
    page: &'a Confirm,
}

impl Confirm {
    /// Before a key is revoked, or a browser's session.
    #[must_use]
    pub fn revoke(id: &str, name: Guest) -> Self {
        Self {
            path: format!("/keys/{}/revoke", path_part(id)),
            nav: Nav::Keys,
            question: format!("Revoke key {}?", Guest::new(id).plain()),
            name,
            lost: vec![
                Prose::new("Programs and browsers that use it are refused within five seconds."),
                Prose::new("Streams that they have open end; results that they wait for stay."),
                Prose::new("It cannot be made good again: make another one."),
            ],
            kept: vec![Prose::new("Jobs that were submitted with it go on.")],
            button: "Revoke the key",
            back: ("/keys".into(), "Back to the keys"),
        }
    }

    /// Before a job is cancelled.
    #[must_use]
    pub fn cancel(job: wasmgrid_proto::JobId, name: Guest, stake: AtStake, is_open: bool) -> Self {
        let counted = |count, one| crate::number::counted(count, one);
        let mut lost = vec![
            Prose::default()
                .strong(counted(stake.queued, "task"))
                .say(" that did not begin will not run."),
            Prose::default()
                .strong(counted(stake.running, "task"))
                .say(" that workers have will be stopped; what they did so far is lost."),
        ];
        if is_open {
            lost.push(Prose::new("No more inputs can be appended."));
        }
        let kept = vec![
            Prose::default()
                .strong(counted(stake.results, "result"))
                .say(" will stay, for as long as results are kept."),
            Prose::new(&format!(
                "What did not run can be run as a new job: `wasmgrid job retry {job}`."
            )),
        ];
        Self {
            path: format!("/jobs/{job}/cancel"),
            nav: Nav::Jobs,
            question: format!("Cancel job {job}?"),
            name,
            lost,
            kept,
            button: "Cancel the job",
            back: (format!("/jobs/{job}"), "Back to the job"),
        }
    }
}

impl Page for Confirm {
    fn path(&self) -> String {
        self.path.clone()
    }

    fn title(&self) -> String {
        self.question.clone()
    }

    fn nav(&self) -> Nav {
        self.nav
    }

    fn html(&self, shell: &Shell) -> String {
        drawn(View { shell, page: self }.render())
    }
}
