//! What never ends: each uses up its fuel, or, where that is without end, its time.

use super::{
    Attack,
    make::{command, for_ever, task},
};

const SPIN: &str = for_ever!("");

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = out_of_fuel();
    attacks.extend(before_the_task());
    attacks.extend(out_of_time());
    attacks
}

fn out_of_fuel() -> Vec<Attack> {
    let out_of_fuel = Attack::out_of_fuel;
    vec![
        out_of_fuel("an endless loop", || task(&format!("{SPIN} (i32.const 0)"), "")),
        out_of_fuel("an endless loop of a command", || command(SPIN, "")),
        out_of_fuel("endless tail calls", || {
            command("(call $again)", "(func $again (return_call $again))")
        }),
        out_of_fuel("endless tail calls through a table", || {
            command(
                "(call $again)",
                "(type $f (func)) (table $t 1 1 funcref) (elem (i32.const 0) $again)
                 (func $again (return_call_indirect $t (type $f) (i32.const 0)))",
            )
        }),
        out_of_fuel("endless memory.fill", || command(FILL, "")),
        out_of_fuel("endless memory.copy", || {
            command(for_ever!("(memory.copy (i32.const 0) (i32.const 8) (i32.const 1000000))"), "")
        }),
        out_of_fuel("endless memory.init", || {
            command(
                for_ever!("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))"),
                r#"(data $d "12345678")"#,
            )
        }),
        out_of_fuel("endless table.grow", || command(GROW_TABLE, "(table $t 1 funcref)")),
        out_of_fuel("endless table.fill", || {
            command(
                for_ever!("(table.fill $t (i32.const 0) (ref.null func) (i32.const 9000))"),
                "(table $t 9000 funcref)",
            )
        }),
        out_of_fuel("endless table.copy", || {
            command(
                for_ever!("(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 8000))"),
                "(table $t 9000 funcref)",
            )
        }),
        out_of_fuel("an endless loop in a result's destructor", || {
            task(
                "(call $ok (local.get $in) (local.get $len))",
                &format!(
                    r#"(func (export "cabi_post_wasmgrid:task/guest@0.1.0#run") (param i32)
                        {SPIN})"#
                ),
            )
        }),
    ]
}

const FILL: &str = for_ever!("(memory.fill (i32.const 0) (i32.const 7) (i32.const 1000000))");
const GROW_TABLE: &str = for_ever!("(drop (table.grow $t (ref.null func) (i32.const 1)))");

fn before_the_task() -> Vec<Attack> {
    let out_of_fuel = Attack::out_of_fuel;
    vec![
        out_of_fuel("an endless loop in a start function", || {
            let start = format!("(func $begin {SPIN}) (start $begin)");
            task("(i32.const 0)", &start)
        }),
        out_of_fuel("an endless loop in a command's start function", || {
            command("", &format!("(func $begin {SPIN}) (start $begin)"))
        }),
    ]
}

fn out_of_time() -> Vec<Attack> {
    let out_of_time = Attack::out_of_time;
    vec![
        out_of_time("an endless loop with fuel without end", || {
            task(&format!("{SPIN} (i32.const 0)"), "")
        }),
        out_of_time("endless tail calls with fuel without end", || {
            command("(call $again)", "(func $again (return_call $again))")
        }),
        out_of_time("endless memory.fill with fuel without end", || command(FILL, "")),
        out_of_time("endless table.grow with fuel without end", || {
            command(GROW_TABLE, "(table $t 1 funcref)")
        }),
        out_of_time("an endless flood of calls with fuel without end", || {
            command(for_ever!("(drop (call $yield))"), "")
        }),
        out_of_time("endless random bytes with fuel without end", || {
            command(for_ever!("(drop (call $random (i32.const 0) (i32.const 1000000)))"), "")
        }),
        out_of_time("an endless log with fuel without end", || {
            command(
                for_ever!("(drop (call $write (i32.const 2) (i32.const 0) (i32.const 65536)))"),
                "",
            )
        }),
    ]
}
