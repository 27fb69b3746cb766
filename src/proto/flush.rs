//! When a short foot leaves (rule 10): small things move at once, a steady source fills its feet.
//!
//! Knows arrivals and times. Does not read, and does not know what a foot holds.

use std::time::{Duration, Instant};

/// A short foot waits this long when nothing is in flight.
const ALONE: Duration = Duration::from_millis(10);
/// A short foot waits this long in any case.
const LONGEST: Duration = Duration::from_millis(100);
/// A foot that would be full this much later than `LONGEST` is waited for. At 10 MB/s a foot of 1 MiB
/// takes 105 ms to fill; one that leaves at 95 % of the way leaves a splinter behind it, up to the next
/// multiple of the foot size, and so halves the mean foot.
const GRACE: Duration = Duration::from_millis(20);
/// A source that is silent for this long has said what it had to say. It only has to bridge the
/// gaps between the writes of one burst.
const QUIET: Duration = Duration::from_micros(300);
/// Spans over which the source's pace is judged: the short one knows a bulk source soon, the long one
/// bridges its pauses.
const SPANS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
/// Part of a foot that must have come within the last one or two spans of either kind.
const BULK: [u64; 2] = [10, 2];

/// Judges how long the bytes at hand may wait for more.
///
/// A source at a bulk pace (about 5 MB/s with feet of 1 MiB) gets `LONGEST`, so that a steady 10 MB/s
/// makes whole feet; any other gets `ALONE`, or `QUIET` once it falls silent.
#[derive(Debug)]
pub struct Flush {
    foot_bytes: u64,
    /// When the first of the bytes at hand came, and how many there are.
    waiting: Option<(Instant, u64)>,
    last_arrival: Instant,
    paces: [Pace; 2],
}

/// How much came within this span of time and the one before it.
#[derive(Clone, Copy, Debug)]
struct Pace {
    start: Instant,
    span: Duration,
    this_bytes: u64,
    last_bytes: u64,
}

impl Flush {
    /// No bytes at hand, no pace yet.
    pub fn new(foot_bytes: u32, now: Instant) -> Flush {
        Flush {
            foot_bytes: u64::from(foot_bytes),
            waiting: None,
            last_arrival: now,
            paces: SPANS.map(|span| Pace { start: now, span, this_bytes: 0, last_bytes: 0 }),
        }
    }

    /// `bytes` more are at hand.
    pub fn arrived(&mut self, now: Instant, bytes: usize) {
        for pace in &mut self.paces {
            pace.turn(now);
            pace.this_bytes += bytes as u64;
        }
        self.last_arrival = now;
        let (since, at_hand) = self.waiting.unwrap_or((now, 0));
        self.waiting = Some((since, at_hand + bytes as u64));
    }

    /// The foot at hand has left; what comes next begins another.
    pub fn left(&mut self) {
        self.waiting = None;
    }

    /// When the foot at hand, `room_bytes` short of full, must leave; `None` when there is none.
    /// `unacked` says whether anything is in flight.
    pub fn due(&mut self, now: Instant, unacked: bool, room_bytes: u64) -> Option<Instant> {
        let (since, at_hand) = self.waiting?;
        let is_bulk = self.is_bulk(now);
        if !is_bulk && !unacked {
            return Some((since + ALONE).min(self.last_arrival + QUIET));
        }
        // At the pace of this foot, would a little more patience see it full?
        let age = now.saturating_duration_since(since).max(Duration::from_millis(1));
        let fill = age.mul_f64(room_bytes as f64 / at_hand as f64);
        let nearly_full = is_bulk && age + fill <= LONGEST + GRACE;
        Some(since + if nearly_full { LONGEST + GRACE } else { LONGEST })
    }

    fn is_bulk(&mut self, now: Instant) -> bool {
        for pace in &mut self.paces {
            pace.turn(now);
        }
        let mut paces = self.paces.iter().zip(BULK);
        paces.any(|(pace, part)| pace.this_bytes + pace.last_bytes >= self.foot_bytes / part)
    }
}

impl Pace {
    /// Moves the span of judgement on to `now`.
    fn turn(&mut self, now: Instant) {
        let spans = now.saturating_duration_since(self.start).as_millis() / self.span.as_millis();
        if spans > 0 {
            self.last_bytes = if spans == 1 { self.this_bytes } else { 0 };
            self.this_bytes = 0;
            self.start = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOT: u32 = 1 << 20;

    /// Feeds `slice` bytes every `every` for five seconds; returns the feet, in bytes.
    fn feet_of(slice: usize, every: Duration, unacked: bool) -> Vec<u64> {
        let start = Instant::now();
        let mut flush = Flush::new(FOOT, start);
        let (mut feet, mut place, mut at_hand) = (Vec::new(), 0u64, 0u64);
        for turn in 0..(5_000_000_000 / every.as_nanos()) as u32 {
            let now = start + every * turn;
            let room = u64::from(FOOT) - place % u64::from(FOOT);
            if flush.due(now, unacked, room).is_some_and(|due| due <= now) {
                feet.push(std::mem::take(&mut at_hand));
                flush.left();
            }
            let mut left = slice as u64;
            while left > 0 {
                let room = u64::from(FOOT) - place % u64::from(FOOT);
                let taken = left.min(room);
                flush.arrived(now, taken as usize);
                (place, at_hand, left) = (place + taken, at_hand + taken, left - taken);
                if taken == room {
                    feet.push(std::mem::take(&mut at_hand));
                    flush.left();
                }
            }
        }
        feet
    }

    fn mean(feet: &[u64]) -> u64 {
        feet.iter().sum::<u64>() / feet.len() as u64
    }

    #[test]
    fn rule_10_a_short_foot_leaves_soon_and_a_steady_source_fills_its_feet() {
        let start = Instant::now();
        let mut flush = Flush::new(FOOT, start);
        assert_eq!(flush.due(start, false, 1), None, "nothing at hand, nothing due");
        flush.arrived(start, 1);
        assert_eq!(flush.due(start, false, 1), Some(start + QUIET));
        assert_eq!(flush.due(start, true, u64::from(FOOT) - 1), Some(start + LONGEST));
        flush.arrived(start + ALONE - QUIET / 2, 1);
        assert_eq!(flush.due(start + ALONE, false, 1), Some(start + ALONE));
        flush.left();
        assert_eq!(flush.due(start + ALONE, false, 1), None);

        for (slice, every_ms) in [(100_000, 10), (64 << 10, 6), (1 << 20, 100), (10_000, 1)] {
            let feet = feet_of(slice, Duration::from_millis(every_ms), false);
            let mean = mean(&feet);
            assert!(mean > 700_000, "{slice} bytes every {every_ms} ms: mean foot {mean}");
        }
    }

    #[test]
    fn a_trickle_is_never_held_longer_than_alone() {
        let feet = feet_of(100, Duration::from_millis(2), false);
        assert!(mean(&feet) <= 600, "mean {}", mean(&feet));
    }

    #[test]
    fn a_bulk_source_that_pauses_is_small_again() {
        let start = Instant::now();
        let mut flush = Flush::new(FOOT, start);
        flush.arrived(start, FOOT as usize);
        flush.left();
        let later = start + SPANS[1] * 3;
        flush.arrived(later, 1);
        assert_eq!(flush.due(later, false, 1), Some(later + QUIET));
    }
}
