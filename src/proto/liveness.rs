//! When to send a heartbeat, and when to give up: the clocks that both ends share (rule 8).
//!
//! Knows what progress is worth, not what it is: the state machines say when there was some.

use std::time::{Duration, Instant};

/// A connection that was silent for this many heartbeats is dead.
const DEAD_AFTER_HEARTBEATS: u32 = 4;
/// Longest pause between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A connection whose feet have not moved for this long is stalled, where another could carry them. Well
/// above the retransmission pauses of a lossy path, well below anybody's patience.
const STALL: Duration = Duration::from_secs(10);
/// Where no other could, it is more likely a thin link, whose queue and TCP's pauses when that overflows
/// hold back all news: to close it would throw away what has arrived, and gain nothing.
const STALL_ALONE: Duration = Duration::from_secs(60);

/// A connection from which a receiver has heard nothing for this long is dead: longer than the queue of a
/// thin link, and those pauses.
const SILENT: Duration = Duration::from_secs(30);

/// How often heartbeats go out: so often that the less patient end hears several before it gives up. The
/// ends agree on it, for the heartbeats of one are what the other waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace {
    /// How many a second there are beyond one.
    pub more_a_second: u8,
}

impl Pace {
    /// What an end needs that gives up after `patience`; `None` is for ever.
    pub fn for_patience(patience: Option<Duration>) -> Pace {
        let a_second = patience.map_or(1.0, |patience| (4.0 / patience.as_secs_f64()).ceil());
        Pace { more_a_second: (a_second - 1.0).clamp(0.0, f64::from(u8::MAX)) as u8 }
    }

    /// The pause between two.
    pub fn interval(self) -> Duration {
        HEARTBEAT / (u32::from(self.more_a_second) + 1)
    }
}

/// The clocks of one end.
#[derive(Debug)]
pub struct Liveness {
    patience: Option<Duration>,
    heartbeat: Duration,
    last_progress: Instant,
    next_heartbeat: Instant,
}

impl Liveness {
    /// Clocks that start at `now`; a `patience` of `None` is for ever.
    pub fn new(patience: Option<Duration>, pace: Pace, now: Instant) -> Liveness {
        let heartbeat = pace.interval();
        Liveness { patience, heartbeat, last_progress: now, next_heartbeat: now + heartbeat }
    }

    /// Something moved, or nothing had to.
    pub fn progress(&mut self, now: Instant) {
        self.last_progress = self.last_progress.max(now);
    }

    /// Whether patience has run out.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.patience.is_some_and(|patience| now >= self.last_progress + patience)
    }

    /// Whether a heartbeat is due; if so the next one is set.
    pub fn take_heartbeat(&mut self, now: Instant) -> bool {
        let due = now >= self.next_heartbeat;
        if due {
            self.next_heartbeat = now + self.heartbeat;
        }
        due
    }

    /// The next time at which this clock has something to say.
    pub fn next_timeout(&self) -> Instant {
        match self.patience {
            Some(patience) => self.next_heartbeat.min(self.last_progress + patience),
            None => self.next_heartbeat,
        }
    }

    /// When the next heartbeat is due.
    pub fn next_heartbeat(&self) -> Instant {
        self.next_heartbeat
    }

    /// How long a connection may be silent before it is taken for dead. `rtt` is its round trip.
    pub fn dead_after(&self, rtt: Duration) -> Duration {
        self.heartbeat * DEAD_AFTER_HEARTBEATS + rtt * 2
    }

    /// How long a receiver takes a silent connection for a slow one, whatever its patience. Its sender hears
    /// acks all the time, and notices a dead connection by itself; what a receiver hears may wait for many
    /// seconds in the queue of a thin link, behind what the other connections have put there.
    pub fn silent_after(&self) -> Duration {
        SILENT
    }

    /// Whether what takes so long could not be done in what is left of patience when nothing has moved
    /// for two thirds of it.
    pub fn is_too_long(&self, time: Duration) -> bool {
        self.patience.is_some_and(|patience| time > patience / 3)
    }

    /// How long the feet of a connection may stand still before it is given up.
    pub fn stall_after(&self, rtt: Duration, elsewhere: Elsewhere) -> Duration {
        // Later where it may be the link that is thin, and not too late for another try.
        let late = self.patience.map(|patience| patience / 3 * 2);
        let stall = match elsewhere {
            Elsewhere::AnotherLink => {
                STALL.min(self.patience.map_or(STALL, |patience| patience / 2))
            }
            Elsewhere::IdleSibling => STALL.min(late.unwrap_or(STALL)),
            Elsewhere::Nowhere => STALL_ALONE.min(late.unwrap_or(STALL_ALONE)),
            Elsewhere::BusySibling => STALL_ALONE,
        };
        stall + rtt * 2
    }
}

/// Where the feet of a connection that stands still could go instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// To a link that works.
    AnotherLink,
    /// To a connection of the same link that has nothing to do.
    IdleSibling,
    /// To none but those that share the link, and carry feet of their own over it.
    BusySibling,
    /// Nothing moves anywhere.
    Nowhere,
}
