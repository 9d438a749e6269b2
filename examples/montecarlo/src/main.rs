//! Estimates pi by throwing darts: each task throws as many as its input says, and counts those
//! that land in the quarter circle. The throws are random but seeded, so that every machine,
//! and every repeat, gives the same digits.

use wasmgrid::{Context, Rng};

#[wasmgrid::task]
fn montecarlo(darts: u64, context: &mut Context) -> f64 {
    let mut rng = context.rng();
    let hits = (0..darts).filter(|_| hits(&mut rng)).count();
    4.0 * hits as f64 / darts as f64
}

/// Whether one dart lands in the quarter circle. In whole numbers, which are exact everywhere.
fn hits(rng: &mut Rng) -> bool {
    let (x, y) = (u64::from(rng.u32(..)), u64::from(rng.u32(..)));
    (x * x).checked_add(y * y).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_darts_come_near_pi() {
        let estimate = montecarlo(1_000_000, Context::fake().context());
        assert!((estimate - std::f64::consts::PI).abs() < 0.01, "{estimate}");
    }

    #[test]
    fn the_digits_are_the_same_on_every_machine() {
        let of_task = |index| montecarlo(1_000, Context::fake().with_index(index).context());
        assert_eq!([0, 1, 2].map(of_task), [3.2, 3.1, 3.096]);
    }
}
