//! Who speaks on a link: its peer, or, if that is a gateway which acts for somebody, the holder of the
//! key that the gateway was shown. Everything that a request may do and counts for goes by this; only
//! certificates are the peer's own.

use wasmgrid_net::{ActFor, Peer};
use wasmgrid_proto::{Caller, Reason, text::Name, wire::Role};

use crate::members::Members;

/// Who asks on a link of this peer. A member that is no gateway asks for itself, whatever it says.
pub(crate) fn caller(peer: &Peer, members: &Members) -> Caller {
    let identity = &peer.identity;
    let serial = peer.certificate.as_ref().map(|one| Name::from(one.serial.as_str()));
    let own_name = Name::from(identity.name());
    match peer.act_for().filter(|_| identity.role() == Role::Gateway) {
        Some(ActFor { tenant, role, name }) => {
            Caller { role, name, tenant, serial, gateway: Some(own_name) }
        }
        None => {
            let (role, tenant) = (identity.role(), members.tenant(identity).into());
            Caller { role, name: own_name, tenant, serial, gateway: None }
        }
    }
}

/// Why a peer may not say what it says of itself; `None` if it may.
pub(super) fn impostor(peer: &Peer) -> Option<Reason> {
    let (role, name) = (peer.identity.role(), peer.identity.name().into());
    peer.is_impostor().then_some(Reason::NoGateway { role, name })
}
