//! What Wasmtime's own test programs (`crates/test-programs`, those of WASI 0.1 and 0.2) are given
//! and how they should end, as its tests say (`tests/all/cli_tests.rs` and `crates/wasi/tests`): the
//! programs have no manifests. What a task cannot be given is named and left out.

use std::{fs, path::Path};

use walkdir::WalkDir;

use super::manifest::{A_NETWORK, A_WRITABLE_DIRECTORY, Ending, Manifest};
use crate::let_others_read;

/// Every run of a program of this name; `None` where it is none of Wasmtime's. Files that it
/// should find are made under `scratch`.
pub(super) fn runs(name: &str, scratch: &Path) -> Option<Vec<Manifest>> {
    let (family, rest) = name.split_once('_')?;
    match (family, rest.strip_prefix("cli_")) {
        ("p1", Some("hostcall_fuel")) => {
            let mut manifest = Manifest::default();
            manifest.put(scratch, "/", &[]);
            manifest.needs = Some("bounds of its tester's making");
            Some(vec![manifest])
        }
        ("p1" | "p2", Some(rest)) => Some(command((name, rest), scratch)),
        ("p1" | "p2", None) => Some(vec![conformance(name, rest, scratch)]),
        _ => None,
    }
}

/// The programs that each try one part of WASI: most in a directory that they may change.
fn conformance(name: &str, rest: &str, scratch: &Path) -> Manifest {
    let stopped = ["stream_pollable_traps", "pollable_traps", "udp_send_too_much"];
    let mut manifest = Manifest {
        args: vec!["/".into()],
        env: vec![("ERRNO_MODE_UNIX".into(), "1".into())],
        ending: if stopped.contains(&rest) { Ending::Stopped } else { Ending::Code(0) },
        ..Manifest::default()
    };
    let readonly = [
        ("file_truncation_readonly", "test.txt", "read only test file\n"),
        ("file_hardlink_across_perms", "test.txt", "read only test file\n"),
        ("file_rename_across_perms", "test.txt", "read only test file\n"),
        ("file_stream_not_permitted", "stream-perms.txt", "stream permission test\n"),
    ];
    let readonly = readonly.iter().find(|(program, _, _)| *program == rest);
    match rest {
        "api_read_only" => manifest.put(scratch, "/", &[("bar.txt", AWHILE), ("sub/", "")]),
        "api_time" => manifest.needs = Some("clocks that its tester made"),
        _ if ["tcp", "udp", "ip", "http", "tls"]
            .contains(&rest.split('_').next().unwrap_or_default()) =>
        {
            manifest.needs = Some(A_NETWORK);
        }
        // Those of WASI 0.2 that use no file are given a directory too, and leave it alone.
        _ => {
            let files: &[_] =
                if rest == "stat_extreme_host_mtime" { &[("extreme.dat", "hello")] } else { &[] };
            manifest.put(scratch, "/", files);
            if name.starts_with("p1") || rest.starts_with("file") {
                manifest.needs = Some(A_WRITABLE_DIRECTORY);
            }
            if let Some((_, file, text)) = readonly {
                manifest.put(&scratch.join("readonly"), "/readonly", &[(file, text)]);
                manifest.needs = Some("directories whose names are no absolute paths");
            }
        }
    }
    manifest
}

const AWHILE: &str = "And stood awhile in thought";
const TUMTUM: &str = "So rested he by the Tumtum tree";
const TOVES: &str = "'Twas brillig, and the slithy toves.\n";

/// The programs that a command line is tried with.
fn command((name, rest): (&str, &str), scratch: &Path) -> Vec<Manifest> {
    let mut manifest = Manifest::default();
    let variables = |all: &[(&str, &str)]| {
        all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    match rest {
        "args" => {
            manifest.args = strings(&["hello", "this", "", "is an argument", "with 🚩 emoji"])
        }
        // The name that the program finds as its own.
        "argv0" => manifest.args = strings(&[name]),
        "stdin" => manifest.stdin = TUMTUM.into(),
        "stdin_empty" => manifest.stdin = "not to be read".into(),
        "stdin_eisdir" => manifest.needs = Some("an input that is a directory"),
        "stdout_epipe" => manifest.needs = Some("an output that breaks"),
        "splice_stdin" => {
            manifest.stdin = TUMTUM.into();
            let length = TUMTUM.len();
            manifest.stdout =
                Some(format!("before splice\n{TUMTUM}\ncompleted splicing {length} bytes\n"));
        }
        "env" => manifest.env = variables(&[("frabjous", "day"), ("callooh", "callay")]),
        "large_env" => return vec![large_env(32), large_env(512)],
        "max_resources" => manifest.needs = Some("more open resources than a task may have"),
        "initial_cwd" => manifest.needs = Some("a current directory"),
        "file_read" => manifest.put(scratch, "/", &[("bar.txt", AWHILE)]),
        "file_append" | "file_dir_sync" => {
            manifest.put(scratch, "/", &[("bar.txt", TOVES)]);
            manifest.needs = Some(A_WRITABLE_DIRECTORY);
        }
        "directory_list" => {
            let files = ["foo.txt", "bar.txt", "baz.txt", "sub/wow.txt", "sub/yay.txt"];
            manifest.put(scratch, "/", &files.map(|file| (file, "")));
        }
        "multiple_preopens" => {
            for guest in ["/a", "/b", "/c"] {
                manifest.put(scratch, guest, &[]);
            }
        }
        "exit_failure" => manifest.ending = Ending::Code(1),
        "exit_with_code" => manifest.ending = Ending::Code(42),
        "exit_panic" => manifest.ending = Ending::Panic("Curiouser and curiouser!"),
        "sleep_forever" | "many_resources" => manifest.ending = Ending::Stopped,
        "much_stdout" => return much_stdout(),
        "hostcall_fuel" => return hostcall_fuel(scratch),
        _ => {}
    }
    vec![manifest]
}

/// So many variables of 1 KiB each.
fn large_env(variables: usize) -> Manifest {
    let value = "x".repeat(1_024);
    let env: Vec<_> = (0..variables).map(|n| (format!("KEY{n}"), value.clone())).collect();
    let needs = (env.len() > 60).then_some("an environment of more than 64 KiB");
    Manifest { env, needs, ..Manifest::default() }
}

fn much_stdout() -> Vec<Manifest> {
    const ALL: usize = 1 << 18;
    let run = |power: u32| {
        let piece = 1 << power;
        Manifest {
            args: vec!["a".repeat(piece), (ALL / piece).to_string()],
            stdout: Some("a".repeat(ALL)),
            ..Manifest::default()
        }
    };
    (10..15).map(run).collect()
}

/// Wasmtime stops those that pass it more than a bound of their making, far below ours.
fn hostcall_fuel(scratch: &Path) -> Vec<Manifest> {
    let run = |(arg, needs): (&str, Option<&'static str>)| {
        let mut manifest = Manifest { args: strings(&[arg]), needs, ..Manifest::default() };
        manifest.put(scratch, "/", &[("1mb", &"\0".repeat(1 << 20))]);
        if !arg.starts_with("read") {
            manifest.ending = Ending::Stopped;
        }
        manifest
    };
    let writable = Some(A_WRITABLE_DIRECTORY);
    let runs = [
        ("poll", None),
        ("read", None),
        ("write", writable),
        ("mkdir", writable),
        ("write-stream", writable),
        ("write-stream-blocking", writable),
        ("resolve", Some(A_NETWORK)),
        ("udp-send-many", Some(A_NETWORK)),
        ("udp-send-big", Some(A_NETWORK)),
        ("write-zeroes", writable),
        ("write-stream-buffer-too-large", writable),
        ("write-zeroes-buffer-too-large", writable),
        ("read-file-big", None),
        ("read-tcp-big", Some(A_NETWORK)),
    ];
    runs.map(run).into()
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).into()).collect()
}

impl Manifest {
    /// Gives it `host`, made with these files in it, as `guest`; a name that ends in `/` is a
    /// folder's.
    fn put(&mut self, host: &Path, guest: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(host).expect("a folder");
        for (name, text) in files {
            let path = host.join(name);
            let folder = if name.ends_with('/') { Some(&*path) } else { path.parent() };
            fs::create_dir_all(folder.expect("below the folder")).expect("a folder");
            if !name.ends_with('/') {
                fs::write(&path, text).expect("a file");
            }
        }
        for made in WalkDir::new(host) {
            let_others_read(made.expect("just made").path());
        }
        self.dirs.push((host.to_owned(), guest.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_programs_are_known_by_their_names() {
        let scratch = tempfile::tempdir().expect("a folder");
        let runs = |name| runs(name, scratch.path());
        assert_eq!(runs("fd_advise"), None);
        let args = runs("p2_cli_args").expect("a program");
        assert_eq!((args.len(), args[0].args.len(), args[0].needs), (1, 5, None));
        assert_eq!(runs("p1_cli_much_stdout").expect("a program").len(), 5);
        let read = runs("p2_cli_file_read").expect("a program");
        assert_eq!(read[0].dirs, [(scratch.path().to_owned(), "/".to_owned())]);
        assert!(scratch.path().join("bar.txt").is_file());
        assert_eq!(runs("p2_tcp_bind").expect("a program")[0].needs, Some(A_NETWORK));
        assert_eq!(runs("p2_pollable_traps").expect("a program")[0].ending, Ending::Stopped);
    }
}
