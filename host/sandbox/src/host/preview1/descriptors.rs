//! What a program has open, by its numbers: 0 to 2 are its input, output and log, the granted
//! directories follow in the order of the grants, and what it opens itself has the lowest number
//! that is free.

use wasmgrid_proto::Grant;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorType, DirectoryEntry};

use super::errno::Errno;
use crate::{
    host::{
        Table,
        open::{self, Open},
    },
    stop::Stop,
};

/// What stands behind a number.
#[derive(Debug)]
pub(super) enum Descriptor {
    Stdin,
    Stdout,
    Stderr,
    Directory(Directory),
    File(File),
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) open: Open,
    /// The name that the job gave it, if it was granted.
    pub(super) granted_as: Option<String>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) open: Open,
    pub(super) position: u64,
    /// What the program set, which changes nothing: files are only read, and never wait.
    pub(super) flags: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Descriptors {
    table: Table<Descriptor>,
    /// The directory that was listed last: one is kept, since each may be long.
    pub(super) listing: Option<Listing>,
}

/// The entries of a directory as they were when its reading began.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) fd: u32,
    /// In order.
    pub(super) entries: Vec<DirectoryEntry>,
}

impl Descriptors {
    pub(super) fn new(grants: &[Grant]) -> Result<Self, Stop> {
        let mut table = Table::default();
        for stream in [Descriptor::Stdin, Descriptor::Stdout, Descriptor::Stderr] {
            table.push(stream)?;
        }
        for granted in open::granted(grants) {
            let (open, name) = granted?;
            let granted_as = Some(name.to_owned());
            table.push(Descriptor::Directory(Directory { open, granted_as }))?;
        }
        Ok(Self { table, listing: None })
    }

    /// Gives what was opened with these flags a number.
    pub(super) fn push(&mut self, open: Open, flags: u32) -> Result<u32, Stop> {
        self.table.push(if open.kind == DescriptorType::Directory {
            Descriptor::Directory(Directory { open, granted_as: None })
        } else {
            Descriptor::File(File { open, position: 0, flags })
        })
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.table.get(fd).ok_or(Errno::BADF)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.table.get_mut(fd).ok_or(Errno::BADF)
    }

    pub(super) fn file(&self, fd: u32) -> Result<&File, Errno> {
        match self.get(fd)? {
            Descriptor::File(file) => Ok(file),
            _ => Err(Errno::BADF),
        }
    }

    /// The file, which has a place that it is read at.
    pub(super) fn seekable(&mut self, fd: u32) -> Result<&mut File, Errno> {
        match self.get_mut(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Stdin | Descriptor::Stdout | Descriptor::Stderr => Err(Errno::SPIPE),
            Descriptor::Directory(_) => Err(Errno::BADF),
        }
    }

    pub(super) fn directory(&self, fd: u32) -> Result<&Directory, Errno> {
        match self.get(fd)? {
            Descriptor::Directory(directory) => Ok(directory),
            _ => Err(Errno::BADF),
        }
    }

    /// A file or a directory.
    pub(super) fn open(&self, fd: u32) -> Result<&Open, Errno> {
        match self.get(fd)? {
            Descriptor::Directory(directory) => Ok(&directory.open),
            Descriptor::File(file) => Ok(&file.open),
            _ => Err(Errno::BADF),
        }
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.forget(fd);
        self.table.remove(fd).map(drop).ok_or(Errno::BADF)
    }

    /// Makes `to` what `from` was, in place of what it was.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(());
        }
        self.forget(from);
        self.forget(to);
        if let Some(moved) = self.table.remove(from)
            && let Some(place) = self.table.get_mut(to)
        {
            *place = moved;
        }
        Ok(())
    }

    /// Drops what was listed of a directory that will be something else.
    fn forget(&mut self, fd: u32) {
        self.listing.take_if(|listing| listing.fd == fd);
    }
}
