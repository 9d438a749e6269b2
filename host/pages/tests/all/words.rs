//! Words and numbers: states have shape, word and colour; quantities are written as flags take them.

use wasmgrid_pages::{Page as _, State};
use wasmgrid_proto::{Failing, JobState, Outcome, OutcomeClass, WorkerState};

use crate::{
    html::{Tree, all},
    samples,
};

fn states() -> Vec<State> {
    use JobState::{Active, Cancelled, Expired, Failed, Ok};
    let failing = Failing { until: None, reason: String::new() };
    let workers = [
        WorkerState::Ready,
        WorkerState::Draining,
        WorkerState::Gone,
        WorkerState::Cordoned,
        WorkerState::Failing(failing),
        WorkerState::Drained,
    ];
    let classes = [
        OutcomeClass::Ok,
        OutcomeClass::Failed,
        OutcomeClass::Retry,
        OutcomeClass::Cancelled,
        OutcomeClass::Lost,
        OutcomeClass::Expired,
        OutcomeClass::Skipped,
    ];
    let jobs = [Active, Ok, Failed, Cancelled, Expired];
    let mut states: Vec<_> = workers.iter().map(State::of_worker).collect();
    states.extend(classes.map(State::of_class));
    states.extend(jobs.map(|state| State::of_job(state, false, false)));
    states.push(State::of_job(Active, true, false));
    states.push(State::of_job(Active, true, true));
    states
}

#[test]
fn every_state_has_a_shape_a_word_and_a_colour() {
    let mut shown = Vec::new();
    for state in states() {
        let html = state.to_string();
        let word = state.word().to_owned();
        assert!(html.contains("<use href=\"#i-") && html.contains("state is-"), "{html}");
        assert!(html.ends_with(&format!("{word}</span>")) && !word.is_empty(), "{html}");
        shown.push((html, word));
    }
    for (html, word) in &shown {
        let same = shown.iter().filter(|(other, _)| other == html).map(|(_, other)| other);
        assert!(same.into_iter().all(|other| other == word), "a word for each state");
    }
}

#[test]
fn a_job_that_waits_has_not_failed() {
    let waits = State::of_job(JobState::Active, true, false).to_string();
    assert!(waits.contains("is-rest") && waits.contains("active · waiting"), "{waits}");
    let text = Tree::page(&samples::job_waiting().html(&samples::client())).text();
    let (why, progress) = (text.find("Why tasks wait"), text.find("of 2,048 tasks"));
    assert!(why.is_some() && why < progress, "why it waits stands first");
}

#[test]
fn red_is_only_what_failed() {
    for state in [OutcomeClass::Lost, OutcomeClass::Expired].map(State::of_class) {
        assert!(state.to_string().contains("is-warn"));
    }
    let exit = State::of_outcome(&Outcome::Exit(3)).to_string();
    assert!(exit.contains("is-bad") && exit.contains("#i-bad"), "{exit}");
}

#[test]
fn quantities_are_written_as_flags_take_them() {
    let text = Tree::page(&samples::job().html(&samples::operator())).text();
    for quantity in ["64MiB", "256KiB", "1m26s", "6.9ms", "2G", "18446744073709551615"] {
        assert!(text.contains(quantity), "{quantity}: {text}");
    }
    assert!(text.contains("7,304,118 of 10,000,000 tasks"), "{text}");
    assert!(text.contains("task 812004"), "an index has no separators: {text}");
}

#[test]
fn the_heading_of_the_overview_is_the_answer() {
    let heading = |page: wasmgrid_pages::overview::Overview| {
        let tree = Tree::page(&page.html(&samples::operator()));
        tree.elements().into_iter().find(|at| at.name() == "h1").expect("a heading").text()
    };
    let busy = "All slots that take tasks are busy. Three things to look at.";
    assert_eq!(heading(samples::overview()), busy);
    assert_eq!(heading(samples::overview_new()), "This grid has no workers and no jobs yet");
    assert_eq!(heading(samples::overview_away()), "The grid is away");
    assert_eq!(heading(samples::overview_disk_full()), "The scheduler’s disk is full");
    let mut calm = samples::overview();
    calm.attention.clear();
    calm.slots_busy = 100;
    assert_eq!(heading(calm), "100 of 368 slots are busy. Nothing to look at.");
}

#[test]
fn a_list_that_is_cut_says_so() {
    let jobs = Tree::page(&samples::jobs().html(&samples::operator())).text();
    assert!(jobs.contains("13 of 3,911") && jobs.contains("Older jobs"), "{jobs}");
    let workers = Tree::page(&samples::workers().html(&samples::operator())).text();
    assert!(workers.contains("12 of 24") && workers.contains("Next workers"), "{workers}");
}

#[test]
fn no_time_is_left_without_its_rate_and_every_time_is_for_programs_too() {
    for (name, html) in all() {
        for time in Tree::page(&html).elements().iter().filter(|at| at.name() == "time") {
            let at = time.get("datetime").unwrap_or_default();
            assert!(at.ends_with('Z') && at.contains('T'), "{name}: {at}");
        }
    }
    let job = Tree::page(&samples::job().html(&samples::operator())).text();
    assert!(job.contains("1m26sat this rate"), "{job}");
}
