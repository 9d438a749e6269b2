//! `wasi:filesystem`: the directories that a job was granted, to be read. A task without such a
//! grant finds no directory at all, and so never gets as far as the functions here.
//!
//! Nothing outside a granted directory can be reached: every path is resolved by the kernel
//! beneath the directory it is asked of (`openat2` with `RESOLVE_BENEATH`), symbolic links
//! included. Nothing is ever written. Only regular files and directories are opened, so that no
//! read can wait for somebody.

use std::sync::Arc;

use rustix::{fs::Stat, io::Errno};
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::{
    filesystem::Descriptor,
    p2::{
        FsError, FsResult,
        bindings::{
            filesystem::types::{DirectoryEntryStream, ErrorCode},
            sync::{
                self,
                filesystem::types::{
                    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
                    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
                },
                io::streams::{InputStream, OutputStream},
            },
        },
    },
};

use super::{
    CALL_FUEL, Caller, HostState, charge,
    open::{self, Open, Unlisted, code, hash, status},
    push,
    table::OpenResource,
    wasi,
};

/// The state, as the file system's functions see it.
struct Files<'a>(&'a mut HostState);

struct Access;

impl HasData for Access {
    type Data<'a> = Files<'a>;
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut preopens = linker.instance(wasi!("filesystem/preopens"))?;
    preopens.func_wrap("get-directories", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 0)?;
        Ok((directories(&mut store)?,))
    })?;
    sync::filesystem::types::add_to_linker::<HostState, Access>(linker, |state| Files(state))
}

/// The granted directories, opened.
fn directories(store: &mut Caller<'_>) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
    let spec = Arc::clone(&store.data().spec);
    let mut directories = Vec::new();
    for granted in open::granted(&spec.grants) {
        let (open, guest) = granted?;
        directories.push((push(store, OpenResource::Open(Arc::new(open)))?, guest.to_owned()));
    }
    Ok(directories)
}

fn failed(error: Errno) -> FsError {
    code(error).into()
}

impl Files<'_> {
    /// Takes the fuel of a call that moves `bytes`. The store is out of reach here: the next call
    /// that has it pays, and one beyond all the fuel there is ends the task at once.
    fn charge(&mut self, bytes: usize) -> FsResult<()> {
        self.owe(bytes).map_err(FsError::trap)
    }

    fn owe(&mut self, bytes: usize) -> Result<(), wasmtime::Trap> {
        let state = &mut *self.0;
        state.owed_fuel = state.owed_fuel.saturating_add(CALL_FUEL).saturating_add(bytes as u64);
        if state.owed_fuel > state.limits().fuel.0 {
            return Err(wasmtime::Trap::OutOfFuel);
        }
        Ok(())
    }

    fn open(&mut self, fd: &Resource<Descriptor>, bytes: usize) -> FsResult<Arc<Open>> {
        self.charge(bytes)?;
        match self.0.table.entry(fd.rep()).map_err(FsError::trap)? {
            OpenResource::Open(open) => Ok(Arc::clone(open)),
            _ => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// The answer to what would change something, `bytes` of which were copied to ask for it.
    fn read_only<T>(&mut self, bytes: usize) -> FsResult<T> {
        self.charge(bytes)?;
        Err(ErrorCode::ReadOnly.into())
    }

    fn push<T: 'static>(&mut self, entry: OpenResource) -> FsResult<Resource<T>> {
        Ok(Resource::new_own(self.0.table.push(entry).map_err(FsError::trap)?))
    }

    fn remove(&mut self, rep: u32) {
        self.0.table.remove(rep);
    }
}

impl types::Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Ok(error.downcast()?.into())
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime_wasi::p2::IoError>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(match self.0.table.entry(error.rep())? {
            OpenResource::Failed(error) => Some(code(*error).into()),
            _ => None,
        })
    }
}

impl types::HostDescriptor for Files<'_> {
    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<InputStream>> {
        let file = self.open(&fd, 0)?;
        if file.kind == DescriptorType::Directory {
            return Err(ErrorCode::IsDirectory.into());
        }
        self.push(OpenResource::Reading { file, offset })
    }

    fn write_via_stream(
        &mut self,
        _: Resource<Descriptor>,
        _: u64,
    ) -> FsResult<Resource<OutputStream>> {
        self.read_only(0)
    }

    fn append_via_stream(&mut self, _: Resource<Descriptor>) -> FsResult<Resource<OutputStream>> {
        self.read_only(0)
    }

    fn advise(&mut self, fd: Resource<Descriptor>, _: u64, _: u64, _: Advice) -> FsResult<()> {
        self.open(&fd, 0).map(drop)
    }

    fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.open(&fd, 0).map(drop)
    }

    fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.open(&fd, 0).map(drop)
    }

    fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.open(&fd, 0)?;
        Ok(DescriptorFlags::READ)
    }

    fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        Ok(self.open(&fd, 0)?.kind)
    }

    fn set_size(&mut self, _: Resource<Descriptor>, _: u64) -> FsResult<()> {
        self.read_only(0)
    }

    fn set_times(
        &mut self,
        _: Resource<Descriptor>,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        self.read_only(0)
    }

    fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        let file = self.open(&fd, 0)?;
        let bytes = file.read(length, offset).map_err(failed)?;
        self.charge(bytes.len())?;
        let ended = bytes.is_empty() && length > 0;
        Ok((bytes, ended))
    }

    fn write(&mut self, _: Resource<Descriptor>, bytes: Vec<u8>, _: u64) -> FsResult<u64> {
        self.read_only(bytes.len())
    }

    fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let open = self.open(&fd, 0)?;
        let held = self.0.table.listed_bytes();
        let listed = open.list(self.0.listing_room(held)).map_err(|why| match why {
            Unlisted::Errno(error) => failed(error),
            Unlisted::Over { bytes } => FsError::trap(self.0.listing_over(held, bytes)),
        })?;
        self.charge(listed.entries.iter().map(|entry| entry.name.len()).sum())?;
        self.push(OpenResource::Listing(listed))
    }

    fn create_directory_at(&mut self, _: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.read_only(path.len())
    }

    fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        let open = self.open(&fd, 0)?;
        Ok(status(&open.stat().map_err(failed)?))
    }

    fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let open = self.open(&fd, path.len())?;
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        Ok(status(&open.stat_at(&path, follow).map_err(failed)?))
    }

    fn set_times_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        path: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        self.read_only(path.len())
    }

    fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        path: String,
        _: Resource<Descriptor>,
        other: String,
    ) -> FsResult<()> {
        self.read_only(path.len() + other.len())
    }

    fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let open = self.open(&fd, path.len())?;
        let found = open.open_at(&path, path_flags, open_flags, flags)?;
        self.push(OpenResource::Open(Arc::new(found)))
    }

    fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.open(&fd, path.len())?.link_at(&path).map_err(failed)
    }

    fn remove_directory_at(&mut self, _: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.read_only(path.len())
    }

    fn rename_at(
        &mut self,
        _: Resource<Descriptor>,
        path: String,
        _: Resource<Descriptor>,
        other: String,
    ) -> FsResult<()> {
        self.read_only(path.len() + other.len())
    }

    fn symlink_at(&mut self, _: Resource<Descriptor>, path: String, other: String) -> FsResult<()> {
        self.read_only(path.len() + other.len())
    }

    fn unlink_file_at(&mut self, _: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.read_only(path.len())
    }

    fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.owe(0)?;
        let stat = |rep| match self.0.table.entry(rep) {
            Ok(OpenResource::Open(open)) => open.stat().ok(),
            _ => None,
        };
        let same = |(a, b): (Stat, Stat)| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        Ok(stat(a.rep()).zip(stat(b.rep())).is_some_and(same))
    }

    fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let open = self.open(&fd, 0)?;
        Ok(hash(&open.stat().map_err(failed)?))
    }

    fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let open = self.open(&fd, path.len())?;
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        Ok(hash(&open.stat_at(&path, follow).map_err(failed)?))
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.remove(fd.rep());
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for Files<'_> {
    fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.charge(0)?;
        match self.0.table.entry_mut(stream.rep()).map_err(FsError::trap)? {
            OpenResource::Listing(listed) => Ok(listed.entries.pop()),
            _ => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.remove(stream.rep());
        Ok(())
    }
}
