//! Bugs that were planted, and within how many seeds each is caught.

use wasmgrid_core::{GridConfig, Planted};
use wasmgrid_sim::{DriverBug, Options, run};

/// Seeds within which a bug must show: a quarter of those of every change.
const WITHIN: u64 = 500;

/// Runs seeds until one breaks one of these invariants.
fn catch(bug: &str, options: &Options, invariants: &[&str]) {
    for seed in 0..WITHIN {
        if let Err(violation) = run(seed, options).result {
            println!("{bug}: caught by seed {seed}, the {}th: {}", seed + 1, violation.invariant);
            assert!(invariants.contains(&violation.invariant), "{bug}: {violation:?}");
            return;
        }
    }
    panic!("{bug} was not caught within {WITHIN} seeds");
}

fn catch_planted(bug: Planted, invariants: &[&str]) {
    let base = GridConfig { planted: Some(bug), ..GridConfig::default() };
    catch(&format!("{bug:?}"), &Options { base, ..Options::default() }, invariants);
}

fn catch_driver(bug: DriverBug, invariants: &[&str]) {
    let options = Options { bug: Some(bug), ..Options::default() };
    catch(&format!("{bug:?}"), &options, invariants);
}

#[test]
fn a_commit_without_its_lease_is_caught() {
    catch_planted(
        Planted::NoFencing,
        &[
            "at most one result of a task is committed",
            "the committing lease is the newest",
            "parts sum to the whole",
            "each attempt counts once",
        ],
    );
}

#[test]
fn lease_numbers_that_repeat_after_a_restart_are_caught() {
    catch_planted(Planted::LostLeaseCounter, &["leases only grow"]);
}

#[test]
fn a_commit_after_a_cancel_is_caught() {
    catch_planted(Planted::CommitAfterCancel, &["nothing commits after a cancel or the job's end"]);
}

#[test]
fn a_task_that_is_not_queued_again_is_caught() {
    catch_planted(
        Planted::NoRequeue,
        &["with faults off every task ends and every client gets its end"],
    );
}

#[test]
fn a_lost_host_that_counts_twice_is_caught() {
    catch_planted(Planted::DoubleHostLoss, &["each attempt counts once"]);
}

#[test]
fn an_adoption_of_what_is_stale_is_caught() {
    catch_planted(
        Planted::StaleAdoption,
        &["the committing lease is the newest", "each attempt counts once"],
    );
}

#[test]
fn a_suspect_among_others_is_caught() {
    catch_planted(Planted::SuspectInCompany, &["a suspect runs alone"]);
}

#[test]
fn an_extend_that_counts_twice_is_caught() {
    catch_planted(Planted::RepeatedExtend, &["each extend counts once"]);
}

#[test]
fn a_call_that_counts_twice_is_caught() {
    catch_planted(Planted::RepeatedCall, &["each call counts once"]);
}

#[test]
fn a_retry_of_more_than_what_failed_is_caught() {
    catch_planted(Planted::RetryOfAll, &["a retry runs what did not end ok, and nothing else"]);
}

#[test]
fn an_answer_before_the_sync_is_caught() {
    catch_driver(
        DriverBug::AckBeforeSync,
        &[
            "what was acknowledged is durable",
            "no acknowledged submit or append is lost",
            "an acknowledged cancel is durable",
            "a committed result never changes",
            "a job's end never changes",
            "a key makes one job",
            "no acknowledged submit is lost",
        ],
    );
}

#[test]
fn a_scheduler_that_trusts_its_machines_clock_is_caught() {
    catch_driver(
        DriverBug::TrustsTheClock,
        &["what is kept for a time is kept for all of it", "a deadline passes after its time"],
    );
}

#[test]
fn an_audit_log_that_is_written_beside_the_journal_is_caught() {
    catch_driver(DriverBug::AuditApart, &["each act of an operator is in the audit log once"]);
}

#[test]
fn a_cursor_that_is_off_by_one_is_caught() {
    catch_driver(
        DriverBug::CursorOffByOne,
        &[
            "a committed result never changes",
            "a stream is the committed log, without gap and without repeat",
        ],
    );
}

#[test]
fn a_lease_of_an_input_that_was_lost_is_caught() {
    catch_planted(Planted::LeaseOfLostInput, &["a result is of the input that is under its index"]);
}

#[test]
fn a_lost_attempt_that_goes_back_is_caught() {
    catch_planted(
        Planted::LostToTheSame,
        &["a lost attempt goes to another worker, if there is one"],
    );
}

#[test]
fn a_claim_that_is_believed_without_a_proof_is_caught() {
    catch_planted(
        Planted::UnprovedLease,
        &["the committing lease is the newest", "a result is of the input that is under its index"],
    );
}

#[test]
fn a_result_that_is_discarded_and_counted_is_caught() {
    catch_planted(Planted::LateUsage, &["usage is what committed results took"]);
}

#[test]
fn a_lease_without_an_end_is_caught() {
    catch_planted(
        Planted::EndlessLease,
        &["with faults off every task ends and every client gets its end"],
    );
}
