//! Settings from flags, files and earlier starts.

use clap::Parser as _;
use wasmgrid_proto::{ByteCount, Millis};

use super::*;
use crate::{
    args::{Isolation, TenantWeight},
    settings::{AboveZero, Slots, TaskMemory},
};

/// A start with these words, with what was kept in `folder`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A file of settings.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    }

    /// Starts with these flags, and keeps what is to be kept.
    fn start(&self, line: &str) -> Result<Settings, String> {
        let cli = Cli::try_parse_from(["wasmgrid"].into_iter().chain(line.split_whitespace()));
        let command = cli.expect("a command line").command;
        let mut told = GivenSettings::new(&command).expect("no variables");
        // Those of the test's own process are not meant.
        let set = given(&command).cloned().expect("a command that serves");
        (told.flags, told.all) = (set.clone(), set);
        let config = source(&command).and_then(|source| source.config.clone());
        (told.config, told.config_by_flag) = (config.clone(), config);
        let started = told.settle(Some(self.folder.path())).and_then(|(settings, memory)| {
            memory.keep(self.folder.path())?;
            Ok(settings)
        });
        started.map_err(|error| crate::exit::chain(&error))
    }
}

#[test]
fn flags_win_over_the_file() {
    let place = Place::new();
    let file = place.file(
        "worker.toml",
        "slots = 8\nmemory = \"2GiB\"\nlabels = [\"zone=a\"]\nisolation = \"in-process\"\nmax = [\"log=1B\"]",
    );
    let settings = place.start(&format!("worker --slots 3 --config {file}")).expect("fits");
    assert_eq!(settings.slots, Slots::new(3));
    assert_eq!(settings.memory, TaskMemory::new(ByteCount(2 << 30)));
    assert_eq!(settings.labels, ["zone=a".parse().expect("a label")]);
    assert_eq!(settings.isolation, Some(Isolation::InProcess));
    assert_eq!(settings.max, ["log=1B".parse().expect("a maximum")]);
}

#[test]
fn what_was_set_stays_set_until_it_is_set_otherwise() {
    let place = Place::new();
    let first = place.start("worker --slots 3 --label zone=a --label disk=ssd").expect("fits");
    assert_eq!(place.start("worker").expect("fits"), first);
    let second = place.start("worker --label zone=b").expect("fits");
    assert_eq!(second.slots, Slots::new(3));
    assert_eq!(second.labels, ["zone=b".parse().expect("a label")]);
    assert_eq!(place.start("worker").expect("fits"), second);
    let odd = place.start("worker --memory 1234567B --max memory=1500000B --cap functions=7");
    assert_eq!(odd.as_ref().expect("fits").memory, TaskMemory::new(ByteCount(1_234_567)));
    assert_eq!(place.start("worker"), odd, "exactly");
    assert_eq!(place.start("worker --defaults").expect("fits"), Settings::default());
    assert_eq!(place.start("worker").expect("fits"), Settings::default());
}

#[test]
fn a_file_is_read_again_and_goes_before_what_was_set_when_it_is_named() {
    let place = Place::new();
    place.start("worker --slots 3 --memory 1GiB").expect("fits");
    let file = place.file("f.toml", "slots = 8\nallow_dirs = [\"data\"]");
    let named = place.start(&format!("worker --config {file}")).expect("fits");
    assert_eq!((named.slots, named.memory), (Slots::new(8), TaskMemory::new(ByteCount(1 << 30))));
    assert_eq!(named.allow_dirs, [place.folder.path().join("data")], "from the file's folder");
    assert_eq!(place.start("worker").expect("fits"), named);
    assert_eq!(place.start("worker --slots 2").expect("fits").slots, Slots::new(2));
    assert_eq!(place.start("worker").expect("fits").slots, Slots::new(2));
    let standing = Standing::of(place.folder.path()).expect("readable");
    assert_eq!(standing.rows().iter().find(|(key, _)| key == "slots").expect("it").1, "2");
    fs::remove_file(&file).expect("it is there");
    let error = place.start("worker").expect_err("the file is gone");
    assert!(error.contains("f.toml") && error.contains("--defaults"), "{error}");
    assert_eq!(place.start("worker --defaults").expect("fits"), Settings::default());
}

#[test]
fn where_the_state_is_and_what_it_is_called_is_not_kept_within_it() {
    let place = Place::new();
    place.start("up --name home --state-dir /s --listen 0.0.0.0 --no-worker").expect("fits");
    let settings = place.start("up").expect("fits");
    assert_eq!((settings.name, settings.state_dir), (None, None));
    assert_eq!(settings.listen, Some("0.0.0.0:7433".parse().expect("an address")));
    assert_eq!(settings.no_worker, Some(true));
    assert_eq!(place.start("up --no-worker=false").expect("fits").no_worker, Some(false));
}

#[test]
fn the_file_may_require_the_jail_and_a_flag_take_it_back() {
    let place = Place::new();
    let text = "require_jail = true\ncompile_time = \"20s\"\ncompile_memory = \"2GiB\"\npagemap_scan = true";
    let file = place.file("worker.toml", text);
    let settings = place.start(&format!("worker --config {file}")).expect("fits");
    assert_eq!(settings.pagemap_scan, Some(true));
    assert_eq!(settings.require_jail, Some(true));
    assert_eq!(settings.compile_time, AboveZero::new(Millis(20_000)));
    assert_eq!(settings.compile_memory, AboveZero::new(ByteCount(2 << 30)));
    let settings = place.start(&format!("worker --config {file} --require-jail=false"));
    assert_eq!(settings.expect("fits").require_jail, Some(false));
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let place = Place::new();
    let error = |text: &str| {
        let file = place.file("worker.toml", text);
        place.start(&format!("worker --config {file}")).expect_err(text)
    };
    assert!(
        error("slots = 1\nslotz = 2")
            .ends_with("line 2: unknown setting slotz; did you mean slots?")
    );
    assert!(error("memory = \"lots\"").contains("64MiB"));
    assert!(error("listen = \"0.0.0.0\"").contains("listen is not a setting"));
    let caps = error("caps = [\"functions=7\", \"function=7\"]");
    assert!(caps.contains("functions, body-bytes"), "{caps}");
    for slots in ["slots = 0", "slots = 4097"] {
        assert!(error(slots).contains("4096"));
    }
}

#[test]
fn a_servers_file_may_say_all_its_flags_and_that_of_up_a_workers_too() {
    let place = Place::new();
    let text = "name = \"home\"\nlisten = \"0.0.0.0:1\"\nadvertise = [\"a:1\"]\nstate_dir = \"/s\"\ntenant_weights = [\"ada=3\", \"bob=2\"]\nproducer_grace = \"10m\"\ncertificate_life = \"30d\"\ncaps = [\"functions=7\"]\nrequire_jail = true\nkeep_results = \"1d\"\nkeep_jobs = \"2d\"\nkeep_bytes = \"1GiB\"\nkeep_open_bytes = \"1MiB\"\ndisk_reserve = \"2GiB\"";
    let file = place.file("server.toml", text);
    let settings = place.start(&format!("server --config {file} --keep-jobs 7ms")).expect("fits");
    assert_eq!(settings.producer_grace, Some(Millis(600_000)));
    assert_eq!(settings.certificate_life, Some("30d".parse().expect("a life")));
    assert_eq!(settings.caps, ["functions=7".parse().expect("a cap")]);
    assert_eq!(settings.require_jail, Some(true));
    let weights = ["ada=3", "bob=2"].map(|text| text.parse().expect("a weight"));
    assert_eq!(settings.tenant_weights, weights);
    assert_eq!(settings.listen, Some("0.0.0.0:1".parse().expect("an address")));
    assert_eq!(settings.advertise, ["a:1".parse().expect("an address")]);
    assert_eq!(settings.keep_results, Some(Millis(86_400_000)));
    assert_eq!(settings.keep_jobs, Some(Millis(7)), "a flag wins over the file");
    assert_eq!(settings.keep_bytes, Some(ByteCount(1 << 30)));
    assert_eq!(settings.keep_open_bytes, Some(ByteCount(1 << 20)));
    assert_eq!(settings.disk_reserve, Some(ByteCount(2 << 30)));
    let both = place.file("up.toml", &format!("{text}\nslots = 2\nno_worker = false"));
    assert_eq!(place.start(&format!("up --config {both}")).expect("fits").slots, Slots::new(2));
    let error = place.start(&format!("server --config {both}")).expect_err("a worker's");
    assert!(error.contains("no_worker") || error.contains("slots"), "{error}");
}

#[test]
fn a_workers_setting_where_there_is_none_is_named_by_its_flag() {
    for (line, flag) in [
        (&["up", "--no-worker", "--label", "a=b"][..], Some("label")),
        (&["up", "--no-worker", "--slots", "2"][..], Some("slots")),
        (&["up", "--no-worker", "--name", "home"][..], None),
    ] {
        let cli = Cli::try_parse_from(["wasmgrid"].iter().chain(line)).expect("a command line");
        let flags = given(&cli.command).cloned().expect("a command that serves");
        assert_eq!(
            GivenSettings { flags, ..GivenSettings::default() }.of_worker(),
            flag,
            "{line:?}"
        );
    }
}

#[test]
fn a_weight_is_a_name_and_a_number_within_its_bounds() {
    for text in ["ada", "=3", "ada=", "ada=0", "ada=1001", "ada=-1", "ada=1.5"] {
        let error = text.parse::<TenantWeight>().expect_err(text).to_string();
        assert!(error.contains("NAME=WEIGHT") && error.contains("1000"), "{error}");
    }
}

#[test]
fn every_flag_of_server_and_worker_has_its_variable() {
    let known = variables();
    for name in
        ["SLOTS", "MEMORY", "LABELS", "LISTEN", "ADVERTISE", "STATE_DIR", "CAPS", "HOME", "LOG"]
    {
        assert!(known.contains(&format!("WASMGRID_{name}")), "{name}");
    }
}
