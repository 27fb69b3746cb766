//! Feet that do not shrink: those behind them are not even tried, for a while.
//!
//! A foot that fails is followed by 1, 2, 4 … 16 that go raw; but on a slow link, where trying costs nothing that
//! anybody waits for, no longer than a quarter of a second. Does not know what shrinking is.

use std::time::{Duration, Instant};

/// Most feet in a row that are not tried.
const MOST_FEET: u32 = 16;
/// Longest time without a try.
const LONGEST: Duration = Duration::from_millis(20);

/// How shy we are of trying.
#[derive(Debug)]
pub(super) struct Shy {
    /// Feet to leave untried after a failure; none while feet shrink.
    feet: u32,
    left: u32,
    again_at: Instant,
}

impl Shy {
    pub(super) fn new(now: Instant) -> Shy {
        Shy { feet: 0, left: 0, again_at: now }
    }

    /// A foot did not shrink.
    pub(super) fn failed(&mut self, now: Instant) {
        self.feet = (self.feet * 2).clamp(1, MOST_FEET);
        self.left = self.feet;
        self.again_at = now + LONGEST;
    }

    /// A foot did.
    pub(super) fn shrunk(&mut self) {
        self.feet = 0;
    }

    /// Whether the last feet did not shrink, so that one which is not raw is a try.
    pub(super) fn is_trying(&self) -> bool {
        self.feet > 0
    }

    /// Whether the next foot goes raw untried.
    pub(super) fn is_next_raw(&mut self, now: Instant) -> bool {
        if self.feet == 0 {
            return false;
        }
        if self.left == 0 || now >= self.again_at {
            // Until it is known how this one comes out, those behind it wait for the next turn.
            self.left = self.feet;
            self.again_at = now + LONGEST;
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_feet_do_not_shrink_the_fewer_are_tried() {
        let now = Instant::now();
        let mut shy = Shy::new(now);
        let mut raw_between_tries = Vec::new();
        for _ in 0..7 {
            let raw = (0..100).take_while(|_| shy.is_next_raw(now)).count();
            raw_between_tries.push(raw);
            shy.failed(now);
        }
        assert_eq!(raw_between_tries, [0, 1, 2, 4, 8, 16, 16]);
        shy.shrunk();
        assert!(!shy.is_trying() && !shy.is_next_raw(now));
    }

    #[test]
    fn on_a_slow_link_the_next_try_is_never_far() {
        let now = Instant::now();
        let mut shy = Shy::new(now);
        (0..10).for_each(|_| shy.failed(now));
        assert!(shy.is_next_raw(now));
        assert!(!shy.is_next_raw(now + LONGEST), "a try");
        assert!(shy.is_next_raw(now + LONGEST), "the one behind it is none");
    }
}
