//! When later links help the first (rule 5): not before it is clear that it cannot keep up.
//!
//! Does not know which of them is to help, nor how: see [`super::schedule`].

use super::Sender;
use super::path::Path;
use super::schedule::UNKNOWN;
use crate::proto::LinkId;
use std::time::{Duration, Instant};

/// New feet that wait for the first link before later ones help it at once: the source is faster.
const MANY_WAITING: usize = 8;
/// With fewer, later links help once feet have waited for the first without a break for this long, and
/// for as long as it needs for so many feet: a source may come in bursts, and be slower all the same.
const WAITING: Duration = Duration::from_millis(200);
const WAITING_FEET: u64 = 4;

impl Sender {
    /// The most preferred link that is up.
    pub(super) fn first_link(&self) -> Option<LinkId> {
        self.links.first_key_value().map(|(link, _)| *link)
    }

    /// From when on later links help the first, until it runs dry; `None` while no foot has to wait for it.
    pub(super) fn spills_at(&self) -> Option<Instant> {
        let since = self.waiting_since?;
        if self.spills {
            return Some(since);
        }
        let rate = self.links.first_key_value().map_or(0, |(_, share)| share.rate);
        // Of a stream that ends before the first link is known there may be no time to learn more.
        if self.unsent.len() > MANY_WAITING || self.end.is_some() && rate == 0 {
            return Some(since);
        }
        let foot_bytes = u64::from(self.config.foot_bytes);
        let feet_time = Duration::from_secs_f64(match rate {
            0 => UNKNOWN.as_secs_f64(),
            rate => (WAITING_FEET * foot_bytes) as f64 / rate as f64,
        });
        Some(since + WAITING + feet_time.min(UNKNOWN))
    }

    /// Takes note whether new feet have to wait for the first link: from when none of its workers asks
    /// until one asks in vain. What a rate that all links share holds back on the first does not wait for it.
    pub(super) fn note_waiting(&mut self, now: Instant) {
        if self.first_link_waits_for_turn() {
            (self.waiting_since, self.spills) = (None, false);
            return;
        }
        let first_asks = self.ready.first().map(|(link, _)| link) == self.first_link();
        match (first_asks, self.unsent.is_empty()) {
            (true, true) => (self.waiting_since, self.spills) = (None, false),
            (false, false) => drop(self.waiting_since.get_or_insert(now)),
            _ => {}
        }
    }

    /// Whether the shared rate, and not its own, is what holds the first link back.
    fn first_link_waits_for_turn(&self) -> bool {
        let first = self.first_link();
        let mut on_first = self.workers.values().filter(|path| Some(path.link) == first);
        self.held_workers > 0 && on_first.any(Path::waits_for_turn)
    }
}
