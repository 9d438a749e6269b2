use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use wasmgrid_client::ClientError;
use wasmgrid_proto::{
    Attention, Extensions, FailureCount, FailureGroup, Histogram, JobCounts, JobId, JobRow,
    JobSpec, JobState, JobStatus, JobSummary, LastHour, Micros, Millis, ModuleKind, Overview, Pace,
    Peaks, RateBucket, Rates, Reason, SlotCounts, SlotsOverTime, TaskSpec, Workers, wire::More,
};

use super::{
    super::{
        ask::{News, Of, Query, Seen},
        model::{Model, Next, View},
    },
    draw,
};

/// A name that would move the cursor, and one that would hide what stands before it.
const HOSTILE: &str = "\u{1b}[2Jname\u{202e}";

fn overview() -> Overview {
    let pace = Pace { ended: 1_234, within: Millis(10_000) };
    let bucket = RateBucket { ok: 7, ..RateBucket::default() };
    Overview {
        tenant: None,
        since: Micros(0),
        slots: SlotCounts { busy: 3, idle: 5, ..SlotCounts::default() },
        jobs: wasmgrid_proto::JobMetrics { active: 2, ..Default::default() },
        tasks: wasmgrid_proto::TaskMetrics { queued: 10_000_000, assigned: 12 },
        pace,
        rates: Rates { from: Micros(0), width: Millis(1_000), buckets: vec![bucket; 30] },
        last_hour: LastHour { ended: 200, failed: Vec::new() },
        busy: SlotsOverTime::default(),
        metrics: None,
        disk: None,
        attention: vec![Attention::Gone(Workers { count: 1, names: vec!["rack7".into()] })],
        extensions: Extensions::NONE,
    }
}

fn status(job: u64, name: &str) -> JobStatus {
    let task = TaskSpec::new(wasmgrid_proto::Digest([1; 32]), ModuleKind::Task);
    JobStatus {
        job: JobId(job),
        spec: JobSpec::new(name.to_owned(), task),
        state: JobState::Active,
        closed: true,
        counts: JobCounts {
            total: 1_000,
            ok: 400,
            failed: 100,
            running: 4,
            queued: 496,
            ..JobCounts::default()
        },
        results: 500,
        submitted_at: Micros(0),
        ended_at: None,
    }
}

fn row(job: u64, name: &str) -> JobRow {
    let pace = Pace { ended: 50, within: Millis(10_000) };
    JobRow { status: status(job, name), running: 4, pace, extensions: Extensions::NONE }
}

fn summary(job: u64) -> JobSummary {
    let failure = FailureGroup {
        kind: "trap".into(),
        message: HOSTILE.into(),
        tasks: FailureCount { count: 100, first: Micros(0), last: Micros(1) },
        workers: vec!["w1".into()],
        more_workers: false,
        sample: 17,
    };
    JobSummary {
        status: status(job, "render"),
        running: 4,
        since: Micros(0),
        pace: Pace { ended: 50, within: Millis(10_000) },
        rates: Rates::default(),
        wall_us: Histogram::default(),
        peaks: Peaks::default(),
        failures: vec![failure],
        other_failures: FailureCount::default(),
        extensions: Extensions::NONE,
    }
}

/// The grid answers what the model asks.
fn answer(model: &mut Model, of: Of) {
    let seen = Seen { overview: overview(), of };
    assert_eq!(model.told(News::Seen(model.query(), Box::new(seen))), Next::Draw);
}

fn jobs() -> Of {
    Of::Jobs(vec![row(42, "render"), row(7, HOSTILE)], More::Exactly(0))
}

fn press(model: &mut Model, code: KeyCode) -> Next {
    model.pressed(KeyEvent::new(code, KeyModifiers::NONE))
}

/// What a terminal of this size shows.
fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    terminal.draw(|frame| draw(model, frame)).expect("drawn");
    terminal.backend().to_string()
}

fn has(screen: &str, texts: &[&str]) {
    for text in texts {
        assert!(screen.contains(text), "no {text:?} in\n{screen}");
    }
}

#[test]
fn the_overview_answers_how_the_grid_is() {
    let mut model = Model::new("lab");
    has(&screen(&model, 100, 30), &["lab", "Asking the grid"]);
    answer(&mut model, jobs());
    let shown = screen(&model, 100, 30);
    has(
        &shown,
        &[
            "live",
            "123 tasks/s",
            "3 of 8 busy",
            "10,000,000",
            "gone: rack7",
            "render",
            "50%",
            "100",
        ],
    );
}

#[test]
fn guests_texts_are_escaped() {
    let mut model = Model::new(HOSTILE);
    answer(&mut model, jobs());
    model.open = Some(JobId(42));
    answer(&mut model, Of::Job(Box::new(summary(42))));
    let shown = screen(&model, 120, 30);
    has(&shown, &["job 42", "trap", "as task 17", "\\u{202e}"]);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
}

#[test]
fn every_view_fits_a_small_terminal() {
    let mut model = Model::new("lab");
    for (width, height) in [(40, 10), (20, 4), (1, 1), (80, 24), (300, 100)] {
        answer(&mut model, jobs());
        let shown = screen(&model, width, height);
        if width >= 40 {
            has(&shown, &["42"]);
        }
        model.open = Some(JobId(42));
        answer(&mut model, Of::Job(Box::new(summary(42))));
        screen(&model, width, height);
        model.open = None;
    }
}

#[test]
fn keys_go_from_view_to_view_and_back() {
    let mut model = Model::new("lab");
    answer(&mut model, jobs());
    assert_eq!(press(&mut model, KeyCode::Tab), Next::Ask);
    assert_eq!(model.view, View::Jobs);
    has(&screen(&model, 80, 10), &["render"]);
    answer(&mut model, jobs());
    press(&mut model, KeyCode::Down);
    assert_eq!(press(&mut model, KeyCode::Enter), Next::Ask);
    assert_eq!(model.query(), Query::Job(JobId(7)), "the second row");
    // An answer to what was asked before is no news.
    let seen = Seen { overview: overview(), of: jobs() };
    model.told(News::Seen(Query::Overview, Box::new(seen)));
    assert_eq!(press(&mut model, KeyCode::Esc), Next::Ask);
    assert_eq!((model.open, model.view), (None, View::Jobs));
    assert_eq!(press(&mut model, KeyCode::Esc), Next::Ask);
    assert_eq!(model.view, View::Overview);
    assert_eq!(press(&mut model, KeyCode::Esc), Next::Draw, "nothing is behind it");
    assert_eq!(press(&mut model, KeyCode::Char('q')), Next::Leave);
    let leave = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.pressed(leave), Next::Leave);
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut model = Model::new("lab");
    answer(&mut model, jobs());
    press(&mut model, KeyCode::Char('/'));
    for letter in ['q', '1', 'é'] {
        assert_eq!(press(&mut model, KeyCode::Char(letter)), Next::Ask, "letters are no commands");
    }
    let Query::Jobs(filter) = model.query() else { panic!("{:?}", model.query()) };
    assert_eq!(filter.name.as_deref(), Some("*q1é*"));
    has(&screen(&model, 80, 10), &["name has: q1é"]);
    for _ in 0..300 {
        press(&mut model, KeyCode::Char('x'));
    }
    let Query::Jobs(filter) = model.query() else { panic!("{:?}", model.query()) };
    filter.check().expect("a filter is never too long");
    press(&mut model, KeyCode::Enter);
    assert!(!model.is_typing && !model.filter.is_empty());
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.filter.as_str(), model.view), ("", View::Jobs));
}

#[test]
fn what_was_seen_stays_while_the_grid_is_away() {
    let mut model = Model::new("lab");
    answer(&mut model, jobs());
    model.told(News::Silent);
    has(&screen(&model, 120, 30), &["not live for", "render"]);
    answer(&mut model, jobs());
    has(&screen(&model, 120, 30), &["live"]);
    assert!(model.silent_since.is_none());
    let refused = ClientError::Api(Reason::NoJob { job: JobId(42) }.into());
    model.told(News::Refused(model.query(), refused));
    assert!(model.silent_since.is_none(), "it did answer");
    has(&screen(&model, 120, 30), &["42"]);
}
