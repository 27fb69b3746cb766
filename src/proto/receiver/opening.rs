//! How far the window is open.
//!
//! As far as the connections need, and no further: feet that only wait for a slow sink turn memory over
//! that no cache holds. It begins with what rule 1 demands and doubles whenever the sender says that the
//! window holds it back while the sink has been idle for a good part of the time; over a long fat way that
//! is once in a round trip, as TCP's own window grows. It never shrinks. Does not know feet.

use std::time::{Duration, Instant};

/// The window opens further when the sink was idle for more than one part in so many of the time.
const IDLE_PART: u32 = 4;

/// The open part of a window.
#[derive(Debug)]
pub(super) struct Opening {
    feet: u64,
    most_feet: u64,
    judged: Instant,
    /// Time that the sink was idle since `judged`, up to `idle_since`.
    idle: Duration,
    idle_since: Option<Instant>,
}

impl Opening {
    /// `feet` of `most_feet` are open, and the sink is idle.
    pub(super) fn new(feet: u64, most_feet: u64, now: Instant) -> Opening {
        let feet = feet.min(most_feet);
        Opening { feet, most_feet, judged: now, idle: Duration::ZERO, idle_since: Some(now) }
    }

    /// Feet that are open.
    pub(super) fn feet(&self) -> u64 {
        self.feet
    }

    /// The sink has nothing to do from now on, or something.
    pub(super) fn sink_idle(&mut self, now: Instant, is_idle: bool) {
        match (is_idle, self.idle_since) {
            (true, None) => self.idle_since = Some(now),
            (false, Some(since)) => {
                self.idle += now.saturating_duration_since(since);
                self.idle_since = None;
            }
            _ => {}
        }
    }

    /// The sender says that the window holds it back; says whether it was opened further.
    pub(super) fn complained(&mut self, now: Instant) -> bool {
        let since = self.idle_since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let idle = self.idle + since;
        let time = now.saturating_duration_since(self.judged);
        let opens = idle * IDLE_PART > time && self.feet < self.most_feet;
        if opens {
            self.feet = self.feet.saturating_mul(2).min(self.most_feet);
        }
        self.judged = now;
        self.idle = Duration::ZERO;
        self.idle_since = self.idle_since.map(|_| now);
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_idle_sink_opens_the_window_and_a_busy_one_does_not() {
        let start = Instant::now();
        let mut opening = Opening::new(12, 40, start);
        assert!(opening.complained(start + MS * 10), "idle all the time");
        assert_eq!(opening.feet(), 24);
        opening.sink_idle(start + MS * 11, false);
        opening.sink_idle(start + MS * 19, true);
        assert!(!opening.complained(start + MS * 20), "idle for 2 of 10 ms");
        opening.sink_idle(start + MS * 27, false);
        assert!(opening.complained(start + MS * 30), "idle for 7 of 10 ms");
        assert_eq!(opening.feet(), 40, "no further than there is memory");
        assert!(!opening.complained(start + MS * 60));
    }
}
