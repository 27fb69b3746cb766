//! Which feet of a stream that does not shrink are tried all the same.
//!
//! Knows no threads and no clock, nor how feet are packed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Feet that do not shrink, and how many of those after them travel raw without a trial. Shared by the packing threads.
#[derive(Debug)]
pub(in crate::tx) struct Trials {
    vain: AtomicU32,
    skip: AtomicU32,
    began: Instant,
    /// When a foot was last tried, in milliseconds after the beginning.
    tried_ms: AtomicU64,
}

impl Trials {
    /// Two to the power of this: most feet that are not tried.
    const DOUBLINGS: u32 = 5;
    /// However few they were, one is tried after this time.
    const LONGEST: Duration = Duration::from_millis(500);

    /// Everything is tried.
    pub(in crate::tx) fn new(began: Instant) -> Trials {
        let (vain, skip, tried_ms) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
        Trials { vain, skip, began, tried_ms }
    }

    /// Whether the next foot is to travel raw; each call is one foot.
    pub(in crate::tx) fn skips(&self, now: Instant) -> bool {
        let ms = now.saturating_duration_since(self.began).as_millis() as u64;
        let is_due =
            ms.saturating_sub(self.tried_ms.load(Relaxed)) >= Self::LONGEST.as_millis() as u64;
        // Between a look and the change another thread may have set it anew: one foot more or less.
        if !is_due && self.skip.fetch_update(Relaxed, Relaxed, |skip| skip.checked_sub(1)).is_ok() {
            return true;
        }
        self.tried_ms.store(ms, Relaxed);
        false
    }

    /// Whether the last foot that was tried did not shrink.
    pub(in crate::tx) fn are_vain(&self) -> bool {
        self.vain.load(Relaxed) > 0
    }

    /// A foot of so many bytes was packed into so many; says whether that is worth it.
    pub(in crate::tx) fn pays(&self, raw_bytes: usize, packed_bytes: usize) -> bool {
        let pays = packed_bytes < raw_bytes - raw_bytes / 33;
        if pays {
            self.vain.store(0, Relaxed);
            self.skip.store(0, Relaxed);
        } else {
            let vain = self.vain.fetch_add(1, Relaxed);
            // One alone says nothing of those that follow.
            self.skip.store((1 << vain.min(Self::DOUBLINGS + 1)) >> 1, Relaxed);
        }
        pays
    }
}
