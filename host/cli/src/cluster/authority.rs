//! `wasmgrid authority show|replace|retire`: who signs the certificates of a grid's members.

use serde::Serialize;
use wasmgrid_net::{Role, Validity};
use wasmgrid_proto::wire::{AuthorityStatus, MemberCertificate, SignedBy};

use super::{with, with_cluster};
use crate::{
    args::{AskArgs, AuthorityCommand, Format},
    exit::Exit,
    print::{data, message},
    table,
};

/// Does what was asked of the authority.
///
/// # Errors
/// Where the cluster cannot be reached, or does not do it.
pub async fn authority(command: AuthorityCommand) -> anyhow::Result<Exit> {
    match command {
        AuthorityCommand::Show { ask: AskArgs { grid, output } } => {
            let status = with(&grid, async |client| Ok(client.authority().await?)).await?;
            show(&status, output)?;
        }
        AuthorityCommand::Replace { grid } => {
            let status = with_cluster(&grid, async |cluster| {
                cluster.client.replace_authority().await?;
                cluster.renew().await?;
                Ok(cluster.client.authority().await?)
            })
            .await?;
            let until = status.former.map(|former| former.ends.to_string()).unwrap_or_default();
            message!(
                "the grid has a new authority; the former one stays trusted until {until}, or \
                 until `wasmgrid authority retire`: `wasmgrid authority show` says who needs it"
            );
        }
        AuthorityCommand::Retire { force, grid } => {
            with_cluster(&grid, async |cluster| {
                // Else whoever asks could be out with the others.
                if cluster.is_due() {
                    cluster.renew().await?;
                }
                Ok(cluster.client.retire_authority(force).await?)
            })
            .await?;
            message!("the former authority is no longer trusted");
        }
    }
    Ok(Exit::Ok)
}

/// What is printed with `--output json`: a public interface.
#[derive(Serialize)]
struct AuthorityView {
    /// BLAKE3 of its certificate.
    fingerprint: String,
    ends_at_us: u64,
    /// The one before it, while that is trusted too.
    former: Option<FormerView>,
    certificates: Vec<MemberView>,
}

#[derive(Serialize)]
struct FormerView {
    fingerprint: String,
    ends_at_us: u64,
    /// Members whose certificates it signed, which have not ended.
    members: usize,
}

#[derive(Serialize)]
struct MemberView {
    role: Role,
    name: String,
    ends_at_us: u64,
    /// It should have been renewed, and was not.
    ends_soon: bool,
    /// Which authority signed it: `current`, `former` or `retired`.
    signed_by: SignedBy,
}

fn show(status: &AuthorityStatus, output: Format) -> anyhow::Result<()> {
    let AuthorityStatus { fingerprint, ends, former, certificates, .. } = status;
    let now = table::now();
    let stays = |one: &&MemberCertificate| one.signed_by == SignedBy::Former && one.ends > now;
    let stay = certificates.iter().filter(stays).count();
    if output == Format::Json {
        let member = |one: &MemberCertificate| MemberView {
            role: one.role,
            name: one.name.clone(),
            ends_at_us: one.ends.0,
            ends_soon: validity(one).warn_at() <= now,
            signed_by: one.signed_by,
        };
        return table::json(&AuthorityView {
            fingerprint: hex(fingerprint),
            ends_at_us: ends.0,
            former: former.map(|former| FormerView {
                fingerprint: hex(&former.fingerprint),
                ends_at_us: former.ends.0,
                members: stay,
            }),
            certificates: certificates.iter().map(member).collect(),
        });
    }
    let former = former.map(|former| {
        let whom = match stay {
            0 => "no member needs it".into(),
            1 => "1 member has a certificate of it".into(),
            many => format!("{many} members have certificates of it"),
        };
        format!("{}, until {}; {whom}", hex(&former.fingerprint), former.ends)
    });
    table::fields([
        ("authority", hex(fingerprint)),
        ("ends", ends.to_string()),
        ("former", former.unwrap_or_else(|| "none".into())),
    ])?;
    data!("")?;
    let row = |one: &MemberCertificate| {
        let authority = match one.signed_by {
            SignedBy::Current => "",
            SignedBy::Former => "former",
            SignedBy::Retired => "retired",
        };
        [one.role.to_string(), one.name.clone(), table::left(&validity(one)), authority.to_owned()]
    };
    Ok(table::rows(["ROLE", "NAME", "CERTIFICATE", "AUTHORITY"], certificates.iter().map(row))?)
}

/// For how long a member's certificate is good.
pub fn validity(certificate: &MemberCertificate) -> Validity {
    Validity { issued: certificate.issued, ends: certificate.ends }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
