//! A rate that many connections share: who may write now, and how much.
//!
//! A token bucket, but for its tokens: what counts is the time by which all that was let through is paid
//! for. Who asks gets a small slice, or a place in the queue and the time of its turn, so that each wakes
//! once for each slice and nobody wakes for another's. A slice goes out at the beginning of its time, and
//! late threads make up for a hundredth of a second at most: so no second has more than 1.4 %, or one least
//! slice, above the rate. Does not know sockets, nor what is written.

use super::{LinkId, WorkerId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is let through at once: as much as the rate allows in this time, within bounds. Less would wake
/// threads for nothing; more than [`MOST`] no socket takes at once.
const SLICE: Duration = Duration::from_millis(4);
const LEAST: u64 = 1 << 10;
const MOST: u64 = 256 << 10;
/// What threads that wake late, or find nothing to do for a moment, may make up for.
const LATE: Duration = Duration::from_millis(10);
/// Nobody is as late as this: the stream stood still, or the whole process. That is made up for by nothing.
const STOPPED: Duration = Duration::from_millis(100);
/// A less preferred link's turn to begin a foot comes as if it had asked so much later for each link before
/// it, but for at most [`FURTHEST`] of them: so the first has what it can take, and no other starves. (What
/// it has begun goes on as on any other: the stream cannot go on without that foot.)
const DEFERENCE: Duration = Duration::from_secs(1);
const FURTHEST: u16 = 5;

/// A rate, and those who wait for it.
#[derive(Debug)]
pub struct Bucket {
    bytes_per_second: u64,
    /// All that was let through is paid for by then.
    free: Instant,
    /// Who waits, in turn.
    queue: BTreeMap<Place, Waiting>,
    places: BTreeMap<WorkerId, Place>,
}

/// A place in the queue: since when, and whose.
type Place = (Instant, WorkerId);

/// What somebody in the queue was told.
#[derive(Debug)]
struct Waiting {
    /// When to come.
    turn: Instant,
    /// What will be let through then.
    slice: u64,
}

/// What somebody who asks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes may be written now.
    Now(u64),
    /// Nothing before then; ask again.
    At(Instant),
}

impl Bucket {
    /// A bucket from which nothing was taken yet, at this rate, which is not 0.
    pub fn new(bytes_per_second: u64, now: Instant) -> Bucket {
        Bucket { bytes_per_second, free: now, queue: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// From now on it is this rate, which is not 0.
    pub fn set_rate(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second;
    }

    /// Asks for a slice, for a connection on this link, to begin a foot or to go on with one of which so many
    /// bytes are left. What is not used of it must be given back; but nobody who waits knows then that it is his
    /// turn earlier, so no more is let through than is wanted.
    pub fn ask(&mut self, now: Instant, worker: WorkerId, link: LinkId, left: Option<u64>) -> Turn {
        self.forget_the_past(now);
        let links_before = if left.is_some() { 0 } else { link.0.min(FURTHEST) };
        let fresh = (now + DEFERENCE * u32::from(links_before), worker);
        let place = *self.places.entry(worker).or_insert(fresh);
        self.drop_late(now, place);
        let ahead = self.queue.range(..place).map(|(_, waiting)| waiting.slice).sum();
        let slice = self.slice().min(left.unwrap_or(u64::MAX)).max(1);
        let turn = self.free + self.time(ahead);
        if turn > now {
            self.queue.insert(place, Waiting { turn, slice });
            return Turn::At(turn);
        }
        self.leave(worker);
        self.free += self.time(slice);
        Turn::Now(slice)
    }

    /// So many bytes that were let through were not written.
    pub fn give_back(&mut self, bytes: u64) {
        self.free = self.free.checked_sub(self.time(bytes)).unwrap_or(self.free);
    }

    /// So many bytes were written without asking: what must not wait for its turn still counts.
    pub fn charge(&mut self, now: Instant, bytes: u64) {
        self.forget_the_past(now);
        self.free += self.time(bytes);
    }

    /// This connection does not wait any more.
    pub fn leave(&mut self, worker: WorkerId) {
        if let Some(place) = self.places.remove(&worker) {
            self.queue.remove(&place);
        }
    }

    /// Whether anybody waits.
    pub fn is_short(&self) -> bool {
        !self.queue.is_empty()
    }

    fn slice(&self) -> u64 {
        let slice = u128::from(self.bytes_per_second) * SLICE.as_millis() / 1000;
        u64::try_from(slice).unwrap_or(MOST).clamp(LEAST, MOST)
    }

    fn time(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }

    /// What was not written then is not owed now, but for a little.
    fn forget_the_past(&mut self, now: Instant) {
        match now.saturating_duration_since(self.free) {
            gap if gap > STOPPED => self.free = now,
            gap if gap > LATE => self.free += gap - LATE,
            _ => {}
        }
    }

    /// Whose turn was so long ago that it seems to be stuck loses it, unless it is the one who asks.
    fn drop_late(&mut self, now: Instant, asking: Place) {
        while let Some((&place, waiting)) = self.queue.first_key_value()
            && now > waiting.turn + LATE
            && place != asking
        {
            self.leave(place.1);
        }
    }
}

#[cfg(test)]
mod tests;
