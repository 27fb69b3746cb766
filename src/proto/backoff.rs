//! How long to wait before the next try: longer after each failure up to a cap, and never in step
//! with others.
//!
//! Does not know what is tried, the time, or where randomness comes from.

use std::time::Duration;

/// Wait after the first failure.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait.
pub const MAX_WAIT: Duration = Duration::from_secs(5);

/// A capped exponential back-off with equal jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    /// The next wait at its longest.
    longest: Duration,
}

impl Backoff {
    /// Waits `first` after one failure, doubled after each further one, `cap` at most.
    pub fn new(first: Duration, cap: Duration) -> Backoff {
        Backoff { first, cap, longest: first.min(cap) }
    }

    /// The wait after one more failure: evenly anywhere from half to all of the back-off, as
    /// `jitter` says, a uniformly random number.
    pub fn next(&mut self, jitter: u32) -> Duration {
        let half = self.longest / 2;
        self.longest = self.longest.saturating_mul(2).min(self.cap);
        half + half.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
    }

    /// Success: the next failure is the first again.
    pub fn reset(&mut self) {
        self.longest = self.first.min(self.cap);
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new(FIRST_WAIT, MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next(0), FIRST_WAIT / 2);
        assert_eq!(backoff.next(0), FIRST_WAIT);
    }

    #[test]
    fn a_first_wait_above_the_cap_is_the_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(9), Duration::from_secs(2));
        assert_eq!(backoff.next(u32::MAX), Duration::from_secs(2));
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn jitter_keeps_a_wait_between_half_and_all(jitters in prop::collection::vec(any::<u32>(), 1..80)) {
            let (mut backoff, mut longest) = (Backoff::default(), FIRST_WAIT);
            for jitter in jitters {
                let wait = backoff.next(jitter);
                prop_assert!(longest / 2 <= wait && wait <= longest);
                longest = (longest * 2).min(MAX_WAIT);
            }
        }
    }
}
