//! What helps where tasks wait.

use wasmgrid_proto::Wait;

/// What would help; empty where waiting does.
pub fn remedy(wait: &Wait) -> String {
    match wait {
        Wait::NoWorker => {
            "add a machine: create a token with `wasmgrid token create`, and use it there with \
             `wasmgrid join TOKEN`"
                .into()
        }
        Wait::Labels { .. } => {
            "start a worker with these labels (`wasmgrid worker --label KEY=VALUE`), or submit \
             the job with other labels"
                .into()
        }
        Wait::Memory { .. } => {
            "submit the job with a lower --memory, or start a larger worker".into()
        }
        Wait::NotTaking { .. } => {
            "uncordon one with `wasmgrid worker uncordon NAME`, or add a machine".into()
        }
        Wait::MemoryTaken { .. } | Wait::Busy { .. } => {
            "it continues when tasks end; more workers make that sooner".into()
        }
        Wait::Share { .. } => {
            "it is served in turn; more workers, or a larger weight for its tenant \
             (`wasmgrid server --tenant-weight NAME=WEIGHT`), make that sooner"
                .into()
        }
        Wait::Priority { .. } => {
            "it is served after them; submit with a higher --priority to go before them".into()
        }
        Wait::Suspects { .. } => "a worker is being emptied for them".into(),
        Wait::OpenInputs => "append more, or close it: `wasmgrid job close JOB`".into(),
        Wait::DiskFull => "free space on the scheduler's disk".into(),
        Wait::Unable { name, .. } => format!(
            "fix what keeps its tasks from starting (see the log of the worker on {name}), or \
             add a machine"
        ),
        Wait::Failing { .. } => {
            "`wasmgrid worker list` says why they fail; the tasks continue elsewhere when a \
             slot is free there"
                .into()
        }
        Wait::Elsewhere { .. } => {
            "they continue when such a worker has a free slot; more workers make that \
             sooner"
                .into()
        }
        Wait::Quota { allowed: 0, .. } => {
            "an operator can allow some: `wasmgrid tenant set`".into()
        }
        Wait::Quota { resource, .. } => {
            format!("{}; an operator can allow more: `wasmgrid tenant set`", resource.remedy())
        }
        Wait::Recovering { .. } | Wait::Paused { .. } | Wait::Ready | Wait::Preparing { .. } => {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::Resource;

    use super::*;

    #[test]
    fn what_an_operator_can_change_is_advised_with_the_command() {
        let quota = Wait::Quota { resource: Resource::Jobs, used: 2, allowed: 2 };
        assert!(remedy(&quota).contains("`wasmgrid tenant set`"));
        assert!(remedy(&Wait::NoWorker).contains("`wasmgrid join TOKEN`"));
        assert_eq!(remedy(&Wait::Ready), "", "waiting helps");
    }
}
