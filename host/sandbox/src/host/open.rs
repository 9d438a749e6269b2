//! Files and directories that are open, and how paths beneath them are resolved: by the kernel
//! alone (`openat2`), never out of the directory that is asked. What a task sees of it is in
//! [`files`](super::files) and, for preview 1, in [`preview1`](super::preview1).

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use wasmgrid_proto::Grant;
use wasmtime_wasi::p2::bindings::{
    clocks::wall_clock::Datetime,
    filesystem::types::ErrorCode,
    sync::filesystem::types::{
        DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, MetadataHashValue,
        OpenFlags, PathFlags,
    },
};

use crate::stop::Stop;

/// What a read gives at most: the buffer is the host's own until the guest has taken it.
const READ_MAX: u64 = 1 << 20;

/// Entries of one directory that can be listed: the list is held, so that it can be sorted.
const LISTING_MAX: usize = 100_000;

/// What an entry of a listing takes beside the bytes of its name, with what the list and the
/// allocator leave unused.
const ENTRY_BYTES: u64 = 96;

/// What is left to tell of a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The last first.
    pub(super) entries: Vec<DirectoryEntry>,
    /// What they took of the host's memory when they were read.
    pub(super) bytes: u64,
}

/// Why a directory was not read.
#[derive(Debug)]
pub(super) enum Unlisted {
    /// The system says so.
    Errno(Errno),
    /// Its entries take more than there is room for.
    Over {
        /// As far as they were read.
        bytes: u64,
    },
}

impl From<Errno> for Unlisted {
    fn from(error: Errno) -> Self {
        Self::Errno(error)
    }
}

/// Times that a path is resolved again where a rename in between made the kernel unsure of it.
const RESOLVE_TRIES: u32 = 8;

/// The directories that the operator allows, of a process that is to enter its jail: there is one
/// jail a process, and so one such list.
static ALLOWED: OnceLock<Vec<Allowed>> = OnceLock::new();

/// See [`open_allowed`].
#[derive(Debug)]
pub(crate) struct Allowed {
    path: PathBuf,
    fd: OwnedFd,
}

impl AsFd for Allowed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens the directories that jobs may be granted, before a jail is entered that has no paths.
/// One that cannot be opened cannot be granted either.
pub(crate) fn open_allowed(paths: &[String]) -> &'static [Allowed] {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &String| {
        let fd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        Some(Allowed { path: path.into(), fd })
    };
    ALLOWED.get_or_init(|| paths.iter().filter_map(open).collect())
}

/// A file or directory that a task has open.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) fd: OwnedFd,
    pub(super) kind: DescriptorType,
}

/// The directories among `grants`, opened, each with the name that the task has for it. One that
/// cannot be had is the worker's failure: it was there when the job was let in.
pub(super) fn granted(grants: &[Grant]) -> impl Iterator<Item = Result<(Open, &str), Stop>> {
    grants.iter().filter_map(|grant| {
        let Grant::Dir { host, guest } = grant else { return None };
        let open = Open::directory(Path::new(host)).map_err(|error| {
            let who = if error == Errno::ACCESS {
                "  (if the worker is root, tasks open it as the user nobody)"
            } else {
                ""
            };
            Stop::Host(format!("the granted directory {host} cannot be opened: {error}{who}"))
        });
        Some(open.map(|open| (open, guest.as_str())))
    })
}

impl Open {
    /// In a jail there are no paths: it is opened beneath a directory that is open already.
    fn directory(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match ALLOWED.get() {
            None => rustix::fs::open(path, flags, Mode::empty())?,
            Some(allowed) => {
                let beneath = |allowed: &'static Allowed| {
                    let rest = path.strip_prefix(&allowed.path).ok()?;
                    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
                    Some((&allowed.fd, rest))
                };
                let (fd, rest) = allowed.iter().find_map(beneath).ok_or(Errno::NOENT)?;
                let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                rustix::fs::openat2(fd, rest, flags, Mode::empty(), within)?
            }
        };
        Ok(Self { fd, kind: DescriptorType::Directory })
    }

    /// What stands at `path` beneath this directory, as `open-at` of WASI has it: opened to be read,
    /// and refused to whoever would make, empty or change something.
    pub(super) fn open_at(
        &self,
        path: &str,
        path_flags: PathFlags,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Self, ErrorCode> {
        let directory = open_flags.contains(OpenFlags::DIRECTORY);
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if open_flags.intersects(makes)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY)
        {
            // What the kernel says of a directory that is opened for writing, wherever it is.
            let is_directory = directory && !open_flags.intersects(makes);
            return Err(if is_directory { ErrorCode::IsDirectory } else { ErrorCode::ReadOnly });
        }
        let extra = if directory { OFlags::DIRECTORY } else { OFlags::empty() };
        let follow = path_flags.contains(PathFlags::SYMLINK_FOLLOW);
        self.at(path, follow, extra).map_err(code)
    }

    fn at(&self, path: &str, follow: bool, extra: OFlags) -> Result<Self, Errno> {
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        flags |= extra;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        let fd = self.resolve(path, flags)?;
        let kind = kind(&rustix::fs::fstat(&fd)?);
        if !matches!(kind, DescriptorType::Directory | DescriptorType::RegularFile) {
            return Err(Errno::PERM);
        }
        Ok(Self { fd, kind })
    }

    /// The status of what stands at `path`, which need not be readable.
    pub(super) fn stat_at(&self, path: &str, follow: bool) -> Result<Stat, Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        rustix::fs::fstat(&self.resolve(path, flags)?)
    }

    pub(super) fn link_at(&self, path: &str) -> Result<String, Errno> {
        let fd = self.resolve(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW)?;
        let target = match rustix::fs::readlinkat(&fd, "", Vec::new()) {
            // It is there, and no link, which the kernel says so of what is open.
            Err(Errno::NOENT) => return Err(Errno::INVAL),
            target => target?,
        };
        // A path out of the directory is nothing a task could follow, and tells of the host.
        if target.as_bytes().starts_with(b"/") {
            return Err(Errno::PERM);
        }
        target.into_string().map_err(|_| Errno::ILSEQ)
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), within) {
                Err(Errno::AGAIN) if tries < RESOLVE_TRIES => tries += 1,
                // The path leaves the directory.
                Err(Errno::XDEV) => return Err(Errno::PERM),
                resolved => return resolved,
            }
        }
    }

    /// At most `length` bytes from `offset` on; none at the end.
    pub(super) fn read(&self, length: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        let length = usize::try_from(length.min(READ_MAX)).map_err(|_| Errno::INVAL)?;
        let mut buffer = vec![0; length];
        let read = self.read_into(&mut buffer, offset)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Fills `buffer` from `offset` on, and says how far; 0 at the end.
    pub(super) fn read_into(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.kind == DescriptorType::Directory {
            return Err(Errno::ISDIR);
        }
        rustix::io::pread(&self.fd, buffer, offset)
    }

    /// The status of what is open.
    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.fd)
    }

    /// The directory's entries. Sorted, since their order differs between hosts: so all of them are
    /// held, in no more than `room` bytes.
    pub(super) fn list(&self, room: u64) -> Result<Listed, Unlisted> {
        if self.kind != DescriptorType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let (mut entries, mut bytes) = (Vec::new(), 0_u64);
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { return Err(Errno::ILSEQ.into()) };
            if matches!(name, "." | "..") {
                continue;
            }
            if entries.len() >= LISTING_MAX {
                return Err(Errno::OVERFLOW.into());
            }
            bytes = bytes.saturating_add(ENTRY_BYTES).saturating_add(name.len() as u64);
            if bytes > room {
                return Err(Unlisted::Over { bytes });
            }
            entries.push(DirectoryEntry { type_: of_type(entry.file_type()), name: name.into() });
        }
        entries.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        Ok(Listed { entries, bytes })
    }
}

fn kind(stat: &Stat) -> DescriptorType {
    of_type(FileType::from_raw_mode(stat.st_mode))
}

const fn of_type(file: FileType) -> DescriptorType {
    match file {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

pub(super) fn status(stat: &Stat) -> DescriptorStat {
    let time = |seconds: i64, nanoseconds: u64| {
        let seconds = u64::try_from(seconds).ok()?;
        Some(Datetime { seconds, nanoseconds: u32::try_from(nanoseconds).ok()? })
    };
    DescriptorStat {
        type_: kind(stat),
        link_count: wide(stat.st_nlink),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        data_access_timestamp: None,
        data_modification_timestamp: time(stat.st_mtime, stat.st_mtime_nsec),
        status_change_timestamp: None,
    }
}

/// The kernel's numbers are not of one width on all machines.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// Two of one file are equal; it changes with the file.
pub(super) fn hash(stat: &Stat) -> MetadataHashValue {
    let mut hasher = blake3::Hasher::new();
    for part in [stat.st_dev, stat.st_ino, stat.st_mtime_nsec] {
        hasher.update(&part.to_le_bytes());
    }
    for part in [stat.st_mtime, stat.st_size] {
        hasher.update(&part.to_le_bytes());
    }
    let mut halves = [[0; 8]; 2];
    let mut bytes = hasher.finalize_xof();
    halves.iter_mut().for_each(|half| bytes.fill(half));
    let [lower, upper] = halves.map(u64::from_le_bytes);
    MetadataHashValue { lower, upper }
}

/// What a task is told of a failure of the system.
pub(super) fn code(error: Errno) -> ErrorCode {
    match error {
        Errno::ACCESS => ErrorCode::Access,
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::ISDIR => ErrorCode::IsDirectory,
        Errno::LOOP => ErrorCode::Loop,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::INVAL => ErrorCode::Invalid,
        Errno::ILSEQ => ErrorCode::IllegalByteSequence,
        Errno::OVERFLOW => ErrorCode::Overflow,
        Errno::NOMEM | Errno::MFILE | Errno::NFILE => ErrorCode::InsufficientMemory,
        Errno::PERM => ErrorCode::NotPermitted,
        _ => ErrorCode::Io,
    }
}
