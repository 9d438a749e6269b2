//! Prints on both outputs, emits a record and gives a result.

use wasmgrid::{Context, Error};

#[wasmgrid::task]
fn chatty(n: u64, context: &mut Context) -> Result<u64, Error> {
    println!("out: n is {n}");
    eprintln!("err: n is {n}");
    context.emit(&format!("record of {n}"))?;
    print!("half a line");
    Ok(2 * n)
}
