//! Bombs that only components can be.

use std::fmt::Write as _;

use wasm_encoder::Encode as _;

use super::{
    super::{Expect, make::component, texts},
    Attack,
};

pub(super) fn attacks() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "5,000 child components",
            || component(&"(component)".repeat(5_000)),
            &["modules and components within the component is 201 at offset 0x", "at most 200"],
        ),
        refused(
            "5,000 core modules",
            || component(&"(core module)".repeat(5_000)),
            &["modules and components within the component is 201 at offset 0x", "at most 200"],
        ),
        refused("500 instances of 64 MB", instances, &["instances", "at offset 0x", "at most"]),
        refused(
            "a tuple type of 2^89 parts",
            doubled_types,
            &["the size of a type, written out in full,", "at offset 0x"],
        ),
        refused(
            "components nested 200 deep",
            || nested(200),
            &["the nesting of components is 21 at offset 0x", "at most 20"],
        ),
        refused(
            "components nested a level too deep",
            || nested(20),
            &["the nesting of components is 21 at offset 0x", "at most 20"],
        ),
        refused(
            "components that are instantiated twice by each other",
            doubled_instances,
            &["the number of core instances of a task is", "at most 64"],
        ),
        refused(
            "a variant of 240,000 parts that is lowered 1,000 times",
            || component(&texts::lowered(1_000)),
            &["the number of parts of types that are visited", "at most 10000000"],
        ),
        refused(
            "a tuple type of 2^18 parts in 390 instantiations",
            || component(&texts::instantiated(390)),
            &["the number of parts of types that are visited", "at most 10000000"],
        ),
        Attack::new(
            "60 instances of 1,100 globals",
            instances_of_globals,
            Expect::RefusedLate(&["its instances need more room than a task has", "globals"]),
        ),
        refused(
            "20,000 types of a component",
            component_types,
            &["the number of types is", "at most 10000"],
        ),
    ]
}

/// A command with so many empty components in it, one within the other.
fn nested(depth: u32) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    const COMPONENT_SECTION: u8 = 4;
    let mut inner = HEADER.to_vec();
    for _ in 1..depth {
        let section = section(COMPONENT_SECTION, &inner);
        inner = [HEADER, &section].concat();
    }
    [component(""), section(COMPONENT_SECTION, &inner)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    content.encode(&mut section);
    section
}

fn instances() -> Vec<u8> {
    let mut text = "(core module $big (memory 1024))".to_owned();
    text.push_str(&"(core instance (instantiate $big))".repeat(500));
    component(&text)
}

/// Each type has the one before it twice.
fn doubled_types() -> Vec<u8> {
    let mut text = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..89 {
        let below = level - 1;
        // Writing to a string cannot fail.
        let _ = write!(text, "(type $t{level} (tuple $t{below} $t{below}))");
    }
    component(&text)
}

/// Each component instantiates the one before it twice, 18 levels high: 2^18 instances in all.
fn doubled_instances() -> Vec<u8> {
    let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..18 {
        let below = level - 1;
        let _ = write!(
            text,
            "(component $c{level}
                (alias outer 1 $c{below} (component $c))
                (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    text.push_str("(instance (instantiate $c17))");
    component(&text)
}

fn component_types() -> Vec<u8> {
    component(&"(type (tuple u8 u8))".repeat(20_000))
}

/// What the engine keeps of them is more than an instance of a component may take.
fn instances_of_globals() -> Vec<u8> {
    let globals = "(global i32 (i32.const 7))".repeat(1_100);
    let mut text = format!("(core module $globals {globals})");
    text.push_str(&"(core instance (instantiate $globals))".repeat(60));
    component(&text)
}
