//! Computes for as many rounds as its input says: a task of any length.

#[wasmgrid::task]
fn spin(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state, round| {
        let mixed = (state ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        std::hint::black_box(mixed ^ (mixed >> 29))
    })
}
