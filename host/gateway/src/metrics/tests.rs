//! That the metrics are what the book, the dashboard and the alerts say.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use axum::http::Method;
use wasmgrid_proto::{Extensions, TenantUsage, UsageTotal};

use super::{format::plain, *};

fn all() -> [String; 2] {
    let http = HttpMetrics::default();
    http.count("/v1/jobs".into(), &Method::GET, 200, std::time::Duration::ZERO);
    let (usage, extensions) = (UsageTotal::default(), Extensions::NONE);
    let tenant = TenantUsage { name: "ada".into(), usage, extensions };
    let scheduler = of_scheduler(&http, Metrics::default(), vec![tenant]).expect("a text");
    [scheduler, of_worker(WorkerCounts::default()).expect("a text")]
}

fn document(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A row of the book's table for each metric: its name, type, labels and help.
fn table(text: &str) -> String {
    let text = plain(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut table = String::from("| metric | type | labels | what |\n|---|---|---|---|\n");
    for (at, line) in lines.iter().enumerate() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let kind = lines[at + 1].rsplit(' ').next().expect("a type");
        let labels = lines[at + 2].split_once('{').map_or("", |(_, labels)| labels);
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels).split(',');
        let names = labels.filter_map(|label| label.split_once('=')).map(|(name, _)| name);
        let names: Vec<_> =
            names.filter(|name| *name != "le").map(|name| format!("`{name}`")).collect();
        table += &format!("| `{name}` | {kind} | {} | {help} |\n", names.join(", "));
    }
    table
}

#[test]
fn the_book_lists_every_metric() {
    let path = document("docs/book/src/operating/watching.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut blessed = page.clone();
    for (name, text) in ["scheduler", "worker"].into_iter().zip(all()) {
        let (begin, end) =
            (format!("<!-- metrics: {name} -->\n"), format!("<!-- end: {name} -->\n"));
        let from = blessed.find(&begin).expect("where the table begins") + begin.len();
        let to = blessed.find(&end).expect("where the table ends");
        blessed.replace_range(from..to, &format!("\n{}\n", table(&text)));
    }
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &blessed).expect("the page is written");
    }
    let now = fs::read_to_string(&path).expect("the page");
    assert!(now == blessed, "BLESS=1 writes the tables of {} anew", path.display());
}

/// The words of a text that are names of metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("wasmgrid_")).collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let all = all().map(|text| plain(&text));
    let lines = all.iter().flat_map(|text| text.lines());
    let samples = lines.filter(|line| !line.starts_with('#'));
    let existing: BTreeSet<&str> =
        samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    for path in ["docs/monitoring/alerts.yml", "docs/monitoring/grafana-dashboard.json"] {
        let text = fs::read_to_string(document(path)).expect(path);
        let named = named(&text);
        assert!(named.len() > 5, "{path} names {named:?}");
        let unknown: Vec<_> = named.difference(&existing).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn counters_end_alike_where_they_are_described_and_where_they_are_counted() {
    for open in all() {
        assert!(open.ends_with("# EOF\n"), "{open}");
        let plain = plain(&open);
        assert!(!plain.contains("# EOF"), "{plain}");
        let mut described = "";
        for line in plain.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(typed) => described = typed.split(' ').next().expect("a name"),
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(described), "{line} is of {described}"),
            }
        }
    }
}

#[test]
fn the_workers_names_and_the_schedulers_have_nothing_in_common() {
    let names = |text: &String| {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).map(String::from).collect::<BTreeSet<_>>()
    };
    let [scheduler, worker] = all().map(|text| names(&text));
    let common: Vec<_> = scheduler.intersection(&worker).collect();
    assert_eq!(common, ["wasmgrid_build_info"]);
}
