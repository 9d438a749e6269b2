//! Structural caps: every module that is built to cost is refused by the cap's name, before it has
//! cost, and passes that cap once it is raised.

use wasmgrid_sandbox::{CapSetting, Caps, Refusal, admit};

use crate::{
    bytes::{
        ALIASES, CODE, COMPONENT, COMPONENT_TYPES, CORE_INSTANCES, CORE_MODULE, CORE_TYPES, CUSTOM,
        DATA, ELEMENTS, EXPORTS, FUNCTIONS, GLOBALS, IMPORTS, INSTANCES, MEMORIES, NOTHING, TABLES,
        TYPES, body, command, component, leb, locals, module, repeated, section, sized, vector,
    },
    meter::peak_of,
};

/// Admits `bytes`, which must be refused by `cap` with this found and that allowed.
#[track_caller]
fn refused(bytes: &[u8], cap: &str, found: &str, allowed: &str) {
    let refusal = admit::admit(bytes, &Caps::default()).expect_err("it is over a cap");
    assert!(is_over(&refusal, cap), "{refusal:?}");
    let text = refusal.to_string();
    for part in
        [&format!("is {found} at offset 0x"), &format!("where at most {allowed} is allowed")]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// Whether a module was refused for this cap, which can be raised.
fn is_over(refusal: &Refusal, cap: &str) -> bool {
    matches!(refusal, Refusal::Cap { raised_by: Some(name), .. } if **name == *cap)
}

/// Admits `bytes` with `setting`, under which they are a task, or are refused for something else.
#[track_caller]
fn passes(bytes: &[u8], setting: &str) {
    let setting: CapSetting = setting.parse().expect("a cap");
    if let Err(refusal) = admit::admit(bytes, &Caps::with(&[setting])) {
        assert!(!is_over(&refusal, setting.cap.name()), "{refusal}");
    }
}

/// Admits `bytes` with `settings`.
#[track_caller]
fn admitted(bytes: &[u8], settings: &[&str]) {
    let settings: Vec<CapSetting> =
        settings.iter().map(|setting| setting.parse().expect("a cap")).collect();
    admit::admit(bytes, &Caps::with(&settings)).expect("a task");
}

#[test]
fn too_large_a_module_is_refused_before_it_is_read() {
    let data = section(DATA, &vector(&[[vec![1], sized(&vec![7; 40 << 20])].concat()]));
    let large = command(&[body(&[])], &[], &[data]);
    refused(&large, "module-bytes", "40.0MiB", "32MiB");
    admitted(&large, &["module-bytes=64MiB"]);
    // It is not even looked at.
    refused(&vec![0; (32 << 20) + 1], "module-bytes", "32.0MiB", "32MiB");
}

#[test]
fn too_large_custom_sections_are_refused_together() {
    let custom = section(CUSTOM, &[sized(b"x"), vec![0; 10 << 20]].concat());
    let two = command(&[body(&[])], &[], &[custom.clone(), custom]);
    refused(&two, "custom-bytes", "20.0MiB", "16MiB");
    admitted(&two, &["custom-bytes=30MiB"]);
}

#[test]
fn a_million_empty_functions_are_refused_before_they_are_read() {
    let many = command(&vec![body(&[]); 1_000_000], &[], &[]);
    refused(&many, "functions", "1000000", "50000");
    passes(&many, "functions=1000000");
    // A number alone costs nothing.
    let said = module(&[section(TYPES, &repeated(1, &NOTHING)), section(FUNCTIONS, &leb(1 << 31))]);
    let (peak, ()) = peak_of(|| refused(&said, "functions", "2147483648", "50000"));
    assert!(peak < 64 << 10, "{peak} bytes");
}

#[test]
fn too_large_a_body_is_refused() {
    // i32.const 1, drop
    let straight = command(&[body(&[0x41, 1, 0x1a].repeat(2_500_000))], &[], &[]);
    refused(&straight, "body-bytes", "7.1MiB", "512KiB");
    passes(&straight, "body-bytes=7600000B");
    let half = command(&[body(&[0x41, 1, 0x1a].repeat(200_000))], &[], &[]);
    refused(&half, "body-bytes", "585.9KiB", "512KiB");
    admitted(&half, &["body-bytes=1MiB"]);
}

#[test]
fn too_many_locals_are_refused_by_their_number() {
    refused(&command(&[locals(49_000)], &[], &[]), "locals", "49000", "2000");
    admitted(&command(&[locals(49_000)], &[], &[]), &["locals=50000"]);
    // In groups of one, and with numbers that would not fit together.
    let grouped = [leb(3_000), [1, 0x7f].repeat(3_000), vec![0x0b]].concat();
    refused(&command(&[grouped], &[], &[]), "locals", "2001", "2000");
    let absurd = [leb(2), [leb(u64::from(u32::MAX)), vec![0x7f]].concat().repeat(2), vec![0x0b]];
    refused(&command(&[absurd.concat()], &[], &[]), "locals", "4294967295", "2000");
    let together = command(&vec![locals(2_000); 501], &[], &[]);
    refused(&together, "total-locals", "1002000", "1000000");
    admitted(&together, &["total-locals=2000000"]);
}

#[test]
fn blocks_nested_too_deep_are_refused() {
    let nested = |depth: usize| {
        let ifs = [[0x41, 1, 0x04, 0x40].repeat(depth), vec![0x0b; depth]].concat();
        command(&[body(&ifs)], &[], &[])
    };
    admitted(&nested(1_000), &[]);
    refused(&nested(1_001), "block-nesting", "1001", "1000");
    refused(&nested(20_000), "block-nesting", "1001", "1000");
    admitted(&nested(20_000), &["block-nesting=20000"]);
    let blocks = [[0x02, 0x40].repeat(100_000), vec![0x0b; 100_000]].concat();
    let (peak, ()) =
        peak_of(|| refused(&command(&[body(&blocks)], &[], &[]), "block-nesting", "1001", "1000"));
    assert!(peak < 4 << 20, "{peak} bytes");
}

#[test]
fn too_many_branch_targets_are_refused_by_their_number() {
    // i32.const 0, br_table
    let table = |targets: u64| [vec![0x41, 0, 0x0e], repeated(targets, &[0]), vec![0]].concat();
    let one = command(&[body(&table(200_000))], &[], &[]);
    refused(&one, "branch-targets", "200000", "100000");
    admitted(&one, &["branch-targets=200000"]);
    let several = command(&[body(&table(30_000).repeat(4))], &[], &[]);
    refused(&several, "branch-targets", "120000", "100000");
    refused(&command(&[body(&table(3_000_000))], &[], &[]), "body-bytes", "2.8MiB", "512KiB");
}

#[test]
fn too_many_types_are_refused() {
    let many = module(&[section(TYPES, &repeated(1_000_000, &NOTHING))]);
    refused(&many, "types", "1000000", "10000");
    passes(&many, "types=1000000");
    let long = [vec![0x60, 60], vec![0x7f; 60], vec![60], vec![0x7f; 60]].concat();
    let large = module(&[section(TYPES, &repeated(9_000, &long))]);
    refused(&large, "type-bytes", "1.0MiB", "256KiB");
    passes(&large, "type-bytes=2MiB");
    // Types declared within a type are types.
    let inner = [vec![0x42], repeated(20_000, &[0x01, 0x7f])].concat();
    refused(&component(&[section(COMPONENT_TYPES, &vector(&[inner]))]), "types", "10001", "10000");
    let inner = [vec![0x50], repeated(20_000, &[&[0x01], &NOTHING[..]].concat())].concat();
    refused(&component(&[section(CORE_TYPES, &vector(&[inner]))]), "types", "10001", "10000");
}

#[test]
fn types_nested_too_deep_are_refused_before_anything_recurses() {
    for kind in [0x41, 0x42] {
        let nested = |depth: usize| {
            let types = [[kind, 1, 0x01].repeat(depth), vec![0x7f]].concat();
            component(&[section(COMPONENT_TYPES, &vector(&[types]))])
        };
        refused(&nested(80_000), "inner-types", "80000", "100");
        // As many as can be allowed are read on half a thread's stack.
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let deepest = nested(200);
        let read = thread
            .spawn(move || admit::admit(&deepest, &Caps::most()).expect_err("it exports nothing"));
        let refusal = read.expect("a thread").join().expect("no overflow");
        assert!(matches!(refusal, Refusal::NotATask { .. }), "{refusal}");
    }
}

#[test]
fn a_type_that_doubles_at_each_level_is_refused_by_its_size() {
    let mut types = vec![vec![0x6f, 2, 0x79, 0x79]];
    types.extend((0..88).map(|before| [vec![0x6f, 2], leb(before), leb(before)].concat()));
    let bomb = component(&[section(COMPONENT_TYPES, &vector(&types))]);
    let refusal = admit::admit(&bomb, &Caps::default()).expect_err("2^89 parts");
    assert!(matches!(refusal, Refusal::Cap { .. }), "{refusal}");
    let text = refusal.to_string();
    for part in ["the size of a type", "at most 1000000 is allowed", "cannot be raised"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn too_many_parameters_or_results_are_refused() {
    let ty = |parameters: usize, results: usize| {
        let list = |count: usize| [leb(count as u64), vec![0x7f; count]].concat();
        module(&[section(
            TYPES,
            &vector(&[[vec![0x60], list(parameters), list(results)].concat()]),
        )])
    };
    refused(&ty(65, 0), "parameters", "65", "64");
    refused(&ty(0, 1_000), "parameters", "1000", "64");
    passes(&ty(1_000, 1_000), "parameters=1000");
    passes(&ty(64, 64), "parameters=64");
    let parameter = [sized(b"a"), vec![0x79]].concat();
    let function = [vec![0x40], repeated(65, &parameter), vec![0x01, 0x00]].concat();
    let bomb = component(&[section(COMPONENT_TYPES, &vector(&[function]))]);
    refused(&bomb, "parameters", "65", "64");
}

#[test]
fn too_many_imports_and_exports_are_refused_before_they_are_read() {
    let import = [sized(b"a"), sized(b"b"), vec![0, 0]].concat();
    let types = section(TYPES, &repeated(1, &NOTHING));
    let many = module(&[types, section(IMPORTS, &repeated(1_000_000, &import))]);
    refused(&many, "imports", "1000000", "50000");
    passes(&many, "imports=1000000");
    let names = (0..1_000_000_u32).map(|n| [sized(format!("{n}").as_bytes()), vec![0, 0]].concat());
    let exports = section(EXPORTS, &vector(&names.collect::<Vec<_>>()));
    let (peak, ()) = peak_of(|| {
        refused(&module(std::slice::from_ref(&exports)), "exports", "1000000", "100000");
    });
    assert!(peak < 2 * exports.len() + (1 << 20), "{peak} bytes");
}

#[test]
fn too_many_globals_tables_and_memories_are_refused() {
    let global = [0x7f, 0, 0x41, 0, 0x0b];
    let many = command(&[body(&[])], &[section(GLOBALS, &repeated(60_000, &global))], &[]);
    refused(&many, "globals", "60000", "50000");
    admitted(&many, &["globals=60000"]);
    for (id, item, count, what) in
        [(TABLES, &[0x70, 0, 1][..], 9, "tables"), (MEMORIES, &[0, 1], 5, "memories")]
    {
        let several = command(&[body(&[])], &[section(id, &repeated(count, item))], &[]);
        let text = admit::admit(&several, &Caps::default()).expect_err(what).to_string();
        let said = format!("{what} is {count} at offset 0x");
        assert!(text.contains(&said) && text.contains("cannot be raised"), "{text}");
    }
}

#[test]
fn too_many_segments_and_elements_are_refused() {
    let data = section(DATA, &repeated(60_000, &[1, 0]));
    let many = command(&[body(&[])], &[], &[data]);
    refused(&many, "segments", "60000", "50000");
    admitted(&many, &["segments=60000"]);
    // One segment says that it has more elements than there are bytes.
    let said = module(&[section(ELEMENTS, &[vec![1, 1, 0], leb(1 << 30)].concat())]);
    let text = admit::admit(&said, &Caps::default()).expect_err("they are not there").to_string();
    assert!(text.contains("invalid WebAssembly"), "{text}");
    let segment = [vec![1, 0], repeated(600_000, &[0])].concat();
    let elements = module(&[
        section(TYPES, &repeated(1, &NOTHING)),
        section(FUNCTIONS, &repeated(1, &[0])),
        section(ELEMENTS, &vector(&[segment])),
        section(CODE, &vector(&[sized(&body(&[]))])),
    ]);
    refused(&elements, "elements", "600000", "500000");
    passes(&elements, "elements=600000");
}

#[test]
fn too_many_components_are_refused() {
    let child = section(COMPONENT, &component(&[]));
    refused(&component(&[child.repeat(5_000)]), "components", "201", "200");
    passes(&component(&[child.repeat(900)]), "components=1000");
    let child = section(CORE_MODULE, &module(&[]));
    refused(&component(&[child.repeat(201)]), "components", "201", "200");
}

#[test]
fn components_nested_too_deep_are_refused() {
    let nested = |depth: usize| {
        (1..depth).fold(component(&[]), |inner, _| component(&[section(COMPONENT, &inner)]))
    };
    passes(&nested(20), "component-nesting=20");
    refused(&nested(21), "component-nesting", "21", "20");
    refused(&nested(200), "component-nesting", "21", "20");
    passes(&nested(90), "component-nesting=90");
}

/// A core instance of the module of this index.
fn core_instance(module: u64) -> Vec<u8> {
    [vec![0], leb(module), vec![0]].concat()
}

/// An instance of the component of this index.
fn instance(component: u64) -> Vec<u8> {
    [vec![0], leb(component), vec![0]].concat()
}

/// The text of a refusal for too many core instances.
#[track_caller]
fn refused_for_core_instances(bytes: &[u8]) {
    let text = admit::admit(bytes, &Caps::default()).expect_err("too many").to_string();
    let said = "the number of core instances of a task is ";
    assert!(text.contains(said) && text.contains("at most 64 is allowed"), "{text}");
}

#[test]
fn too_many_instances_are_refused_however_they_are_made() {
    let memory = module(&[section(MEMORIES, &[1, 0, 0x80, 8])]);
    let with = |instances: u64| {
        component(&[
            section(CORE_MODULE, &memory),
            section(CORE_INSTANCES, &repeated(instances, &core_instance(0))),
        ])
    };
    refused(&with(500), "instances", "500", "400");
    refused_for_core_instances(&with(65));
    passes(&with(64), "instances=400");
    // Each level has two of the one below it.
    let doubled = (0..19).fold(with(1), |inner, _| {
        component(&[section(COMPONENT, &inner), section(INSTANCES, &repeated(2, &instance(0)))])
    });
    assert!(doubled.len() < 1_000);
    refused_for_core_instances(&doubled);
    // The same component under another name.
    let outer = [vec![1], vec![0x04, 0x02, 1, 0]].concat();
    let aliased = component(&[
        section(COMPONENT, &with(40)),
        section(
            COMPONENT,
            &component(&[section(ALIASES, &outer), section(INSTANCES, &repeated(2, &instance(0)))]),
        ),
    ]);
    refused_for_core_instances(&aliased);
}

#[test]
fn too_many_items_of_a_component_are_refused() {
    let alias = [0x03, 0x02, 0, 0];
    let many = component(&[
        section(COMPONENT_TYPES, &[1, 0x7f]),
        section(ALIASES, &repeated(150_000, &alias)),
    ]);
    refused(&many, "component-items", "150000", "100000");
    passes(&many, "component-items=200000");
}

#[test]
fn a_cap_can_be_lowered() {
    let two = command(&[body(&[]), body(&[])], &[], &[]);
    let caps = Caps::with(&["functions=1".parse().expect("a cap")]);
    let text = admit::admit(&two, &caps).expect_err("two functions").to_string();
    assert!(text.contains("the number of functions is 2"), "{text}");
}
