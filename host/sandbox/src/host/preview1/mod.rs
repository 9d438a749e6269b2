//! WASI preview 1, for core modules that are commands: each of its functions, on the module's own
//! memory. Nothing of ours lies in that memory, and nothing but the program makes it grow.
//!
//! What a call does and answers is Wasmtime's own preview 1, so that a program ends here as it ends
//! there; what it is given, and what that costs, are the rules that components have too. A pointer
//! out of the memory is a trap, as the definition of preview 1 says.

mod args;
mod clock;
mod descriptors;
mod directory;
mod errno;
mod fd;
mod guest;
mod io;
mod path;
mod poll;
mod process;
mod program;
mod random;
mod record;
mod socket;

use wasmparser::{FuncType, ValType};
use wasmtime::{AsContextMut, Extern, Linker, Memory};

pub(super) use self::program::Preview1;
use self::{
    descriptors::Descriptors,
    errno::{Answer, Fault},
    guest::Guest,
    path::{At, Opening},
};
use super::{HostResult, HostState, charge};
use crate::stop::Stop;

/// The module name of WASI preview 1.
pub(crate) const NAME: &str = "wasi_snapshot_preview1";

/// What a program exports its memory as, if it calls any function of preview 1.
pub(crate) const MEMORY: &str = "memory";

/// The one function that does not return.
const PROC_EXIT: &str = "proc_exit";

impl HostState {
    fn descriptors(&mut self) -> Result<&mut Descriptors, Stop> {
        self.preview1.descriptors(&self.spec.grants)
    }
}

/// A caller, with the program's exports at hand.
type Calling<'a> = wasmtime::Caller<'a, HostState>;

/// What a parameter of a function is in WebAssembly.
trait Parameter {
    const TYPE: ValType;
}

impl Parameter for u32 {
    const TYPE: ValType = ValType::I32;
}

impl Parameter for u64 {
    const TYPE: ValType = ValType::I64;
}

impl Parameter for i64 {
    const TYPE: ValType = ValType::I64;
}

/// Makes of one table what admission checks imports against and what the linker has: all functions
/// but `proc_exit` return an errno.
macro_rules! functions {
    ($guest:ident: $($name:ident($($parameter:ident: $type:ty),*) => $call:expr;)*) => {
        const FUNCTIONS: &[(&str, &[ValType])] =
            &[$((stringify!($name), &[$(<$type as Parameter>::TYPE),*])),*];

        fn link_functions(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
            $(linker.func_wrap(
                NAME,
                stringify!($name),
                |caller: Calling<'_>, $($parameter: $type),*| call(caller, |$guest| $call),
            )?;)*
            Ok(())
        }
    };
}

functions! { guest:
    args_get(pointers: u32, text: u32) => args::get(guest, pointers, text);
    args_sizes_get(count: u32, size: u32) => args::sizes(guest, count, size);
    environ_get(pointers: u32, text: u32) => args::variables(guest, pointers, text);
    environ_sizes_get(count: u32, size: u32) => args::variable_sizes(guest, count, size);
    clock_res_get(id: u32, out: u32) => clock::resolution(guest, id, out);
    clock_time_get(id: u32, _precision: u64, out: u32) => clock::time(guest, id, out);
    fd_advise(fd: u32, _offset: u64, _length: u64, advice: u32) => fd::advise(guest, fd, advice);
    fd_allocate(fd: u32, _offset: u64, _length: u64) => fd::allocate(guest, fd);
    fd_close(fd: u32) => fd::close(guest, fd);
    fd_datasync(fd: u32) => fd::sync(guest, fd);
    fd_fdstat_get(fd: u32, out: u32) => fd::status(guest, fd, out);
    fd_fdstat_set_flags(fd: u32, flags: u32) => fd::set_flags(guest, fd, flags);
    fd_fdstat_set_rights(fd: u32, _base: u64, _inheriting: u64) => fd::set_rights(guest, fd);
    fd_filestat_get(fd: u32, out: u32) => fd::file_status(guest, fd, out);
    fd_filestat_set_size(fd: u32, _size: u64) => fd::set_size(guest, fd);
    fd_filestat_set_times(fd: u32, _access: u64, _modification: u64, flags: u32) =>
        fd::set_times(guest, fd, flags);
    fd_pread(fd: u32, list: u32, count: u32, offset: u64, out: u32) =>
        io::read_at(guest, fd, (list, count), offset, out);
    fd_prestat_get(fd: u32, out: u32) => fd::preopened(guest, fd, out);
    fd_prestat_dir_name(fd: u32, name: u32, length: u32) =>
        fd::preopened_name(guest, fd, name, length);
    fd_pwrite(fd: u32, list: u32, count: u32, _offset: u64, _out: u32) =>
        io::write_at(guest, fd, (list, count));
    fd_read(fd: u32, list: u32, count: u32, out: u32) => io::read(guest, fd, (list, count), out);
    fd_readdir(fd: u32, buffer: u32, length: u32, cookie: u64, out: u32) =>
        directory::read(guest, fd, (buffer, length), cookie, out);
    fd_renumber(from: u32, to: u32) => fd::renumber(guest, from, to);
    fd_seek(fd: u32, offset: i64, whence: u32, out: u32) => fd::seek(guest, fd, offset, whence, out);
    fd_sync(fd: u32) => fd::sync(guest, fd);
    fd_tell(fd: u32, out: u32) => fd::tell(guest, fd, out);
    fd_write(fd: u32, list: u32, count: u32, out: u32) => io::write(guest, fd, (list, count), out);
    path_create_directory(fd: u32, path: u32, length: u32) =>
        path::change(guest, &[fd], &[(path, length)]);
    path_filestat_get(fd: u32, lookup: u32, path: u32, length: u32, out: u32) =>
        path::status(guest, At { fd, lookup, path: (path, length) }, out);
    path_filestat_set_times(
        fd: u32, _lookup: u32, path: u32, length: u32, _access: u64, _modification: u64, flags: u32
    ) => path::set_times(guest, fd, (path, length), flags);
    path_link(
        fd: u32, _lookup: u32, path: u32, length: u32, to: u32, new: u32, new_length: u32
    ) => path::change(guest, &[fd, to], &[(path, length), (new, new_length)]);
    path_open(
        fd: u32, lookup: u32, path: u32, length: u32, how: u32, rights: u64, _inheriting: u64,
        flags: u32, out: u32
    ) => path::open(
        guest, At { fd, lookup, path: (path, length) }, Opening { how, rights, flags }, out
    );
    path_readlink(fd: u32, path: u32, length: u32, buffer: u32, room: u32, out: u32) =>
        path::read_link(guest, fd, (path, length), (buffer, room), out);
    path_remove_directory(fd: u32, path: u32, length: u32) =>
        path::change(guest, &[fd], &[(path, length)]);
    path_rename(fd: u32, path: u32, length: u32, to: u32, new: u32, new_length: u32) =>
        path::change(guest, &[fd, to], &[(path, length), (new, new_length)]);
    path_symlink(path: u32, length: u32, fd: u32, new: u32, new_length: u32) =>
        path::change(guest, &[fd], &[(path, length), (new, new_length)]);
    path_unlink_file(fd: u32, path: u32, length: u32) =>
        path::change(guest, &[fd], &[(path, length)]);
    poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32) =>
        poll::wait(guest, subscriptions, events, count, out);
    proc_raise(_signal: u32) => process::raise(guest);
    random_get(buffer: u32, length: u32) => random::get(guest, buffer, length);
    sched_yield() => process::give_way(guest);
    sock_accept(fd: u32, _flags: u32, _out: u32) => socket::refuse(guest, fd);
    sock_recv(
        fd: u32, _list: u32, _count: u32, _flags: u32, _out: u32, _out_flags: u32
    ) => socket::refuse(guest, fd);
    sock_send(fd: u32, _list: u32, _count: u32, _flags: u32, _out: u32) =>
        socket::refuse(guest, fd);
    sock_shutdown(fd: u32, _how: u32) => socket::refuse(guest, fd);
}

/// Everything a core module can import.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_functions(linker)?;
    linker.func_wrap(NAME, PROC_EXIT, |caller: Calling<'_>, code: u32| {
        process::exit(caller.data(), code)
    })?;
    Ok(())
}

/// The type of a function of preview 1; `None` where there is none of this name.
pub(crate) fn signature(name: &str) -> Option<FuncType> {
    if name == PROC_EXIT {
        return Some(FuncType::new([ValType::I32], []));
    }
    let (_, parameters) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
    Some(FuncType::new(parameters.iter().copied(), [ValType::I32]))
}

/// Does a call, and answers with its errno.
fn call(
    mut caller: Calling<'_>,
    function: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> HostResult<u32> {
    let memory = memory(&mut caller)?;
    let mut store = caller.as_context_mut();
    charge(&mut store, 0)?;
    match function(&mut Guest::new(store, memory)) {
        Ok(()) => Ok(0),
        Err(Fault::Errno(errno)) => Ok(errno.number()),
        Err(Fault::Stop(error)) => Err(error),
    }
}

fn memory(caller: &mut Calling<'_>) -> HostResult<Memory> {
    if let Some(memory) = caller.data().preview1.memory {
        return Ok(memory);
    }
    let memory = caller
        .get_export(MEMORY)
        .and_then(Extern::into_memory)
        .ok_or(Stop::Misuse("the program exports no memory"))?;
    caller.data_mut().preview1.memory = Some(memory);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Module};

    use super::*;
    use crate::{EngineSettings, engine};

    #[test]
    fn every_function_that_admission_lets_in_is_there_with_its_type() {
        let names: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).chain([PROC_EXIT]).collect();
        assert_eq!(names.len(), 46, "as many as preview 1 has");
        let list = |types: &[ValType]| types.iter().map(|ty| format!("{ty} ")).collect::<String>();
        let imports: String = names
            .iter()
            .map(|name| {
                let ty = signature(name).expect("a function");
                let (parameters, results) = (list(ty.params()), list(ty.results()));
                format!(
                    r#"(import "{NAME}" "{name}" (func (param {parameters}) (result {results})))"#
                )
            })
            .collect();
        let config = engine::config(&EngineSettings::default()).expect("settings");
        let engine = Engine::new(&config).expect("an engine");
        let mut linker = Linker::new(&engine);
        link(&mut linker).expect("no name twice");
        let bytes = wat::parse_str(format!("(module {imports})")).expect("the test's text");
        let module = Module::new(&engine, bytes).expect("a module");
        if let Err(error) = linker.instantiate_pre(&module) {
            panic!("{error:#}");
        }
        assert_eq!(signature("proc_fork"), None);
    }
}
