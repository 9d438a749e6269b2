//! What all host functions do: they are called with the engine's store, pay for the call, and name
//! resources.

use wasmtime::{AsContext, StoreContextMut, component::Resource};

use super::{state::HostState, table};

/// The version our WASI interfaces carry; the engine links every 0.2 version to it.
macro_rules! wasi {
    ($name:literal) => {
        concat!("wasi:", $name, "@0.2.12")
    };
}
pub(crate) use wasi;

/// Fuel of every host call, beside one for each byte that it moves. A call takes about 85 ns, in
/// which plain code uses about 200.
pub(super) const CALL_FUEL: u64 = 200;

/// The store of the engine, as a host function sees it.
pub(crate) type Caller<'a> = StoreContextMut<'a, HostState>;

/// What a host function returns; an error ends the task.
pub(crate) type HostResult<T = ()> = wasmtime::Result<T>;

/// Takes the fuel of a call that moves `bytes`.
///
/// # Errors
/// `limit(fuel)`, where there is less.
pub(super) fn charge(store: &mut Caller<'_>, bytes: usize) -> HostResult {
    take_fuel(store, CALL_FUEL.saturating_add(bytes as u64))
}

pub(super) fn take_fuel(store: &mut Caller<'_>, cost: u64) -> HostResult {
    let owed = std::mem::take(&mut store.data_mut().owed_fuel);
    let cost = owed.saturating_add(cost);
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(cost))?;
    store.data().control.fuel(spent(&*store));
    if left < cost {
        return Err(wasmtime::Trap::OutOfFuel.into());
    }
    Ok(())
}

/// Fuel that the task has used. Compiled code counts in a register and writes that down where it
/// calls and returns: of a task that is stopped inside a loop, what the loop used is not in it.
pub(crate) fn spent(store: impl AsContext<Data = HostState>) -> u64 {
    let store = store.as_context();
    let state = store.data();
    let left = store.get_fuel().unwrap_or_default().saturating_sub(state.owed_fuel);
    state.limits().fuel.0.saturating_sub(left)
}

/// Lends `field` out of the state, so that it can be filled from the guest's memory, which is
/// borrowed together with the state.
pub(super) fn lend<T: Default>(
    store: &mut Caller<'_>,
    field: fn(&mut HostState) -> &mut T,
    fill: impl FnOnce(&mut T, &Caller<'_>),
) {
    let mut lent = std::mem::take(field(store.data_mut()));
    fill(&mut lent, store);
    *field(store.data_mut()) = lent;
}

/// Names a new resource of the guest's.
pub(super) fn push<R: 'static>(
    store: &mut Caller<'_>,
    entry: table::OpenResource,
) -> HostResult<Resource<R>> {
    let rep = store.data_mut().table.push(entry)?;
    Ok(Resource::new_own(rep))
}

/// The destructor of all resources: a call like any other.
pub(super) fn drop_resource(mut store: Caller<'_>, rep: u32) -> HostResult {
    charge(&mut store, 0)?;
    store.data_mut().table.remove(rep);
    Ok(())
}
