//! How much may be said in a while, so that nothing is ever a flood.
//!
//! Counts lines against the time it is given. Does not know what they say.

use std::time::{Duration, Instant};

/// Most kinds of line that are new in a while.
const KINDS: usize = 8;

/// Which kinds of line were said in a while: what is new is said at once, but a few times only.
#[derive(Debug)]
pub(super) struct Kinds {
    time: Duration,
    said: Vec<(String, Instant)>,
}

impl Kinds {
    /// What was said `time` ago is forgotten.
    pub(super) fn new(time: Duration) -> Kinds {
        Kinds { time, said: Vec::new() }
    }

    /// Whether this kind was not said in that time, and may be now; then it is said.
    pub(super) fn is_new(&mut self, now: Instant, kind: &str) -> bool {
        self.said.retain(|(_, at)| now < *at + self.time);
        let is_new = self.said.len() < KINDS && self.said.iter().all(|(said, _)| said != kind);
        if is_new {
            self.said.push((kind.to_owned(), now));
        }
        is_new
    }
}

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
