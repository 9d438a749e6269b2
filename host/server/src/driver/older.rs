//! Answers as older clients know them. A role that a release does not know would make a whole answer
//! unreadable to it, so that its lists leave such members out.

use wasmgrid_proto::{
    AuditRecord, Caller,
    text::Name,
    wire::{Reply, Role},
};

/// The first minor version that knows gateways.
const GATEWAYS_SINCE: u16 = 3;

/// An answer as a client reads it that speaks this minor version.
pub(super) fn for_minor(reply: Reply, minor: u16) -> Reply {
    if minor < GATEWAYS_SINCE { without_gateways(reply) } else { reply }
}

fn without_gateways(mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Members { members, .. } => members.retain(|one| one.role != Role::Gateway),
        Reply::Tokens { tokens, .. } => tokens.retain(|one| one.role != Role::Gateway),
        Reply::Authority(status) => {
            status.certificates.retain(|one| one.role != Role::Gateway);
        }
        Reply::AuditPage { entries, .. } => {
            let records = entries.iter_mut().map(|entry| &mut entry.record);
            records.for_each(renamed);
        }
        _ => {}
    }
    reply
}

/// What a gateway did itself stays in the log: as if a client had done it, under a name that none has.
fn renamed(record: &mut AuditRecord) {
    let Caller { role, name, .. } = &mut record.by;
    if *role == Role::Gateway {
        *role = Role::Client;
        *name = Name::from(format!("{}/{name}", Role::Gateway));
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{Act, AuditEntry, Micros};

    use super::*;

    fn page() -> Reply {
        let by = Caller { role: Role::Gateway, name: "gw1".into(), ..Caller::scheduler() };
        let record = AuditRecord::done(Micros(1), Micros(2), by, Act::drain("w1"));
        Reply::AuditPage { entries: vec![AuditEntry { number: 1, record }], next: None }
    }

    #[test]
    fn an_older_client_reads_what_a_gateway_did_under_a_name_that_no_client_has() {
        let Reply::AuditPage { entries, .. } = for_minor(page(), 2) else {
            panic!("another answer")
        };
        let by = &entries[0].record.by;
        assert_eq!((by.role, &*by.name), (Role::Client, "gateway/gw1"));
        assert_eq!(for_minor(page(), 3), page());
    }
}
