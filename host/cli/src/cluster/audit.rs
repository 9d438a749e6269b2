//! `wasmgrid audit`: what operators did, and what others were refused.

use wasmgrid_proto::{AuditEntry, AuditRecord};
use wasmgrid_views::AuditView;

use super::with;
use crate::{
    args::{AskArgs, AuditArgs, Format},
    escape::{Lines, Outside},
    exit::Exit,
    print, table,
};

/// Prints the log a page at a time: it may be long.
///
/// # Errors
/// If the cluster cannot be reached, the role does not allow it, or stdout cannot be written.
pub async fn audit(args: AuditArgs) -> anyhow::Result<Exit> {
    let AuditArgs { since, who, ask: AskArgs { grid, output } } = args;
    let since = since.map(|since| since.date(table::now()));
    with(&grid, async |client| {
        let mut next = Some(0);
        while let Some(after) = next {
            let (entries, behind) = client.audit(after, since, who.as_deref()).await?;
            match output {
                Format::Text => text(&entries, after == 0)?,
                Format::Json => json(&entries)?,
            }
            next = behind;
        }
        Ok(())
    })
    .await?;
    Ok(Exit::Ok)
}

fn json(entries: &[AuditEntry]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for entry in entries {
        lines += &serde_json::to_string(&AuditView::from(entry))?;
        lines.push('\n');
    }
    Ok(print::exactly(&lines)?)
}

/// Columns have fixed widths: what comes on later pages is not known yet.
fn text(entries: &[AuditEntry], is_first: bool) -> anyhow::Result<()> {
    let mut lines = Lines::default();
    let heading = ["TIME", "WHO", "ACTION", "OBJECT", "OUTCOME", "PARAMETERS"].map(String::from);
    for cells in is_first.then_some(heading).into_iter().chain(entries.iter().map(row)) {
        let [time, who, action, object, outcome, parameters] = cells;
        let line = format!(
            "{time:<20}  {who:<20}  {action:<17}  {object:<24}  {outcome:<16}  {parameters}"
        );
        lines.push(line.trim_end());
    }
    Ok(print::lines(&lines)?)
}

/// The caller, and the gateway by way of which it asked.
fn who(record: &AuditRecord) -> String {
    let by = format!("{} {}", record.by.role, record.by.name);
    match record.gateway() {
        Some(gateway) => format!("{by} via {gateway}"),
        None => by,
    }
}

fn row(AuditEntry { record, .. }: &AuditEntry) -> [String; 6] {
    let AuditRecord { at, act, outcome, count, .. } = record;
    let object = &act.object;
    let words =
        [&object.kind, &object.id, &object.name].into_iter().filter(|word| !word.is_empty());
    let words: Vec<&str> = words.map(|word| &**word).collect();
    let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    [
        at.to_string(),
        who(record),
        act.action.to_string(),
        words.join(" "),
        format!("{outcome}{times}"),
        act.parameters.to_string(),
    ]
    .map(|cell| Outside::new(cell).line())
}
