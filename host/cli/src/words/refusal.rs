//! What helps where a module, or a job with it, is refused, and what a task is given for an import.

use wasmgrid_proto::{GrantFault, Refusal};
use wasmgrid_worker::sandbox::admit::Access;

/// What helps who has a command line; nothing where the refusal says all there is.
pub fn advice(refusal: &Refusal) -> Option<String> {
    Some(match refusal {
        Refusal::Cap { raised_by: Some(cap), .. } => format!(
            "or raise it with `--cap {cap}=VALUE` for every part that checks the module: run or \
             submit, the scheduler, the workers"
        ),
        Refusal::ValueUnused { .. } => {
            "leave out --with (a task of the SDK takes a value as its second parameter, a command reads \
             its arguments)"
                .into()
        }
        Refusal::ValueMissing => "give one with `--with JSON` or `--with @FILE`".into(),
        Refusal::GrantUnused { grant, .. } => format!("leave out `--allow {grant}`"),
        Refusal::Grant { fault: GrantFault::NotAllowed { path }, .. } => {
            format!("its operator must start it with --allow-dir {path}")
        }
        Refusal::CompileTime { .. } => "that is --compile-time".into(),
        Refusal::CompileMemory { .. } => "that is --compile-memory".into(),
        _ => return None,
    })
}

/// What a task is given for an import.
pub fn access(access: &Access) -> String {
    match access {
        Access::Given => "always given".into(),
        Access::Nothing => "always given, but empty".into(),
        Access::Empty { grant } => format!("given, but empty without `--allow {grant}`"),
        Access::Simulated { grant } => {
            format!("given, the same on each run until `--allow {grant}`")
        }
        Access::Granted(_) => {
            let flags: Vec<_> =
                access.grants().iter().map(|grant| format!("`--allow {grant}`")).collect();
            format!("granted by {}", flags.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Grant;

    use super::*;

    #[test]
    fn an_access_is_worded_with_the_flag_that_changes_it() {
        let empty = access(&Access::Empty { grant: "env:NAME=VALUE" });
        assert!(empty.contains("`--allow env:NAME=VALUE`"), "{empty}");
        let simulated = access(&Access::Simulated { grant: "clock" });
        assert!(simulated.contains("the same on each run until `--allow clock`"), "{simulated}");
        let granted = access(&Access::Granted(vec![Grant::Clock]));
        assert_eq!(granted, "granted by `--allow clock`");
    }

    #[test]
    fn a_cap_that_can_be_raised_is_refused_with_its_flag() {
        let over = |raised_by: Option<&str>| Refusal::Cap {
            what: "the number of functions".into(),
            offset: 7,
            found: "9".into(),
            allowed: "8".into(),
            remedy: "split the module".into(),
            raised_by: raised_by.map(Into::into),
        };
        let raised = advice(&over(Some("functions"))).expect("a flag");
        assert!(raised.contains("`--cap functions=VALUE`"), "{raised}");
        let highest = over(None);
        assert_eq!(advice(&highest), None);
        assert!(highest.to_string().ends_with("split the module; it cannot be raised"));
    }
}
