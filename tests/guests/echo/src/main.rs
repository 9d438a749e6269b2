//! Gives its input back, owned: for large inputs and outputs.

#[wasmgrid::task]
fn echo(input: Vec<u8>) -> Vec<u8> {
    input
}
