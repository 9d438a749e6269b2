//! What it takes to look at a component: bounded by a cap, whatever its types make of few bytes.

use std::fmt::Write as _;

use wasmgrid_sandbox::{Caps, Refusal, admit};

use crate::texts::{instantiated, lowered, wat};

/// How many parts of types may be visited.
const MOST: u64 = 10_000_000;

/// Whether `bytes` are refused for the work that they make.
fn is_over(bytes: &[u8], caps: &Caps) -> bool {
    match admit::admit(bytes, caps) {
        Err(Refusal::Cap { raised_by: Some(name), .. }) => &*name == "work",
        _ => false,
    }
}

#[track_caller]
fn over_until_raised(fields: &str) {
    let bytes = wat(&format!("(component {fields})"));
    assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
    assert!(is_over(&bytes, &Caps::default()));
    let text = admit::admit(&bytes, &Caps::default()).expect_err("too much").to_string();
    assert!(text.contains("at most 10000000 is allowed") && text.contains("types"), "{text}");
    let raised = ["work=1000000000".parse().expect("a cap")];
    assert!(!is_over(&bytes, &Caps::with(&raised)));
}

#[test]
fn a_large_type_that_is_used_often_is_over_the_cap_on_work() {
    over_until_raised(&lowered(50));
    over_until_raised(&instantiated(20));
}

/// A component within which a type of known size is used some times.
struct Made {
    text: String,
    /// Parts of the type, written out in full.
    parts: u64,
    uses: u64,
}

/// Numbers that look like chance and are the same on each run (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) % end
    }
}

/// Types `$t0` to the one that is returned, each of several of the one before it.
fn types(chance: &mut Chance) -> (String, String, u64) {
    let (mut text, mut below, mut parts) = (String::new(), "u8".to_owned(), 1);
    let levels = 1 + chance.below(6);
    for level in 0..levels {
        let width = 1 + chance.below(30);
        let list = |name: &str, with_name: bool| -> String {
            (0..width)
                .map(|at| {
                    if with_name {
                        format!("({name} \"n{at}\" {below})")
                    } else {
                        format!("{below} ")
                    }
                })
                .collect()
        };
        let (ty, more) = match chance.below(5) {
            0 => (format!("(tuple {})", list("", false)), width),
            1 => (format!("(record {})", list("field", true)), width),
            2 => (format!("(variant {})", list("case", true)), width),
            3 => (format!("(result {below} (error {below}))"), 2),
            _ => (format!("(option {below})"), 1),
        };
        if parts * more > 900_000 {
            break;
        }
        parts = parts * more + 1;
        let _ = write!(text, "(type $t{level} {ty})");
        below = format!("$t{level}");
    }
    (text, below, parts)
}

/// Uses of a type, of all kinds that there are.
fn made(chance: &mut Chance) -> Made {
    let (types, last, parts) = types(chance);
    let uses = 1 + chance.below(390);
    let times = |each: &dyn Fn(u64) -> String| -> String { (0..uses).map(each).collect() };
    let function = format!("(type $f (func (param \"p\" {last})))");
    let text = match chance.below(6) {
        // From a component around it.
        0 => {
            let aliases = times(&|_| format!("(alias outer 1 {last} (type))"));
            format!("{types} (component {aliases})")
        }
        // In the type of an instance, and in one of a component within that.
        1 => {
            let aliases = times(&|_| format!("(alias outer 1 {last} (type))"));
            format!("{types} (type (instance {aliases}))")
        }
        2 => {
            let exports = times(&|at| format!("(export \"e{at}\" (func (type $g)))"));
            let alias = "(alias outer 2 $f (type $g))";
            format!("{types} {function} (type (component (type (instance {alias} {exports}))))")
        }
        // In what is imported and exported by those, whether that is valid or not.
        3 => {
            let imports = times(&|at| format!("(import \"i{at}\" (func (type $f)))"));
            format!("{types} {function} {imports}")
        }
        4 => {
            let exports = times(&|at| format!("(export \"e{at}\" (type {last}))"));
            format!("{types} {exports}")
        }
        // In functions that are lowered.
        _ => {
            let lowered = times(&|_| "(core func (canon lower (func $i)))".to_owned());
            format!("{types} {function} (import \"i\" (func $i (type $f))) {lowered}")
        }
    };
    Made { text: format!("(component {text})"), parts, uses }
}

#[test]
fn no_component_of_few_bytes_makes_more_work_than_the_cap_allows() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut over, mut under) = (0, 0);
    for _ in 0..600 {
        let Made { text, parts, uses } = made(&mut chance);
        let bytes = wat(&text);
        let visited = parts.saturating_mul(uses);
        match admit::admit(&bytes, &Caps::default()) {
            // By this cap, or by a rule before so much was visited.
            Err(_) if visited > MOST => over += 1,
            Err(refusal) => {
                let is_of_work = matches!(
                    &refusal,
                    Refusal::Cap { raised_by: Some(name), .. } if &**name == "work"
                );
                assert!(!is_of_work || visited > MOST / 10, "{visited}: {refusal}\n{text}");
                under += 1;
            }
            Ok(_) => assert!(visited <= MOST, "{visited} parts in {} bytes\n{text}", bytes.len()),
        }
    }
    assert!(over > 20 && under > 20, "{over} over, {under} under");
}
