//! Attacks as somebody types them: the command, and what it says.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use wasmgrid_proto::Outcome;
use wasmgrid_tests::{
    Finished, Home,
    zoo::{Attack, Expect, LATE_MS, Used},
};

/// Runs an attack from the command line, and says what is wrong with how it ended.
pub(super) fn run(home: &Home, attack: &Attack, flags: &[&str]) -> Option<String> {
    home.write("attack.wasm", (attack.module)());
    let mut args: Vec<String> =
        ["run", "attack.wasm", "--output", "json"].iter().map(ToString::to_string).collect();
    args.extend(limits(attack));
    args.extend(flags.iter().map(ToString::to_string));
    let finished = home.run_with_stdin(args, attack.input);
    judge(attack, &finished).map(|fault| format!("{fault}\n{finished}"))
}

fn limits(attack: &Attack) -> Vec<String> {
    let limits = attack.limits;
    let mut flags = vec![
        format!("--fuel={}", limits.fuel),
        format!("--timeout={}", limits.deadline),
        format!("--memory={}", limits.memory),
    ];
    flags.extend(attack.grants.iter().map(|grant| format!("--allow={grant}")));
    flags
}

fn judge(attack: &Attack, finished: &Finished) -> Option<String> {
    if let Some(sign) = finished.stderr.chars().find(|c| c.is_control() && *c != '\n') {
        return Some(format!("it wrote {sign:?} to the terminal"));
    }
    if finished.stderr.contains('\u{202e}') {
        return Some("it turned the terminal's text around".into());
    }
    let fault = match &attack.expect {
        Expect::Refused(says) | Expect::RefusedLate(says) => refused(finished, says),
        expect => ended(expect, finished),
    };
    fault.err()
}

fn check(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}

fn refused(finished: &Finished, says: &[&str]) -> Result<(), String> {
    check(finished.code == Some(3), || "the exit code is not 3".into())?;
    // One that only a compiler finds is the outcome of a task that never ran.
    let line: Value = serde_json::from_slice(&finished.stdout).unwrap_or_default();
    let never_ran = line["outcome"] == "refused" && line["usage"]["fuel"] == "0";
    check(finished.stdout.is_empty() || never_ran, || "something ran".into())?;
    let missing = says.iter().find(|text| !finished.stderr.contains(**text));
    missing.map_or(Ok(()), |text| Err(format!("it does not say {text:?}")))
}

fn ended(expect: &Expect, finished: &Finished) -> Result<(), String> {
    let line: Value = serde_json::from_slice(&finished.stdout)
        .map_err(|error| format!("it printed no result: {error}"))?;
    let code = i32::from(!matches!(expect, Expect::Ok { .. }));
    check(finished.code == Some(code), || format!("the exit code is not {code}"))?;
    let error = line["error"].as_str().unwrap_or_default();
    let name = line["outcome"].as_str().unwrap_or_default();
    match expect {
        Expect::Refused(_) | Expect::RefusedLate(_) => {}
        Expect::Limit { limit, used, allowed } => {
            check(name == "limit", || "it is no limit".into())?;
            says_limit(
                error,
                &finished.stderr,
                |used| Outcome::Limit { limit: *limit, used, allowed: *allowed },
                *used,
            )?;
            if matches!(used, Used::InTime) {
                let wall_us = line["usage"]["wall_us"].as_u64().unwrap_or(u64::MAX);
                let most_us = (allowed + LATE_MS) * 1_000;
                check(wall_us >= allowed * 1_000 && wall_us <= most_us, || {
                    format!("it lived for {wall_us} us")
                })?;
            }
        }
        Expect::Trap(kind, parts) => {
            let text = Outcome::Trap { kind: *kind, backtrace: String::new() }.to_string();
            check(name == "trap" && error.starts_with(&text), || format!("it is no {text}"))?;
            let all = parts.iter().all(|part| error.contains(part));
            check(all, || "its backtrace does not show where".into())?;
            check(finished.stderr.contains(&text), || format!("it does not say {text:?}"))?;
        }
        Expect::Exit(_) | Expect::Rejected(_) => {
            let outcome = match expect {
                Expect::Exit(code) => Outcome::Exit(*code),
                Expect::Rejected(message) => Outcome::Rejected((*message).to_owned()),
                _ => Outcome::Ok,
            };
            check(name == outcome.name() && error == outcome.to_string(), || {
                format!("it is no {outcome:?}")
            })?;
        }
        Expect::Ok { output, log_kept, log_dropped } => {
            check(name == "ok", || "it is not ok".into())?;
            check(bytes(&line["output"]) == *output, || "its output is another".into())?;
            let kept = bytes(&line["log"]).len() as u64;
            let dropped = line["log_dropped"].as_u64().unwrap_or(u64::MAX);
            check((kept, dropped) == (*log_kept, *log_dropped), || {
                format!("its log is {kept} + {dropped}")
            })?;
        }
    }
    Ok(())
}

/// Whether both texts tell of this limit, with what was used and what is allowed.
fn says_limit(
    error: &str,
    stderr: &str,
    outcome: impl Fn(u64) -> Outcome,
    used: Used,
) -> Result<(), String> {
    check(stderr.contains(error), || "stderr says something else".into())?;
    if let Used::Exactly(used) = used {
        let text = outcome(used).to_string();
        return check(error == text, || format!("it does not say {text:?}"));
    }
    // All but the number that may be one of many.
    let text = outcome(0).to_string();
    let (before, after) = text.split_once(" 0").unwrap_or((&text, ""));
    let after = after.trim_start_matches(|c: char| !c.is_whitespace());
    check(error.starts_with(before) && error.ends_with(after), || {
        format!("it does not say {before:?} and {after:?}")
    })
}

/// Bytes as a result's JSON has them.
fn bytes(data: &Value) -> Vec<u8> {
    match data.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            STANDARD.decode(data["base64"].as_str().unwrap_or_default()).expect("base64 of ours")
        }
    }
}
