//! Connections and links of which nothing is heard: what they are still worth, and when they are given up.
//!
//! Does not know what becomes of their feet: see [`super::reinject`] and [`super::schedule`].

use super::Sender;
use super::path::Path;
use crate::proto::LinkId;
use crate::proto::liveness::Elsewhere;
use std::collections::BTreeSet;
use std::time::Instant;

impl Sender {
    /// At each heartbeat: gives up connections that are silent, or whose feet stand still while neither
    /// the sink nor the rate that they share is to blame, and expects less of those that do not move.
    pub(super) fn close_dead(&mut self, now: Instant) {
        let is_excused = |path: &Path| self.sink_blocked || path.waits_for_turn();
        let excused = self.workers.iter().filter(|(_, path)| is_excused(path));
        for seat in excused.map(|(seat, _)| seat).collect::<Vec<_>>() {
            self.workers.get_mut(seat).expect("nobody has left since it was listed").last_advance =
                now;
        }
        let still = self.still_links(now);
        let free = self.free_links(now);
        let (mut slow, mut dead) = (Vec::new(), Vec::new());
        for (seat, path) in self.workers.iter() {
            // Who has nothing to carry would not be quicker on a link on which nobody is.
            if path.stands_still(now) || still.contains(&path.link) {
                slow.push(seat);
            }
            if now - path.last_heard >= self.liveness.dead_after(path.rtt) {
                dead.push((seat.worker, "nothing was heard from it"));
                continue;
            }
            let elsewhere = elsewhere(path.link, &free);
            if elsewhere == Elsewhere::Nowhere
                && path.repetition().is_some_and(|time| self.liveness.is_too_long(time))
            {
                continue; // another try would not come as far; it may only pause
            }
            let stall = self.liveness.stall_after(path.rtt, elsewhere);
            if !path.in_flight.is_empty() && now - path.last_advance >= stall {
                dead.push((seat.worker, "it stands still"));
            }
        }
        for seat in slow {
            self.change(seat, Path::slow_down);
        }
        for (worker, reason) in dead {
            self.close(worker, reason);
        }
    }

    /// The links whose connections could carry what stands still elsewhere, each with whether such a one has
    /// nothing to do. (One that is busy, on the same link, only takes away from it what both share.)
    fn free_links(&self, now: Instant) -> BTreeSet<(LinkId, bool)> {
        let free = self.workers.values().filter(|path| !path.stands_still(now));
        free.map(|path| (path.link, path.in_flight.is_empty())).collect()
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

/// Where the feet of a connection of `link` could go; `free` is what [`Sender::free_links`] says.
fn elsewhere(link: LinkId, free: &BTreeSet<(LinkId, bool)>) -> Elsewhere {
    if free.iter().any(|(other, _)| *other != link) {
        Elsewhere::AnotherLink
    } else if free.contains(&(link, true)) {
        Elsewhere::IdleSibling
    } else if free.contains(&(link, false)) {
        Elsewhere::BusySibling
    } else {
        Elsewhere::Nowhere
    }
}
