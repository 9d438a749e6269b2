//! Every example, by the command of its README: here, and on a grid of three workers, the same
//! bytes.

use std::{
    fs,
    process::{Command, Stdio},
};

use wasmgrid_tests::{Grid, Home, example, repository};

/// Runs the same command here and on a grid of three workers, with the folder of examples as `{examples}`, and
/// gives the bytes that both gave.
fn both(args: &[&str], stdin: &[u8]) -> Vec<u8> {
    let examples = repository().join("examples");
    let folder = examples.to_str().expect("a plain path");
    let args: Vec<_> = args.iter().map(|arg| arg.replace("{examples}", folder)).collect();
    let here = Home::new().run_with_stdin(&args, stdin);
    let there = Grid::start(3, 1).home.run_with_stdin(&args, stdin);
    here.ok_bytes();
    there.ok_bytes();
    assert!(here.stdout == there.stdout, "the grid's bytes differ:\n{here}\n{there}");
    here.stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the example writes text")
}

#[test]
fn primes_counts_what_is_known() {
    let counts = text(both(&["run", &example("primes"), "--range", "0..100"], b""));
    let sum: u64 = counts.lines().map(|line| line.parse::<u64>().expect("a count")).sum();
    // https://oeis.org/A006880: primes below 10^8.
    assert_eq!(sum, 5_761_455);
}

#[test]
fn mandelbrot_and_picture_make_the_picture_that_is_in_the_readme() {
    let rows = both(&["run", &example("mandelbrot"), "--range", "0..48"], b"");
    let picture = both(&["run", &example("picture")], &rows);
    let shown = fs::read(repository().join("examples/mandelbrot/mandelbrot.png"));
    assert!(picture == shown.expect("the README's picture"), "another picture");
}

#[test]
fn wordcount_counts_files() {
    let args = ["run", &example("wordcount"), "--files", "{examples}/wordcount/texts/*.txt"];
    assert_eq!(
        text(both(&args, b"")),
        "{\"lines\":2,\"words\":9,\"distinct\":5,\"top\":[[\"the\",3],[\"dog\",2],[\"saw\",2],\
         [\"cat\",1],[\"nothing\",1]]}\n\
         {\"lines\":2,\"words\":10,\"distinct\":8,\"top\":[[\"be\",2],[\"to\",2],[\"is\",1],\
         [\"not\",1],[\"or\",1]]}\n"
    );
}

#[test]
fn wordcount_takes_real_sources() {
    // The SDK's sources stand for any: what counts is many real files, none of them prepared.
    let pattern = repository().join("guest-sdk/**/*.rs");
    let pattern = pattern.to_str().expect("a plain path");
    let counts = text(both(&["run", &example("wordcount"), "--files", pattern], b""));
    assert!(counts.lines().count() >= 5, "{counts}");
    for line in counts.lines() {
        let count: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(count["words"].as_u64().expect("a number") > 0, "{line}");
    }
}

#[test]
fn montecarlo_throws_the_same_darts_everywhere() {
    let args = ["run", &example("montecarlo"), "--lines", "{examples}/montecarlo/darts.txt"];
    assert_eq!(text(both(&args, b"")), "3.2\n3.1432\n3.13916\n3.14006\n");
}

#[test]
fn grep_is_a_filter_that_knows_no_grid() {
    let input = fs::read(repository().join("examples/grep/text.txt")).expect("a text");
    let found = both(&["run", &example("grep"), "--", "or"], &input);
    assert_eq!(text(found), "a word\nthe last for today\n");
    let nothing = Home::new().run_with_stdin(["run", &example("grep"), "--", "zebra"], &input);
    nothing.fails_with(1, &["exit code 1"]);
}

#[test]
fn a_c_program_runs_where_its_toolchain_is_installed() {
    let home = Home::new();
    let out = home.path().join("checksum.wasm");
    let out = out.to_str().expect("a plain path");
    let built = Command::new("sh")
        .arg(repository().join("examples/c-checksum/build.sh"))
        .arg(out)
        .stdin(Stdio::null())
        .output()
        .expect("sh(1) is there");
    if built.status.code() == Some(3) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&built.stderr).trim());
        return;
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let args = ["run", out, "--files", "{examples}/wordcount/texts/*.txt"];
    assert_eq!(text(both(&args, b"")), "604a17d3 42\n3cf00a1a 43\n");
}
