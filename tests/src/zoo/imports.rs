//! Modules that ask for what is not there.

use wasmgrid_proto::Grant;

use super::{
    Attack,
    make::{command, component, wat},
};

/// A core module with one import, of a function.
macro_rules! importing {
    ($module:literal, $name:literal) => {
        || {
            let import = concat!(r#"(import ""#, $module, r#"" ""#, $name, r#"" (func))"#);
            wat(&format!(r#"(module {import} (func (export "_start")))"#))
        }
    };
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = of_core_modules();
    attacks.extend(of_components());
    attacks
}

fn of_core_modules() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "an unknown import",
            importing!("acme", "launch"),
            &["imports acme.launch at offset 0x", "wasi_snapshot_preview1 alone", "task's input"],
        ),
        refused(
            "an import of env",
            importing!("env", "system"),
            &["imports env.system at offset 0x", "nothing is provided under `env`", "wasi-sdk"],
        ),
        refused(
            "an import of wasi_unstable",
            importing!("wasi_unstable", "fd_write"),
            &["imports wasi_unstable.fd_write at offset 0x", "before preview 1", "2020 or later"],
        ),
        refused(
            "a preview 2 import in a preview 1 module",
            importing!("wasi:cli/environment@0.2.0", "get-environment"),
            &[
                "imports wasi:cli/environment@0.2.0.get-environment at offset 0x",
                "an interface of a component",
                "component new",
            ],
        ),
        refused(
            "a preview 1 function that never was",
            importing!("wasi_snapshot_preview1", "proc_fork"),
            &["imports wasi_snapshot_preview1.proc_fork at offset 0x", "no such function"],
        ),
        refused(
            "a preview 1 function of another type",
            importing!("wasi_snapshot_preview1", "fd_write"),
            &[
                "imports wasi_snapshot_preview1.fd_write at offset 0x",
                "its signature is () -> () where preview 1 has (i32, i32, i32, i32) -> (i32)",
            ],
        ),
        refused(
            "WASI for a module that shows no memory",
            || {
                wat(r#"(module
                    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
                    (memory 1) (func (export "_start")))"#)
            },
            &["not a task", "wasi_snapshot_preview1", "exports no memory called `memory`"],
        ),
        refused(
            "a memory of the host's",
            || wat(r#"(module (import "env" "memory" (memory 1)) (func (export "_start")))"#),
            &["imports env.memory at offset 0x"],
        ),
        refused(
            "threads of WASI",
            || {
                wat(r#"(module (import "wasi" "thread-spawn" (func (param i32) (result i32)))
                    (func (export "_start")))"#)
            },
            &["imports wasi.thread-spawn at offset 0x"],
        ),
    ]
}

fn of_components() -> Vec<Attack> {
    let refused = Attack::refused;
    vec![
        refused(
            "an interface nobody has",
            || component(r#"(import "acme:rocket/launch@1.0.0" (instance))"#),
            &["imports acme:rocket/launch@1.0.0 at offset 0x", "no grant gives it"],
        ),
        refused(
            "an interface version to come",
            || component(r#"(import "wasi:cli/stdin@0.3.0" (instance))"#),
            &["imports wasi:cli/stdin@0.3.0 at offset 0x", "given wasi:cli/stdin@0.2.x"],
        ),
        refused(
            "an interface version of a draft",
            || component(r#"(import "wasi:random/random@0.2.0-rc-2023-11-10" (instance))"#),
            &["imports wasi:random/random@0.2.0-rc-2023-11-10 at offset 0x", "0.2.x"],
        ),
        refused(
            "a network without a grant",
            || component(r#"(import "wasi:http/outgoing-handler@0.2.0" (instance))"#),
            &["imports wasi:http/outgoing-handler@0.2.0 at offset 0x", "no network", "no grant"],
        ),
        refused(
            "a store of keys without a grant",
            || component(r#"(import "wasi:keyvalue/store@0.2.0-draft" (instance))"#),
            &["imports wasi:keyvalue/store@0.2.0-draft at offset 0x", "no grant gives it"],
        ),
        refused(
            "a function by itself",
            || component(r#"(import "launch" (func))"#),
            &["imports launch at offset 0x", "a func by itself"],
        ),
        refused(
            "a component that wants to be given a module",
            || component(r#"(import "plugin" (core module))"#),
            &["imports plugin at offset 0x"],
        ),
        refused(
            "a grant without the import that would use it",
            || wat(r#"(module (memory (export "memory") 1) (func (export "_start")))"#),
            &["grants clock", "cannot use"],
        )
        .grant(Grant::Clock),
        Attack::new(
            "a grant with its import",
            || command("(drop (call $clock (i32.const 1) (i64.const 1) (i32.const 64)))", ""),
            super::Expect::output(""),
        )
        .grant(Grant::Clock),
    ]
}
