//! `wasi:random`: a task's [randomness](super::random), as components call it.

use wasmtime::component::Linker;

use super::{
    Caller, HostResult, HostState, charge,
    random::{Random, Source, check_request},
    wasi,
};

/// Which of the two streams a function reads.
type Pick = fn(&mut Random) -> &mut Source;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let secure: Pick = |random| &mut random.secure;
    let insecure: Pick = |random| &mut random.insecure;
    let names = ["get-random-bytes", "get-random-u64"];
    link_source(linker, wasi!("random/random"), names, secure)?;
    let names = ["get-insecure-random-bytes", "get-insecure-random-u64"];
    link_source(linker, wasi!("random/insecure"), names, insecure)?;

    let mut seed = linker.instance(wasi!("random/insecure-seed"))?;
    seed.func_wrap("insecure-seed", |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 16)?;
        Ok((store.data_mut().random().insecure_seed,))
    })
}

fn link_source(
    linker: &mut Linker<HostState>,
    interface: &str,
    [bytes, number]: [&str; 2],
    pick: Pick,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(interface)?;
    instance.func_wrap(bytes, move |mut store: Caller<'_>, (length,): (u64,)| {
        Ok((random_bytes(&mut store, length, pick)?,))
    })?;
    instance.func_wrap(number, move |mut store: Caller<'_>, (): ()| {
        charge(&mut store, 8)?;
        let mut buffer = [0; 8];
        pick(store.data_mut().random()).fill(&mut buffer)?;
        Ok((u64::from_le_bytes(buffer),))
    })
}

fn random_bytes(store: &mut Caller<'_>, length: u64, pick: Pick) -> HostResult<Vec<u8>> {
    check_request(length)?;
    let length = usize::try_from(length)?;
    charge(store, length)?;
    let mut buffer = vec![0; length];
    pick(store.data_mut().random()).fill(&mut buffer)?;
    Ok(buffer)
}
