//! The limit that all connections of this end share, and each one's part of it.
//!
//! What has left for the kernel counts, with all that TLS adds; what is no part of a foot goes at once, and
//! counts too. Does not know where the rate comes from, nor how it is shared ([`crate::proto::bucket`]).

use crate::proto::bucket::{Bucket, Turn};
use crate::proto::{LinkId, WorkerId};
use crate::stats::Stats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The rate may change: who waits looks as often as this.
const LOOK: Duration = Duration::from_millis(500);
/// A connection whose socket has not been full for this long is held back by the limit alone.
const ROOMY: Duration = Duration::from_secs(1);

/// What all connections together may write. Clones are the same limit.
#[derive(Clone, Debug)]
pub struct Limit(Arc<Mutex<Bucket>>);

impl Limit {
    /// So many bytes a second.
    pub fn new(bytes_per_second: u64) -> Limit {
        Limit(Arc::new(Mutex::new(Bucket::new(bytes_per_second, Instant::now()))))
    }

    /// So many from now on.
    pub fn set(&self, bytes_per_second: u64) {
        self.bucket().set_rate(bytes_per_second);
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // Each change of it is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's part of the limit, if there is one.
#[derive(Debug)]
pub(super) struct Share {
    limit: Option<Limit>,
    worker: WorkerId,
    link: LinkId,
    stats: Arc<Stats>,
    /// Bytes that it may write now.
    granted: u64,
    /// When to ask again.
    turn: Option<Instant>,
    /// Since when it waits for that; what came before is in the figures.
    held_since: Option<Instant>,
    /// When its socket last took less than it might have written.
    last_full: Option<Instant>,
    is_held: bool,
    /// It does not wait any more.
    is_lifted: bool,
}

impl Share {
    pub(super) fn new(
        limit: Option<Limit>,
        worker: WorkerId,
        link: LinkId,
        stats: Arc<Stats>,
    ) -> Share {
        Share {
            limit,
            worker,
            link,
            stats,
            granted: 0,
            turn: None,
            held_since: None,
            last_full: None,
            is_held: false,
            is_lifted: false,
        }
    }

    /// From now on it does not wait for its turn; what it writes still counts.
    pub(super) fn lift(&mut self) {
        self.rest();
        self.is_lifted = true;
    }

    /// Whether some of a foot, one of which so many bytes are left or a new one, may be written now; if not, when to
    /// ask again is its [`Share::turn`].
    pub(super) fn opens(&mut self, left: Option<u64>) -> bool {
        let Some(limit) = &self.limit else { return true };
        if self.granted > 0 || self.is_lifted {
            return true;
        }
        let now = Instant::now();
        let turn = limit.bucket().ask(now, self.worker, self.link, left);
        match turn {
            Turn::Now(bytes) => {
                self.granted = bytes;
                self.wait_until(None);
            }
            Turn::At(at) => self.wait_until(Some(at.min(now + LOOK))),
        }
        self.granted > 0
    }

    /// How much may be written at most.
    pub(super) fn most(&self) -> usize {
        match self.limit {
            Some(_) if !self.is_lifted => usize::try_from(self.granted).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    /// So much was written, of a foot or beside it.
    pub(super) fn spend(&mut self, bytes: u64) {
        let Some(limit) = &self.limit else { return };
        let beyond = bytes.saturating_sub(self.granted);
        self.granted -= bytes - beyond;
        if beyond > 0 {
            limit.bucket().charge(Instant::now(), beyond);
        }
    }

    /// There is nothing to write, or no room for it: what it may write is for others, and its turn too.
    pub(super) fn rest(&mut self) {
        let Some(limit) = &self.limit else { return };
        if self.granted > 0 {
            limit.bucket().give_back(std::mem::take(&mut self.granted));
        }
        if self.turn.is_some() {
            limit.bucket().leave(self.worker);
            self.wait_until(None);
        }
    }

    /// The socket takes no more.
    pub(super) fn full(&mut self) {
        if self.limit.is_some() {
            self.last_full = Some(Instant::now());
            self.rest();
        }
    }

    /// When to ask again, while it waits for its turn.
    pub(super) fn turn(&self) -> Option<Instant> {
        self.turn
    }

    /// Whether the limit is what holds it back, and not its socket; told when that changes. It is believed
    /// until its socket was full for the first time.
    pub(super) fn news(&mut self) -> Option<bool> {
        self.limit.as_ref()?;
        let is_held = match self.last_full {
            None => true,
            Some(at) if at.elapsed() < ROOMY => false,
            Some(_) => self.is_held || self.turn.is_some(),
        };
        (std::mem::replace(&mut self.is_held, is_held) != is_held).then_some(is_held)
    }

    /// It waits for its turn, or does not any more.
    fn wait_until(&mut self, turn: Option<Instant>) {
        let since = std::mem::replace(&mut self.held_since, turn.map(|_| Instant::now()));
        let held = since.map_or(0, |since| since.elapsed().as_micros());
        self.stats.held_us.add(u64::try_from(held).unwrap_or(u64::MAX));
        match (self.turn, turn) {
            (None, Some(_)) => self.stats.held_workers.increment(),
            (Some(_), None) => self.stats.held_workers.subtract(1),
            _ => {}
        }
        self.turn = turn;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.rest();
    }
}
