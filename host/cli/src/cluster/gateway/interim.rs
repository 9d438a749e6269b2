//! Stands in for the grid's own keys until the scheduler has them: one key for whoever may read the
//! folder of the grid or of the context. This file goes when `Client::check_key` comes.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use wasmgrid_client::ClientError;
use wasmgrid_gateway::{ActFor, CheckedKey, KeyText};
use wasmgrid_net::{Identity, NetError, Role};

use crate::private;

/// The file with the key.
const FILE: &str = "http.key";

/// One key.
pub struct Keys {
    key: KeyText,
    act_for: ActFor,
}

impl Keys {
    /// Reads the key of a folder; makes it if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has no key.
    pub fn open(folder: &Path, act_for: ActFor) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let shown = || format!("failed to keep the key for HTTP in {}", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = make().with_context(shown)?;
                private::write(&path, &made).with_context(shown)?;
                made
            }
            Err(error) => return Err(error).with_context(shown),
        };
        let key = KeyText::parse(text.trim()).context("it is no key").with_context(shown)?;
        Ok(Self { key, act_for })
    }

    /// Whose key this is.
    pub fn check(&self, key: &KeyText) -> Option<CheckedKey> {
        let good =
            || CheckedKey { id: key.id.clone(), act_for: self.act_for.clone(), expires: None };
        (*key == self.key).then(good)
    }
}

fn make() -> io::Result<String> {
    let mut bytes = [0; 40];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    let (id, secret) = bytes.split_at(8);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("wgk1_{id}_{}\n", URL_SAFE_NO_PAD.encode(secret)))
}

/// This machine's operator.
pub fn operator() -> ActFor {
    ActFor { tenant: "local".into(), role: Role::Operator, name: "local".into() }
}

/// What a member may do by itself.
pub fn of_identity(identity: &Identity) -> ActFor {
    let name = identity.name().to_owned();
    ActFor { tenant: name.clone(), role: identity.role(), name }
}

/// The member that acts so: its tenant has its name.
///
/// # Errors
/// If the name cannot stand in an identity.
pub fn identity(scheduler: &Identity, act_for: &ActFor) -> Result<Identity, ClientError> {
    let ActFor { tenant, role, .. } = act_for;
    let identity = Identity::new(scheduler.grid(), *role, tenant).map_err(NetError::from);
    identity.map_err(ClientError::Unreachable)
}
