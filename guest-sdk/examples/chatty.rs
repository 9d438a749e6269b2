//! A task that prints: `seq 3 | cargo run --example chatty -- - 2> log` has the results alone on
//! standard output.

use wasmgrid::{Context, Error};

#[wasmgrid::task]
fn chatty(n: u64, context: &mut Context) -> Result<u64, Error> {
    println!("out: n is {n}");
    eprintln!("err: n is {n}");
    context.emit(&format!("record of {n}"))?;
    print!("half a line");
    Ok(2 * n)
}
