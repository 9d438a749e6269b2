//! `make install`: what is put where, and that the units are ones that systemd takes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use wasmgrid_tests::{Home, binary, repository};

/// Runs make with the binary that is tested, where root's folder would be below `root`.
fn make(target: &str, root: &Path) -> Output {
    let mut make = Command::new("sh");
    make.args(["-c", "umask 077 && exec make --no-print-directory \"$@\"", "sh", target]);
    make.arg(format!("DESTDIR={}", root.display()));
    make.arg("PREFIX=/opt/grid").arg(format!("WASMGRID={}", binary().display()));
    make.current_dir(repository()).env_remove("MAKEFLAGS");
    make.output().expect("make starts")
}

#[test]
fn make_install_puts_everything_below_its_prefix_for_everybody_to_read() {
    let home = Home::new();
    let made = make("install", home.path());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let at = |path: &str| home.path().join("opt/grid").join(path);
    let mode = |path: &PathBuf| {
        let metadata = fs::metadata(path);
        let metadata = metadata.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        metadata.permissions().mode() & 0o7777
    };
    for (path, expected) in [
        ("bin/wasmgrid", 0o755),
        ("share/man/man1/wasmgrid.1", 0o644),
        ("share/man/man1/wasmgrid-status.1", 0o644),
        ("share/man/man1", 0o755),
        ("share/bash-completion/completions/wasmgrid", 0o644),
        ("share/zsh/site-functions/_wasmgrid", 0o644),
        ("share/fish/vendor_completions.d/wasmgrid.fish", 0o644),
        ("lib/systemd/system/wasmgrid-server.service", 0o644),
        ("lib/systemd/system/wasmgrid-worker.service", 0o644),
    ] {
        assert_eq!(mode(&at(path)), expected, "{path}");
    }
    let version = Command::new(at("bin/wasmgrid")).arg("--version").output().expect("it starts");
    assert!(version.status.success());
    is_stripped(&at("bin"));
    for unit in ["server", "worker"] {
        let path = at(&format!("lib/systemd/system/wasmgrid-{unit}.service"));
        let text = fs::read_to_string(&path).expect("readable");
        takes_its_flags(&text, unit);
        systemd_takes(&path, &text);
    }
    let taken = make("uninstall", home.path());
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    assert!(!at("bin/.debug/wasmgrid.debug").exists());
    assert!(!at("bin/wasmgrid").exists() && !at("share/man/man1/wasmgrid-run.1").exists());
}

/// The installed binary has neither symbols nor line tables, and names the file beside it that has
/// them.
fn is_stripped(bin: &Path) {
    if let Err(error) = Command::new("objcopy").arg("--version").output() {
        return eprintln!("skipped: objcopy does not start: {error}");
    }
    let size = |path: &Path| fs::metadata(path).expect("it is there").len();
    let (installed, tables) = (bin.join("wasmgrid"), bin.join(".debug/wasmgrid.debug"));
    assert!(size(&installed) < size(binary()), "{} bytes", size(&installed));
    let bytes = fs::read(&installed).expect("readable");
    let link = b"wasmgrid.debug\0";
    assert!(bytes.windows(link.len()).any(|part| part == link), "it names no tables");
    let symbols = Command::new("nm").arg(&tables).output().expect("nm comes with objcopy");
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    assert!(symbols.contains("wasmgrid_server"), "{} has no symbols", tables.display());
}

/// The command that a unit starts knows all that it is started with.
fn takes_its_flags(unit: &str, verb: &str) {
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[..2], ["/opt/grid/bin/wasmgrid", verb], "{start}");
    let flags = words[1..].iter().copied().chain(["--help"]);
    Home::new().run(flags).ok();
}

/// Where systemd is installed it finds nothing to say. The binary stands elsewhere, and the manual
/// has no page yet.
fn systemd_takes(path: &Path, text: &str) {
    let folder = Home::new();
    let kept = text.lines().filter(|line| !line.starts_with("Documentation="));
    let text = kept.collect::<Vec<_>>().join("\n");
    let text = text.replace("/opt/grid/bin/wasmgrid", &binary().display().to_string());
    let name = path.file_name().and_then(|name| name.to_str()).expect("text");
    let unit = folder.write(name, text + "\n");
    match Command::new("systemd-analyze").arg("verify").arg(unit).output() {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            // What it says of other units of this machine is not about ours.
            let said: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
            assert!(said.is_empty(), "{said:?}");
        }
        Err(error) => eprintln!("skipped: systemd-analyze does not start: {error}"),
    }
}
