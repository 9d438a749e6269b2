//! Keys and browsers' sessions.

use wasmgrid_pages::{
    Guest,
    keys::{KeyRow, Keys},
};
use wasmgrid_proto::{KeyKind, KeyStatus, Micros};

use crate::{access::Access, clock::now, extract::ask, problem::Problem};

/// Keys of a page.
const PAGE: usize = 200;

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// The page: keys that are good first, the newest first.
pub async fn keys(access: &Access, cursor: &str) -> Result<Keys, Problem> {
    let now = now();
    let mut all = ask(access.client.keys()).await?;
    let is_over =
        |key: &KeyStatus| key.revoked || key.expires.is_some_and(|expires| expires <= now);
    all.sort_by_key(|key| (is_over(key), std::cmp::Reverse(key.created)));
    let from = cursor.parse::<usize>().unwrap_or_default();
    let next = from.saturating_add(PAGE);
    let is_more = all.len() > next;
    let rows = all.iter().skip(from).take(PAGE).map(row).collect();
    Ok(Keys { now, rows, next: is_more.then(|| next.to_string()) })
}

fn row(key: &KeyStatus) -> KeyRow {
    KeyRow {
        id: key.id.to_string(),
        name: Guest::new(&*key.name),
        tenant: Guest::new(&*key.tenant),
        role: key.role,
        is_session: key.kind == KeyKind::Session,
        created_at: key.created,
        expires_at: key.expires,
        last_used: key.last_used_day.map(|day| Micros(day.saturating_mul(DAY_US))),
        revoked: key.revoked,
    }
}
