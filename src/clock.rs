//! Time as this process has lived it: a stretch in which it was stopped does not count.
//!
//! A process that was just resumed (SIGCONT, a thawed machine) must read its sockets before it judges
//! who has been silent. Does not know what is judged.

use std::time::{Duration, Instant};

/// A turn of the owner's loop that takes this much longer than it meant to wait was no waiting: the
/// process was stopped, or starved.
const SLACK: Duration = Duration::from_millis(500);

/// A clock that is looked at in every turn of a loop.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    lost: Duration,
    planned: Duration,
}

impl Clock {
    /// A clock that shows the true time, until the process is stopped.
    pub fn new() -> Clock {
        Clock { last: Instant::now(), lost: Duration::ZERO, planned: Duration::ZERO }
    }

    /// The time now.
    pub fn now(&mut self) -> Instant {
        self.turn(Instant::now())
    }

    /// How long to wait until `at`; the wait that follows is meant to last no longer.
    pub fn wait_until(&mut self, at: Instant) -> Duration {
        let now = self.now();
        self.planned = at.saturating_duration_since(now);
        self.planned
    }

    fn turn(&mut self, true_now: Instant) -> Instant {
        let turn = true_now.saturating_duration_since(self.last);
        self.lost += turn.saturating_sub(self.planned + SLACK);
        self.last = true_now;
        self.planned = Duration::ZERO;
        true_now.checked_sub(self.lost).unwrap_or(true_now)
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_not_lived() {
        let mut clock = Clock::new();
        let start = clock.last;
        let second = Duration::from_secs(1);
        assert_eq!(clock.turn(start + SLACK), start + SLACK, "small delays are true time");
        clock.planned = second;
        assert_eq!(clock.turn(start + SLACK + second), start + SLACK + second, "so are waits");
        let stopped = clock.turn(start + SLACK + second * 601);
        assert_eq!(stopped, start + SLACK * 2 + second, "ten minutes were not");
        assert_eq!(clock.turn(start + SLACK + second * 601), stopped, "it never goes back");
    }
}
