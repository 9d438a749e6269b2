//! A task that takes a value beside its input, the same for all tasks:
//! `seq 3 | cargo run --example scale -- - --with '[10, "mm"]'`.

#[wasmgrid::task]
fn scale(n: u64, (factor, unit): &(u64, String)) -> String {
    format!("{}{unit}", n * factor)
}
