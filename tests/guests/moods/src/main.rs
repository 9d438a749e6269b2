//! Ends in every way a task can end, as its input asks.

use wasmgrid::{Context, Error};

#[wasmgrid::task]
fn moods(mood: String, context: &mut Context) -> Result<String, Error> {
    match mood.trim() {
        "reject" => Err(Error::rejected("this will never work")),
        "retry" => Err(Error::retry("come back later")),
        "panic" => panic!("as you wish"),
        "exit" => std::process::exit(7),
        "loop" => loop {
            std::hint::black_box(());
        },
        "eat" => Ok(eat().to_string()),
        "gulp" => Ok(vec![1_u8; 100_000_000].len().to_string()),
        "flood" => Ok("x".repeat(40 << 20)),
        "records" => {
            context.emit_bytes(b"first record");
            context.emit_bytes(b"second record");
            Ok("after two records".into())
        }
        "draw" => Ok(draw(context)),
        "escape" => Err(Error::rejected("red \u{1b}[31malert")),
        said if said.starts_with("say ") => {
            eprintln!("{said}");
            Err(Error::rejected(said))
        }
        other => Ok(format!("fine: {other}")),
    }
}

/// Works for some million instructions, and says what tells this task from every other.
fn draw(context: &mut Context) -> String {
    for k in 0..1_000_000_u64 {
        std::hint::black_box(k);
    }
    let mut rng = context.rng();
    format!("{} {} {}", context.index(), context.seed(), rng.u64(..))
}

/// Takes memory until it gets no more, and says how much it got.
fn eat() -> usize {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            return blocks.len();
        }
        block.resize(1 << 20, 1);
        blocks.push(block);
    }
}
