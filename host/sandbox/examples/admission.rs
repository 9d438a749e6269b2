//! How fast modules are admitted on one core, beside the validation of all their functions, which
//! admission leaves to whoever compiles them.
//!
//! `admission [FILE.wasm …] [--seconds N]`: without files it admits a module of 20 MB that it
//! makes: 20,000 functions of about 1 KB, of the operators that compilers of languages use most.
//! A file that is refused is shown with its refusal, and with how long that took.

use std::{
    env, error::Error, fs, hint::black_box, process::ExitCode, time::Duration, time::Instant,
};

use rustix::time::{ClockId, clock_gettime};
use wasmgrid_sandbox::{Caps, admit};
use wasmparser::Validator;

/// Functions of the module that is made.
const FUNCTIONS: u64 = 20_000;

/// Times that the piece of code below stands in each function.
const PIECES: usize = 28;

/// What a function does again and again: loads, arithmetic, comparisons, a call, a store, in a
/// block that is left by a branch. It needs three locals of type i32 and leaves nothing.
const PIECE: &[u8] = &[
    0x02, 0x40, // block
    0x20, 0x00, 0x28, 0x02, 0x10, // local.get 0; i32.load offset=16
    0x22, 0x01, 0x45, 0x0d, 0x00, // local.tee 1; i32.eqz; br_if 0
    0x20, 0x01, 0x41, 0x90, 0x80, 0xc0, 0x00, 0x6a, // local.get 1; i32.const …; i32.add
    0x21, 0x02, // local.set 2
    0x20, 0x02, 0x41, 0x02, 0x74, 0x2d, 0x00, 0x04, // … i32.shl; i32.load8_u offset=4
    0x04, 0x40, // if
    0x20, 0x00, 0x20, 0x02, 0x36, 0x02, 0x0c, // i32.store offset=12
    0x10, 0x00, // call 0
    0x0b, 0x0b, // end, end
];

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("admission: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let (mut files, mut seconds) = (Vec::new(), 2);
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            seconds = args.next().ok_or("--seconds needs a number")?.parse()?;
        } else {
            files.push(arg);
        }
    }
    let span = Duration::from_secs(seconds);
    println!("{:>10}  {:>12}  {:>14}  module", "MB", "admit MB/s", "validate MB/s");
    if files.is_empty() {
        measure("(made)", &make(), span);
    }
    for file in files {
        let bytes = fs::read(&file).map_err(|error| format!("failed to read {file}: {error}"))?;
        measure(&file, &bytes, span);
    }
    Ok(())
}

fn measure(name: &str, bytes: &[u8], span: Duration) {
    let (caps, size) = (Caps::default(), megabytes(bytes.len()));
    let begun = Instant::now();
    if let Err(refusal) = admit::admit(bytes, &caps) {
        println!("{size:>10.1}  refused in {:?}: {name}: {refusal}", begun.elapsed());
        return;
    }
    let admitted = speed(bytes, span, || admit::admit(bytes, &caps).is_ok());
    let validated = speed(bytes, span, || Validator::new().validate_all(bytes).is_ok());
    println!("{size:>10.1}  {admitted:>12.0}  {validated:>14.0}  {name}");
}

/// Megabytes of `bytes` that `work` gets through in a second of one core.
fn speed(bytes: &[u8], span: Duration, work: impl Fn() -> bool) -> f64 {
    let (begun, mut rounds) = (cpu_time(), 0);
    let mut used = Duration::ZERO;
    while used < span {
        black_box(work());
        rounds += 1;
        used = cpu_time().saturating_sub(begun);
    }
    megabytes(bytes.len()) * f64::from(rounds) / used.as_secs_f64()
}

/// What this thread has had of a core, so that other load changes little.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// A command with a large code section.
fn make() -> Vec<u8> {
    // Three locals of type i32.
    let mut body = vec![1, 3, 0x7f];
    body.extend(PIECE.repeat(PIECES));
    body.push(0x0b);
    let body = sized(&body);
    let mut code = number(FUNCTIONS);
    for _ in 0..FUNCTIONS {
        code.extend(&body);
    }
    let mut functions = number(FUNCTIONS);
    functions.extend((0..FUNCTIONS).map(|_| 0));
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, contents) in [
        (1, vec![1, 0x60, 0, 0]),
        (3, functions),
        (5, vec![1, 0, 16]),
        (7, [vec![1], sized(b"_start"), vec![0, 0]].concat()),
        (10, code),
    ] {
        module.push(id);
        module.extend(sized(&contents));
    }
    module
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len() as u64), bytes.to_vec()].concat()
}

/// `value` in LEB128.
fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
