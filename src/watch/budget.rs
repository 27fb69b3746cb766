//! How much may be said in a while, so that nothing is ever a flood.
//!
//! Counts lines against the time it is given. Does not know what they say.

use std::time::{Duration, Instant};

/// How many lines of one sort may be said in a while.
#[derive(Debug)]
pub(super) struct Budget {
    most: u32,
    time: Duration,
    since: Instant,
    said: u32,
    left_out: u32,
}

impl Budget {
    /// So many in each `time`.
    pub(super) fn new(most: u32, time: Duration, now: Instant) -> Budget {
        Budget { most, time, since: now, said: 0, left_out: 0 }
    }

    /// One more line: what is to be said before it of those that were left out, and whether it is said.
    pub(super) fn spend(&mut self, now: Instant) -> (Option<String>, bool) {
        let mut told = None;
        if now >= self.since + self.time {
            let text = format!("{} such lines were left out", self.left_out);
            told = (self.left_out > 0).then_some(text);
            *self = Budget::new(self.most, self.time, now);
        }
        let is_said = self.said < self.most;
        self.said += u32::from(is_said);
        self.left_out += u32::from(!is_said);
        (told, is_said)
    }
}
