//! What the grid is, and how else to reach it.

use wasmgrid_pages::{Guest, plain::About};

use crate::{access::Access, app::App};

/// The page.
pub fn about(app: &App, access: &Access) -> About {
    let site = &app.site;
    let tenant = Guest::new(&*access.act_for.tenant);
    About {
        version: env!("CARGO_PKG_VERSION").into(),
        scheduler_version: site.scheduler_version.clone(),
        base: site.base.clone(),
        facts: vec![("grid", Guest::new(site.grid.as_str())), ("tenant", tenant)],
    }
}
