//! No capabilities, and an empty bounding set, so that none can be had again.

use std::io;

use caps::{CapSet, errors::CapsError};

/// The highest capability that a kernel could know: sets have 64 bits.
const HIGHEST: libc::c_ulong = 63;

/// Empties the bounding set, as far as there is a right to. Where there never was one, nothing is
/// lost: then no capability can be had but by a change of user, which `no_new_privs` forbids.
pub(super) fn empty_bounding_set() -> io::Result<()> {
    if !has(caps::Capability::CAP_SETPCAP)? {
        return if has_any()? { Err(io::Error::from_raw_os_error(libc::EPERM)) } else { Ok(()) };
    }
    for capability in 0..=HIGHEST {
        // SAFETY: this call takes numbers alone.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            // The first that this kernel does not know.
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Drops what there is.
pub(super) fn drop_all() -> io::Result<()> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Permitted] {
        // The effective ones go with the permitted.
        caps::clear(None, set).map_err(failed)?;
    }
    if has_any()? { Err(io::Error::other("some capability is left")) } else { Ok(()) }
}

fn has(capability: caps::Capability) -> io::Result<bool> {
    caps::has_cap(None, CapSet::Effective, capability).map_err(failed)
}

fn has_any() -> io::Result<bool> {
    Ok(!caps::read(None, CapSet::Permitted).map_err(failed)?.is_empty())
}

fn failed(error: CapsError) -> io::Error {
    io::Error::other(error.to_string())
}
