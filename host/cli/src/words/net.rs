//! What helps where there is no link, or no identity for one.

use wasmgrid_net::{CertificateProblem, NetError, TokenError};

use super::{RETURN, advice as of_reason};

/// What helps after a dial that failed, or a grid that let nobody in.
pub fn advice(error: &NetError) -> Option<String> {
    match error.telling() {
        NetError::Denied { error, .. } => of_reason(&error.reason),
        NetError::Refused { problem: CertificateProblem::Expired, .. } => Some(
            "`wasmgrid join` for a worker or a gateway, `wasmgrid context add` for a context"
                .into(),
        ),
        NetError::Refused { problem: CertificateProblem::Removed(_), .. } => Some(RETURN.into()),
        NetError::BadCertificate { problem: CertificateProblem::WrongToken, .. } => {
            Some("make a new one with `wasmgrid token create`".into())
        }
        NetError::Token(error) => token(error),
        _ => None,
    }
}

/// What helps who has no token.
pub fn token(error: &TokenError) -> Option<String> {
    match error {
        TokenError::Prefix => Some("create one with `wasmgrid token create`".into()),
        TokenError::Damaged => None,
    }
}
