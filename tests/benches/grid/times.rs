//! How long many of one thing took.

use std::time::Duration;

/// Sorted times.
pub struct Times {
    sorted: Vec<Duration>,
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut sorted: Vec<_> = times.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

impl Times {
    /// How many.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The median, in milliseconds.
    pub fn p50(&self) -> f64 {
        self.at(50)
    }

    /// What one in a hundred takes longer than, in milliseconds.
    pub fn p99(&self) -> f64 {
        self.at(99)
    }

    fn at(&self, percent: usize) -> f64 {
        let place = (self.sorted.len() * percent / 100).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
