//! Takes the value of all tasks as the bytes that it is, and a context.

use wasmgrid::Context;

#[wasmgrid::task]
fn weigh(input: &str, value: &[u8], context: &mut Context) -> String {
    let sum: u64 = value.iter().map(|byte| u64::from(*byte)).sum();
    format!("{input} {} {sum} {}", value.len(), context.index())
}
