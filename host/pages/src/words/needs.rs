//! What needs somebody, with what helps.

use wasmgrid_proto::{
    Attention as Counted, JobId, Micros, Wait, Workers, text::counted, wire::ApiError,
};

use super::remedy;
use crate::{
    Prose, number,
    overview::{Attention, Mark},
    path_part,
};

/// Something that needs somebody, as the overview shows it.
#[must_use]
pub fn needs(counted: &Counted, now: Micros) -> Attention {
    match counted {
        Counted::NoWorker { workers } => no_worker(*workers),
        Counted::Refuses { error } => refuses(error),
        Counted::Gone(workers) => of_workers(
            Mark::Lost,
            workers,
            ("is gone", "are gone"),
            "Check that its machine and the `wasmgrid worker` there run and reach the scheduler. If it \
             will not return: `wasmgrid worker remove NAME`.",
        ),
        Counted::Failing(workers) => of_workers(
            Mark::Failed,
            workers,
            ("cannot run tasks", "cannot run tasks"),
            "The page of the worker and its log say why.",
        ),
        Counted::NotTaking(workers) => of_workers(
            Mark::Waits,
            workers,
            ("takes no new tasks", "take no new tasks"),
            "Somebody meant it so. `wasmgrid worker uncordon NAME` ends that.",
        ),
        Counted::Contested(workers) => of_workers(
            Mark::Lost,
            workers,
            (
                "has an identity that another machine has too",
                "have identities that others have too",
            ),
            "Give the other machine a token of its own: `wasmgrid token create`.",
        ),
        Counted::JailLacks { workers, layers } => jail(workers, layers),
        Counted::Stuck { jobs, count, wait, .. } => stuck(jobs, *count, wait, now),
    }
}

fn no_worker(workers: u64) -> Attention {
    let text = match workers {
        0 => Prose::new("The grid has no worker."),
        workers => {
            Prose::new(&format!("Of {} none takes tasks.", number::counted(workers, "worker")))
        }
    };
    Attention { mark: Mark::Waits, text, help: sentence(&remedy(&Wait::NoWorker)) }
}

fn refuses(error: &ApiError) -> Attention {
    let text = Prose::new("The scheduler takes no new work: ").guest(error.to_string()).say(".");
    Attention { mark: Mark::Lost, text, help: sentence(&remedy(&Wait::DiskFull)) }
}

fn of_workers(
    mark: Mark,
    workers: &Workers,
    (one, more): (&str, &str),
    help: &'static str,
) -> Attention {
    let said = if workers.count == 1 { one } else { more };
    let text = named(Prose::default(), workers).say(&format!(" {said}."));
    Attention { mark, text, help: Prose::new(help) }
}

fn jail(workers: &Workers, layers: &[String]) -> Attention {
    let text = Prose::new("The jail lacks ").code(layers.join(", ")).say(" on ");
    Attention {
        mark: Mark::Lost,
        text: named(text, workers).say("."),
        help: Prose::new("The page of the worker says what helps."),
    }
}

fn stuck(jobs: &[JobId], count: u64, wait: &Wait, now: Micros) -> Attention {
    let text = match jobs {
        [one] if count == 1 => Prose::new("Job ").link(format!("/jobs/{one}"), one.to_string()),
        [one, ..] => Prose::new(&format!("{}, job ", counted(count, "job")))
            .link(format!("/jobs/{one}"), one.to_string())
            .say(" among them,"),
        [] => Prose::new(&counted(count, "job")),
    };
    Attention {
        mark: Mark::Waits,
        text: text.say(" cannot run: ").guest(wait.text(now)).say("."),
        help: sentence(&remedy(wait)),
    }
}

/// The first of some workers, each with its page, and how many others there are.
fn named(mut text: Prose, workers: &Workers) -> Prose {
    for (at, name) in workers.names.iter().enumerate() {
        text = if at > 0 { text.say(", ") } else { text };
        text = text.link(format!("/workers/{}", path_part(name)), name.as_str());
    }
    match workers.count.saturating_sub(workers.names.len() as u64) {
        0 => text,
        others => text.say(&format!(" and {}", number::counted(others, "other"))),
    }
}

/// What the command line says within a line, as a sentence.
fn sentence(text: &str) -> Prose {
    if text.is_empty() { Prose::default() } else { Prose::new(text).sentence() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_named_with_their_pages_and_the_rest_is_counted() {
        let workers = Workers { count: 3, names: vec!["a<b".into(), "c".into()] };
        let Attention { text, .. } = needs(&Counted::Gone(workers), Micros(0));
        let expected = "<a href=\"/workers/a%3Cb\"><bdi>a&lt;b</bdi></a>, <a href=\"/workers/c\">\
                        <bdi>c</bdi></a> and 1 other are gone.";
        assert_eq!(text.to_string(), expected);
    }

    #[test]
    fn a_job_that_cannot_run_has_its_reason_and_its_remedy() {
        let (tenant, jobs) = ("ada".into(), vec![JobId(7)]);
        let stuck = Counted::Stuck { tenant, jobs, count: 1, wait: Wait::NoWorker };
        let Attention { text, help, .. } = needs(&stuck, Micros(0));
        assert!(text.to_string().starts_with("Job <a href=\"/jobs/7\">"), "{text}");
        assert!(help.to_string().contains("wasmgrid token create"), "{help}");
    }
}
