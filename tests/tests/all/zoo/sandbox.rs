//! The zoo through the sandbox's own interface: the way of every worker, without a grid around it.

use wasmgrid_proto::{Limits, Millis, Outcome};
use wasmgrid_sandbox::Isolation;
use wasmgrid_tests::{
    memory_bytes,
    zoo::{self, Attack, Expect, LATE_MS, Used},
};

use super::{
    Fault, assert_none, beside_others,
    cage::{Cage, Ended},
    check_memory,
};

/// Modules that a runner keeps ready; with as many behind it, it does not grow by further ones.
const FILLERS: u32 = 70;

#[test]
fn every_attack_ends_as_its_row_says_in_a_process() {
    let_loose(Isolation::Process);
}

#[test]
fn every_attack_ends_as_its_row_says_in_a_process_of_its_own() {
    let_loose(Isolation::Task);
}

/// Runs every attack behind others, and sees after each that the next task is right and that the
/// runner holds no more than before.
fn let_loose(isolation: Isolation) {
    let _others = beside_others();
    let mut cage = Cage::new(isolation);
    for number in 0..FILLERS {
        let ended = cage.run(zoo::filler(number), b"", Limits::default(), &[]);
        assert_eq!(ended.outcome, Outcome::Ok);
    }
    let mut baseline: u64 = cage.processes().into_iter().map(memory_bytes).sum();
    let mut faults = Vec::new();
    for attack in zoo::attacks() {
        faults.extend(run(&mut cage, &attack));
        if isolation == Isolation::Process {
            // Where tasks run makes no difference to it.
            faults.extend(run_unseen(&cage, &attack));
        }
        assert_next_is_right(&mut cage, attack.name);
        let left = check_memory(&mut baseline, || cage.processes());
        faults.extend(left.map(|fault| (attack.name.to_owned(), fault)));
    }
    cage.shutdown();
    assert_none(&faults);
}

#[test]
fn every_attack_ends_as_its_row_says_in_a_thread() {
    let _others = beside_others();
    let mut cage = Cage::new(Isolation::InProcess);
    let mut faults = Vec::new();
    for attack in zoo::attacks() {
        faults.extend(run(&mut cage, &attack));
        assert_next_is_right(&mut cage, attack.name);
    }
    cage.shutdown();
    assert_none(&faults);
}

fn run(cage: &mut Cage, attack: &Attack) -> Option<Fault> {
    let ended = cage.run((attack.module)(), attack.input, attack.limits, &attack.grants);
    let fault = attack.expect.judge(&ended.outcome).or_else(|| judge_rest(attack, &ended));
    fault.map(|fault| (attack.name.to_owned(), fault))
}

fn judge_rest(attack: &Attack, ended: &Ended) -> Option<String> {
    if let Expect::Ok { output, log_kept, log_dropped } = &attack.expect {
        let expected = (output, log_kept, log_dropped);
        let found = (&ended.output, &ended.log_kept, &ended.log_dropped);
        return (expected != found).then(|| {
            let (output, kept, dropped) = found;
            let shown = String::from_utf8_lossy(output);
            format!("expected {:?}, and got {shown:?}, log {kept} + {dropped}", attack.expect)
        });
    }
    if let Expect::Limit { used: Used::InTime, allowed, .. } = &attack.expect {
        let most = Millis(allowed + LATE_MS).0 * 1_000;
        let wall_us = ended.usage.wall_us;
        return (wall_us > most).then(|| format!("it lived for {wall_us} us"));
    }
    None
}

/// What a worker makes of an attack that nobody has looked at before: the same refusal.
fn run_unseen(cage: &Cage, attack: &Attack) -> Option<Fault> {
    let Expect::Refused(_) = attack.expect else { return None };
    if !attack.grants.is_empty() {
        // It is the job that was refused, not the module.
        return None;
    }
    let fault = match cage.prepare_unseen((attack.module)()) {
        Some(outcome) => attack.expect.judge(&outcome),
        None => Some("a compiler took it".into()),
    };
    fault.map(|fault| (format!("{} (unseen)", attack.name), fault))
}

#[track_caller]
fn assert_next_is_right(cage: &mut Cage, after: &str) {
    let input = format!("after {after}");
    let ended = cage.run(zoo::echo(), input.as_bytes(), Limits::default(), &[]);
    assert_eq!(ended.outcome, Outcome::Ok, "after {after}");
    assert_eq!(ended.output, input.as_bytes(), "after {after}");
}
