//! What `top` shows, and what keys change of it: a plain value, without a terminal or a grid.

use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use wasmgrid_client::ClientError;
use wasmgrid_proto::{FILTER_BYTES, JobFilter, JobId, JobState, WorkerFilter};

use super::ask::{News, Of, Query, Seen};
use crate::words;

/// Rows that a page key goes on by.
const PAGE: usize = 10;

/// The views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// How the grid is.
    Overview,
    /// The list of jobs.
    Jobs,
    /// The list of workers.
    Workers,
}

impl View {
    /// All, in the order of their keys.
    pub const ALL: [Self; 3] = [Self::Overview, Self::Jobs, Self::Workers];

    /// What it is called.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Jobs => "Jobs",
            Self::Workers => "Workers",
        }
    }
}

/// What is to be done after something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Draw.
    Draw,
    /// Ask something else, and draw.
    Ask,
    /// Leave.
    Leave,
}

/// What is shown.
#[derive(Debug)]
pub struct Model {
    /// The context's name.
    pub context: String,
    /// Which view.
    pub view: View,
    /// The job that is open over it.
    pub open: Option<JobId>,
    /// What names have in them; empty for any.
    pub filter: String,
    /// True while the filter is typed.
    pub is_typing: bool,
    /// Only active jobs are listed.
    pub only_active: bool,
    /// The row that is selected.
    pub selected: usize,
    /// What the grid said last.
    pub seen: Option<Seen>,
    /// Since when it has said nothing.
    pub silent_since: Option<Instant>,
    /// When it last said something.
    heard: Instant,
    /// Why it does not answer what is asked now.
    pub refusal: Option<String>,
}

impl Model {
    /// Before the first answer.
    pub fn new(context: &str) -> Self {
        Self {
            context: context.into(),
            view: View::Overview,
            open: None,
            filter: String::new(),
            is_typing: false,
            only_active: false,
            selected: 0,
            seen: None,
            silent_since: None,
            heard: Instant::now(),
            refusal: None,
        }
    }

    /// What must be asked to show this.
    pub fn query(&self) -> Query {
        if let Some(job) = self.open {
            return Query::Job(job);
        }
        let name = (!self.filter.is_empty()).then(|| format!("*{}*", self.filter));
        match self.view {
            View::Overview => Query::Overview,
            View::Jobs => {
                let states = if self.only_active { vec![JobState::Active] } else { Vec::new() };
                Query::Jobs(JobFilter { states, name, tenant: None })
            }
            View::Workers => Query::Workers(WorkerFilter { name, ..WorkerFilter::default() }),
        }
    }

    /// The grid said something. An answer to what was asked before is no news.
    pub fn told(&mut self, news: News) -> Next {
        match news {
            News::Silent => _ = self.silent_since.get_or_insert(self.heard),
            News::Seen(query, seen) => {
                self.hears();
                if query == self.query() {
                    self.refusal = None;
                    self.seen = Some(*seen);
                    self.selected = self.selected.min(self.rows().saturating_sub(1));
                }
            }
            News::Refused(query, error) => {
                if is_away(&error) {
                    self.silent_since.get_or_insert(self.heard);
                } else {
                    self.hears();
                }
                if query == self.query() {
                    self.refusal = Some(said(&error));
                }
            }
        }
        Next::Draw
    }

    fn hears(&mut self) {
        (self.heard, self.silent_since) = (Instant::now(), None);
    }

    /// Rows of the list that is shown.
    pub fn rows(&self) -> usize {
        match self.seen.as_ref().map(|seen| &seen.of) {
            Some(Of::Jobs(rows, _)) => rows.len(),
            Some(Of::Workers(rows, _)) => rows.len(),
            Some(Of::Job(_)) | None => 0,
        }
    }

    /// A key.
    pub fn pressed(&mut self, key: KeyEvent) -> Next {
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if with_control => Next::Leave,
            code if self.is_typing => self.typed(code),
            code => self.command(code),
        }
    }

    fn typed(&mut self, code: KeyCode) -> Next {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            // The filter stands between two stars.
            KeyCode::Char(c) if self.filter.len() + c.len_utf8() + 2 <= FILTER_BYTES => {
                self.filter.push(c);
            }
            _ => return Next::Draw,
        }
        self.selected = 0;
        Next::Ask
    }

    fn command(&mut self, code: KeyCode) -> Next {
        match code {
            KeyCode::Char('q') => return Next::Leave,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => {
                return self.back();
            }
            KeyCode::Char('1') => return self.to(View::Overview),
            KeyCode::Char('2') => return self.to(View::Jobs),
            KeyCode::Char('3') => return self.to(View::Workers),
            KeyCode::Tab => return self.beside(1),
            KeyCode::BackTab => return self.beside(View::ALL.len() - 1),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => return self.enter(),
            KeyCode::Char('/') if self.open.is_none() => {
                let next =
                    if self.view == View::Overview { self.to(View::Jobs) } else { Next::Draw };
                self.is_typing = true;
                return next;
            }
            KeyCode::Char('a') if self.view == View::Jobs && self.open.is_none() => {
                self.only_active = !self.only_active;
                self.selected = 0;
                return Next::Ask;
            }
            KeyCode::Down | KeyCode::Char('j') => self.select(|at| at.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.select(|at| at.saturating_sub(1)),
            KeyCode::PageDown => self.select(|at| at.saturating_add(PAGE)),
            KeyCode::PageUp => self.select(|at| at.saturating_sub(PAGE)),
            KeyCode::Home | KeyCode::Char('g') => self.select(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.select(|_| usize::MAX),
            _ => {}
        }
        Next::Draw
    }

    fn select(&mut self, to: impl FnOnce(usize) -> usize) {
        self.selected = to(self.selected).min(self.rows().saturating_sub(1));
    }

    /// One step back; from the overview nothing is behind.
    fn back(&mut self) -> Next {
        if self.open.take().is_some() {
            self.forget();
            return Next::Ask;
        }
        if !self.filter.is_empty() {
            self.filter.clear();
            return Next::Ask;
        }
        self.to(View::Overview)
    }

    fn to(&mut self, view: View) -> Next {
        if self.view == view && self.open.is_none() {
            return Next::Draw;
        }
        (self.view, self.open) = (view, None);
        self.filter.clear();
        self.forget();
        Next::Ask
    }

    fn beside(&mut self, by: usize) -> Next {
        let at = View::ALL.iter().position(|view| *view == self.view).unwrap_or_default();
        let view = View::ALL.iter().cycle().nth(at + by);
        view.map_or(Next::Draw, |view| self.to(*view))
    }

    /// Opens the job that is selected.
    fn enter(&mut self) -> Next {
        let Some(Of::Jobs(rows, _)) = self.seen.as_ref().map(|seen| &seen.of) else {
            return Next::Draw;
        };
        let Some(row) = rows.get(self.selected) else { return Next::Draw };
        self.open = Some(row.status.job);
        self.refusal = None;
        Next::Ask
    }

    /// What was seen of another view is of no use; how the grid is stays.
    fn forget(&mut self) {
        (self.selected, self.refusal) = (0, None);
    }
}

/// True if the grid could not be asked.
fn is_away(error: &ClientError) -> bool {
    !matches!(error, ClientError::Api(_) | ClientError::Unsupported { .. })
}

/// Why a question was not answered.
fn said(error: &ClientError) -> String {
    match error {
        ClientError::Api(error) => words::answer(error),
        other => other.to_string(),
    }
}
