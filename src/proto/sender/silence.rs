//! Connections and links of which nothing is heard: what they are still worth, and when they are given up.
//!
//! Does not know what becomes of their feet: see [`super::reinject`] and [`super::schedule`].

use super::Sender;
use super::path::Path;
use crate::proto::LinkId;
use std::collections::BTreeSet;
use std::time::Instant;

impl Sender {
    /// At each heartbeat: gives up connections that are silent, or whose feet stand still while neither
    /// the sink nor the rate that they share is to blame, and expects less of those that do not move.
    pub(super) fn close_dead(&mut self, now: Instant) {
        let is_excused = |path: &Path| self.sink_blocked || path.waits_for_turn() && false;
        let excused = self.workers.values_mut().filter(|path| is_excused(path));
        excused.for_each(|path| path.last_advance = now);
        let still = self.still_links(now);
        let mut dead = Vec::new();
        for (&worker, path) in &mut self.workers {
            // Who has nothing to carry would not be quicker on a link on which nobody is.
            if path.stands_still(now) || still.contains(&path.link) {
                self.rate_total -= path.rate();
                path.slow_down();
                self.rate_total += path.rate();
            }
            if now - path.last_heard >= self.liveness.dead_after(path.rtt) {
                dead.push((worker, "nothing was heard from it"));
            } else if !path.in_flight.is_empty()
                && now - path.last_advance >= self.liveness.stall_after(path.rtt)
            {
                dead.push((worker, "it stands still"));
            }
        }
        for (worker, reason) in dead {
            self.close(worker, reason);
        }
    }

    /// The links on which something is on its way and nothing moves.
    fn still_links(&self, now: Instant) -> BTreeSet<LinkId> {
        let busy = |is_still| {
            let paths = self.workers.values().filter(|path| !path.in_flight.is_empty());
            let paths = paths.filter(move |path| path.stands_still(now) == is_still);
            paths.map(|path| path.link).collect::<BTreeSet<LinkId>>()
        };
        &busy(true) - &busy(false)
    }
}
