//! Descriptors and granted directories.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use tempfile::TempDir;
use wasmgrid_proto::{ByteCount, Grant, Limit, Limits, ModuleKind, Outcome, TaskSpec};
use wasmgrid_sandbox::Isolation;

use super::{
    super::spec, BADF, Call, ILSEQ, INVAL, NAMETOOLONG, NOENT, NOTDIR, NOTSOCK, NOTSUP, OK, PERM,
    ROFS, SPIPE, asking, assert_answers, run_in, words,
};

/// A folder to be granted, with a few things in it. Another user may read it, whatever the umask: as
/// root runs a task, it is nobody's.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("data/in")).unwrap();
    fs::write(at("data/text"), "0123456789").unwrap();
    fs::write(at("data/in/deep"), "deep").unwrap();
    fs::write(at("secret"), "secret").unwrap();
    for (name, mode) in [
        ("data", 0o755),
        ("data/in", 0o755),
        ("data/text", 0o644),
        ("data/in/deep", 0o644),
        ("secret", 0o644),
    ] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("text", at("data/link")).unwrap();
    symlink("../secret", at("data/out")).unwrap();
    folder
}

fn grant(folder: &Path, name: &str, guest: &str) -> Grant {
    let host = folder.join(name).canonicalize().unwrap();
    Grant::Dir { host: host.to_str().unwrap().into(), guest: guest.into() }
}

/// Rights that ask to read, and to write.
const READ: i64 = 1 << 1;
const WRITE: i64 = 1 << 6;

/// Where the texts of [`texts`] lie.
const TEXT: (i64, i64) = (4_096, 4);
const DEEP: (i64, i64) = (4_104, 7);
const NOWHERE: (i64, i64) = (4_112, 7);
const UP: (i64, i64) = (4_120, 9);
const LINK: (i64, i64) = (4_136, 4);
const OUT: (i64, i64) = (4_144, 3);
const NOT_TEXT: (i64, i64) = (4_152, 2);
const FOLDER: (i64, i64) = (4_160, 2);
const HERE: (i64, i64) = (4_168, 1);

fn texts() -> Vec<u8> {
    let mut bytes = vec![0; 80];
    for ((at, _), text) in [
        (TEXT, &b"text"[..]),
        (DEEP, b"in/deep"),
        (NOWHERE, b"nowhere"),
        (UP, b"../secret"),
        (LINK, b"link"),
        (OUT, b"out"),
        (NOT_TEXT, b"\xff\xfe"),
        (FOLDER, b"in"),
        (HERE, b"."),
    ] {
        let at = usize::try_from(at - 4_096).unwrap();
        bytes[at..at + text.len()].copy_from_slice(text);
    }
    bytes
}

/// The arguments of a `path_open`.
fn opening(fd: i64, (at, length): (i64, i64), how: i64, rights: i64, out: i64) -> [i64; 9] {
    [fd, 1, at, length, how, rights, 0, 0, out]
}

#[tokio::test]
async fn granted_directories_are_there_from_3_on_in_their_order() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data"), grant(folder.path(), "data/in", "/d")];
    let expected: &[(Call<'_>, u32)] = &[
        (("fd_prestat_get", &[3, 256]), OK),
        (("fd_prestat_dir_name", &[3, 264, 5]), OK),
        (("fd_prestat_get", &[4, 272]), OK),
        (("fd_prestat_dir_name", &[4, 280, 2]), OK),
        (("fd_prestat_dir_name", &[3, 300, 4]), NAMETOOLONG),
        (("fd_prestat_get", &[5, 300]), BADF),
        (("fd_prestat_get", &[1, 300]), BADF),
        (("fd_prestat_dir_name", &[1, 300, 9]), NOTDIR),
        (("fd_prestat_dir_name", &[5, 300, 9]), BADF),
    ];
    let answers = assert_answers(&[], expected, &grants, b"").await;
    assert_eq!((answers.u32(256), answers.u32(260), answers.text(264, 5)), (0, 5, "/data"));
    assert_eq!((answers.u32(272), answers.u32(276), answers.text(280, 2)), (0, 2, "/d"));
}

#[tokio::test]
async fn a_file_is_read_from_its_place_and_from_any_other() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data")];
    let lists = words(&[512, 3, 515, 0, 516, 4]);
    let open = opening(3, TEXT, 0, READ, 256);
    let open_again = opening(3, LINK, 0, READ, 260);
    let expected: &[(Call<'_>, u32)] = &[
        (("path_open", &open), OK),
        (("fd_read", &[4, 64, 3, 264]), OK),
        (("fd_tell", &[4, 272]), OK),
        (("fd_pread", &[4, 64, 1, 8, 280]), OK),
        (("fd_tell", &[4, 288]), OK),
        (("fd_seek", &[4, -1, 2, 296]), OK),
        (("fd_read", &[4, 64, 3, 304]), OK),
        (("fd_read", &[4, 64, 3, 308]), OK),
        (("fd_seek", &[4, -11, 2, 312]), INVAL),
        (("fd_seek", &[4, -1, 0, 312]), INVAL),
        (("fd_seek", &[4, 0, 3, 312]), INVAL),
        (("fd_seek", &[4, i64::MAX, 0, 312]), OK),
        (("fd_seek", &[0, 0, 0, 320]), SPIPE),
        (("fd_tell", &[1, 320]), SPIPE),
        (("fd_seek", &[3, 0, 0, 320]), BADF),
        (("fd_pread", &[0, 64, 1, 0, 320]), SPIPE),
        (("fd_read", &[3, 64, 1, 320]), BADF),
        (("fd_write", &[4, 64, 1, 320]), ROFS),
        (("fd_pwrite", &[4, 64, 1, 0, 320]), ROFS),
        (("fd_pwrite", &[1, 64, 1, 0, 320]), SPIPE),
        // A link within the directory is followed; the place is this descriptor's own.
        (("path_open", &open_again), OK),
        (("fd_tell", &[5, 328]), OK),
    ];
    let texts = texts();
    let answers = assert_answers(&[(64, &lists), (4_096, &texts)], expected, &grants, b"").await;
    assert_eq!((answers.u32(256), answers.u32(260)), (4, 5));
    assert_eq!((answers.u32(264), answers.u64(272)), (7, 7));
    assert_eq!((answers.u32(280), answers.u64(288)), (2, 7), "pread moves no place");
    assert_eq!((answers.u64(296), answers.u32(304), answers.u32(308)), (9, 1, 0));
    assert_eq!((answers.u64(312), answers.u64(328)), (i64::MAX as u64, 0));
    assert_eq!(answers.text(512, 8), "992\x003456", "what was read, in its buffers");
}

#[tokio::test]
async fn nothing_outside_a_directory_is_opened_and_nothing_in_it_is_changed() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data")];
    let path = |(at, length)| [3, at, length];
    let [text, nowhere] = [TEXT, NOWHERE].map(path);
    let opens = [
        (opening(3, UP, 0, READ, 256), PERM),
        (opening(3, OUT, 0, READ, 256), PERM),
        (opening(3, NOWHERE, 0, READ, 256), NOENT),
        (opening(3, NOT_TEXT, 0, READ, 256), ILSEQ),
        (opening(3, TEXT, 0, READ | WRITE, 256), ROFS),
        (opening(3, NOWHERE, 1, READ, 256), ROFS),
        (opening(3, TEXT, 8, READ, 256), ROFS),
        (opening(3, TEXT, 2, READ, 256), NOTDIR),
        (opening(3, TEXT, 16, READ, 256), INVAL),
        (opening(0, TEXT, 0, READ, 256), BADF),
        (opening(99, TEXT, 0, READ, 256), BADF),
        (opening(3, TEXT, 0, READ, 256), OK),
        (opening(4, TEXT, 0, READ, 256), NOTDIR),
    ];
    let mut expected: Vec<(Call<'_>, u32)> =
        opens.iter().map(|(open, errno)| (("path_open", &open[..]), *errno)).collect();
    let changes: &[(Call<'_>, u32)] = &[
        (("path_create_directory", &nowhere), ROFS),
        (("path_remove_directory", &text), ROFS),
        (("path_unlink_file", &text), ROFS),
        (("path_rename", &[3, TEXT.0, TEXT.1, 3, NOWHERE.0, NOWHERE.1]), ROFS),
        (("path_link", &[3, 0, TEXT.0, TEXT.1, 3, NOWHERE.0, NOWHERE.1]), ROFS),
        (("path_symlink", &[TEXT.0, TEXT.1, 3, NOWHERE.0, NOWHERE.1]), ROFS),
        (("path_filestat_set_times", &[3, 0, TEXT.0, TEXT.1, 0, 0, 1]), ROFS),
        (("path_filestat_set_times", &[3, 0, TEXT.0, TEXT.1, 0, 0, 3]), INVAL),
        (("path_unlink_file", &[4, TEXT.0, TEXT.1]), BADF),
        (("path_rename", &[3, TEXT.0, TEXT.1, 9, NOWHERE.0, NOWHERE.1]), BADF),
        (("fd_filestat_set_size", &[4, 0]), ROFS),
        (("fd_filestat_set_size", &[3, 0]), BADF),
        (("fd_filestat_set_times", &[4, 0, 0, 1]), ROFS),
        (("fd_filestat_set_times", &[4, 0, 0, 12]), INVAL),
        (("fd_allocate", &[4, 0, 9]), NOTSUP),
        (("fd_allocate", &[3, 0, 9]), BADF),
        (("fd_advise", &[4, 0, 9, 0]), OK),
        (("fd_sync", &[4]), OK),
        (("fd_datasync", &[4]), OK),
        (("fd_sync", &[1]), BADF),
        (("fd_fdstat_set_rights", &[4, 0, 0]), NOTSUP),
        (("fd_fdstat_set_rights", &[1, 0, 0]), BADF),
        (("fd_fdstat_set_flags", &[4, 4]), OK),
        (("fd_fdstat_set_flags", &[4, 2]), INVAL),
        (("fd_fdstat_set_flags", &[4, 32]), INVAL),
        (("fd_fdstat_set_flags", &[1, 0]), BADF),
        (("sock_accept", &[4, 0, 256]), NOTSOCK),
        (("sock_recv", &[1, 0, 0, 0, 256, 256]), NOTSOCK),
        (("sock_send", &[9, 0, 0, 0, 256]), BADF),
        (("sock_shutdown", &[3, 1]), NOTSOCK),
        (("proc_raise", &[9]), NOTSUP),
        (("sched_yield", &[]), OK),
    ];
    expected.extend_from_slice(changes);
    assert_answers(&[(4_096, &texts())], &expected, &grants, b"").await;
    assert_eq!(fs::read_to_string(folder.path().join("data/text")).unwrap(), "0123456789");
    assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 4);
}

#[tokio::test]
async fn the_status_of_what_is_open_is_what_c_libraries_look_for() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data")];
    let [text, inner] = [opening(3, TEXT, 0, READ, 256), opening(3, FOLDER, 2, READ, 260)];
    let expected: &[(Call<'_>, u32)] = &[
        (("path_open", &text), OK),
        (("path_open", &inner), OK),
        (("fd_fdstat_get", &[0, 512]), OK),
        (("fd_fdstat_get", &[1, 536]), OK),
        (("fd_fdstat_get", &[3, 560]), OK),
        (("fd_fdstat_get", &[4, 584]), OK),
        (("fd_fdstat_get", &[5, 608]), OK),
        (("fd_fdstat_get", &[6, 632]), BADF),
        (("fd_filestat_get", &[0, 1_024]), OK),
        (("fd_filestat_get", &[4, 1_088]), OK),
        (("path_filestat_get", &[3, 1, LINK.0, LINK.1, 1_152]), OK),
        (("path_filestat_get", &[3, 0, LINK.0, LINK.1, 1_216]), OK),
        (("path_filestat_get", &[3, 0, FOLDER.0, FOLDER.1, 1_280]), OK),
        (("path_filestat_get", &[3, 0, NOWHERE.0, NOWHERE.1, 1_344]), NOENT),
        (("path_filestat_get", &[3, 2, TEXT.0, TEXT.1, 1_344]), INVAL),
        (("path_readlink", &[3, LINK.0, LINK.1, 2_048, 64, 2_112]), OK),
        (("path_readlink", &[3, LINK.0, LINK.1, 2_120, 2, 2_128]), OK),
        (("path_readlink", &[3, TEXT.0, TEXT.1, 2_136, 2, 2_136]), INVAL),
    ];
    let answers = assert_answers(&[(4_096, &texts())], expected, &grants, b"").await;
    let status = |at: usize| (answers.memory[at], answers.u64(at + 8), answers.u64(at + 16));
    // Kind, what may be done, and what with things beneath it.
    let all = (1 << 30) - 1;
    let (read, write) = (READ as u64, WRITE as u64);
    assert_eq!(status(512), (0, read, read));
    assert_eq!(status(536), (0, write, write));
    assert_eq!(status(560), (3, 0x07b7_fe00, 0x0ff7_ffff));
    assert_eq!(status(584), (4, all & !write, all & !write));
    let of_directory = all & !(write | 1 << 2 | 1 << 19 | 1 << 22);
    assert_eq!(status(608), (3, of_directory, of_directory));
    let kind_and_size = |at: usize| (answers.memory[at + 16], answers.u64(at + 32));
    assert_eq!(kind_and_size(1_024), (0, 0));
    assert_eq!(kind_and_size(1_088), (4, 10));
    assert_eq!(kind_and_size(1_152), (4, 10), "a link is followed");
    assert_eq!(kind_and_size(1_216), (7, 4), "or not");
    assert_eq!(answers.memory[1_280 + 16], 3);
    assert_eq!(answers.u64(1_088 + 8), answers.u64(1_152 + 8), "one file, one inode");
    assert_eq!((answers.u32(2_112), answers.text(2_048, 4)), (4, "text"));
    assert_eq!((answers.u32(2_128), answers.text(2_120, 3)), (2, "te\0"));
}

/// The entries in a buffer of `fd_readdir`: what comes next, the kind and the name of each.
fn entries(bytes: &[u8]) -> Vec<(u64, u8, String)> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 24 {
        let next = u64::from_le_bytes(rest[..8].try_into().unwrap());
        let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
        let name = &rest[24..rest.len().min(24 + length)];
        entries.push((next, rest[20], String::from_utf8(name.to_vec()).unwrap()));
        rest = &rest[rest.len().min(24 + length)..];
    }
    entries
}

#[tokio::test]
async fn a_directory_is_read_in_order_and_from_any_place_of_it() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data")];
    let expected: &[(Call<'_>, u32)] = &[
        (("fd_readdir", &[3, 4_096, 4_096, 0, 256]), OK),
        // As far as the buffer goes: a head, and a name that is cut off.
        (("fd_readdir", &[3, 8_192, 50, 2, 260]), OK),
        (("fd_readdir", &[3, 9_000, 4_096, 5, 264]), OK),
        (("fd_readdir", &[3, 14_000, 64, 6, 268]), OK),
        (("fd_readdir", &[3, 14_000, 0, 0, 272]), OK),
        (("fd_readdir", &[3, 14_000, 64, -1, 276]), OK),
        (("fd_readdir", &[1, 14_000, 64, 0, 280]), BADF),
        (("fd_readdir", &[9, 14_000, 64, 0, 280]), BADF),
    ];
    let answers = assert_answers(&[], expected, &grants, b"").await;
    let found = |at: usize, used: usize| entries(&answers.memory[at..at + used]);
    let all =
        [(1, 3, "."), (2, 3, ".."), (3, 3, "in"), (4, 7, "link"), (5, 7, "out"), (6, 4, "text")]
            .map(|(next, kind, name)| (next, kind, name.to_owned()));
    assert_eq!(found(4_096, answers.u32(256) as usize), all);
    assert_eq!(answers.u32(260), 50, "a buffer that is full says that there is more");
    assert_eq!(found(8_192, 50)[..1], all[2..3]);
    assert_eq!(found(9_000, answers.u32(264) as usize), all[5..]);
    assert_eq!((answers.u32(268), answers.u32(272), answers.u32(276)), (0, 0, 0));
}

#[tokio::test]
async fn a_number_that_was_closed_is_used_again_and_one_can_take_the_place_of_another() {
    let folder = folder();
    let grants = [grant(folder.path(), "data", "/data")];
    let opens = [256, 260, 264].map(|out| opening(3, DEEP, 0, READ, out));
    let list = words(&[512, 8]);
    let expected: &[(Call<'_>, u32)] = &[
        (("path_open", &opens[0]), OK),
        (("path_open", &opens[1]), OK),
        (("fd_close", &[4]), OK),
        (("fd_close", &[4]), BADF),
        (("path_open", &opens[2]), OK),
        (("fd_renumber", &[5, 0]), OK),
        (("fd_read", &[0, 64, 1, 268]), OK),
        (("fd_tell", &[5, 272]), BADF),
        (("fd_renumber", &[9, 4]), BADF),
        (("fd_renumber", &[4, 9]), BADF),
        (("fd_renumber", &[4, 4]), OK),
        (("fd_tell", &[4, 272]), OK),
        // A closed output is no output, as a closed directory is none.
        (("fd_close", &[2]), OK),
        (("fd_write", &[2, 64, 1, 276]), BADF),
        (("fd_close", &[3]), OK),
        (("fd_prestat_get", &[3, 280]), BADF),
    ];
    let data = texts();
    let answers = assert_answers(&[(64, &list), (4_096, &data)], expected, &grants, b"input").await;
    assert_eq!([256, 260, 264].map(|at| answers.u32(at)), [4, 5, 4]);
    assert_eq!((answers.u32(268), answers.text(512, 4)), (4, "deep"), "0 is the file now");
}

#[tokio::test]
async fn a_program_holds_64_things_open_and_ends_at_one_more() {
    let folder = folder();
    let grants = vec![grant(folder.path(), "data", "/data")];
    let open = opening(3, HERE, 2, READ, 256);
    for (count, fits) in [(60, true), (61, false)] {
        let calls = vec![("path_open", &open[..]); count];
        let module = asking(&[(4_096, &texts())], &calls);
        let spec = TaskSpec { grants: grants.clone(), ..spec(&module, ModuleKind::Preview1) };
        let ended = run_in(Isolation::Process, &module, &spec, b"").await;
        let full = Outcome::Limit { limit: Limit::Resources, used: 65, allowed: 64 };
        assert_eq!(ended.outcome, if fits { Outcome::Ok } else { full }, "{count}");
    }
}

#[tokio::test]
async fn a_listing_takes_no_more_of_the_host_than_the_task_may_have_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for number in 0..2_000 {
        fs::write(folder.path().join(format!("{number:0>200}")), "").unwrap();
    }
    let grants = vec![grant(folder.path(), ".", "/data")];
    let module = asking(&[], &[("fd_readdir", &[3, 4_096, 4_096, 0, 256])]);
    for (allowed, fits) in [(1 << 20, true), (256 << 10, false)] {
        let limits = Limits { memory: ByteCount(allowed), ..Limits::default() };
        let grants = grants.clone();
        let spec = TaskSpec { grants, limits, ..spec(&module, ModuleKind::Preview1) };
        let ended = run_in(Isolation::Process, &module, &spec, b"").await;
        // As far as it was read: 886 names of 200 bytes, with 96 for each.
        let over = Outcome::Limit { limit: Limit::Memory, used: 886 * 296, allowed };
        assert_eq!(ended.outcome, if fits { Outcome::Ok } else { over });
    }
}
