//! Gives its input back: what a task costs when it does nothing.

#[wasmgrid::task]
fn noop(input: &[u8]) -> Vec<u8> {
    input.to_vec()
}
