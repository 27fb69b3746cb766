//! Second copies (rule 3): a foot that others wait for, once more on a worker where it is there sooner.
//!
//! Knows what is late and who would be sooner; does not know what is sent for the first time: see
//! [`super::schedule`].

use super::Sender;
use super::path::{Path, seconds};
use super::schedule::{LATE, UNKNOWN};
use crate::foot::FootHeader;
use crate::proto::{LinkId, WorkerId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// At the end of the stream so many of the oldest feet may have second copies.
const LAST_FEET: usize = 32;

/// Whether a foot gets a second copy.
enum Rescue {
    Now(WorkerId),
    /// Nor earlier than then, if nothing else happens.
    NotBefore(Instant),
    /// Nobody could have it there sooner, as things stand.
    Never,
}

impl Sender {
    /// A second copy of the oldest foot, where it blocks the window or the source waits for its buffer, for
    /// an idle worker on which it would be there sooner. At the stream's end, where idle workers have
    /// nothing else to do, it may be any of the last feet; the oldest comes first.
    pub(super) fn reinject(&mut self, now: Instant) -> Option<(WorkerId, FootHeader)> {
        if self.sink_blocked || self.ready.is_empty() {
            return None;
        }
        let feet = match (self.unsent.is_empty(), self.end) {
            (false, _) => 1,
            (true, Some(_)) => LAST_FEET.min(self.feet.len()),
            (true, None) if self.held_feet >= self.config.buffer_feet => 1,
            (true, None) => return None, // it is the source that is waited for
        };
        for place in 0..feet {
            let id = self.base + place as u64;
            match self.rescuer(now, id, place > 0) {
                Rescue::Now(worker) => {
                    self.counts.reinjected_feet += 1;
                    return self.dispatch(now, worker, id);
                }
                Rescue::NotBefore(at) => {
                    let at = at.max(now + Duration::from_millis(1));
                    self.look_again_at = Some(self.look_again_at.map_or(at, |then| then.min(at)));
                }
                Rescue::Never => {}
            }
        }
        None
    }

    /// Who should be given a second copy of foot `id`, and when; only somebody on another link, if so
    /// asked, for those on the same link share what it carries.
    fn rescuer(&self, now: Instant, id: u64, from_elsewhere: bool) -> Rescue {
        let Some(Some(foot)) = self.feet.get((id - self.base) as usize) else {
            return Rescue::Never;
        };
        let [Some(holder), None] = foot.copies else { return Rescue::Never };
        let bytes = u64::from(foot.header.packed_bytes);
        let held = &self.workers[&holder];
        let links = self.conditions(now);
        let others = self.workers.iter().filter(|(worker, path)| {
            let is_elsewhere = !from_elsewhere || path.link != held.link;
            **worker != holder && is_elsewhere && !self.retiring.contains(worker)
        });
        // Nobody who shares a link that may be dead, if there is a choice.
        let times = others.map(|(worker, path)| {
            let (condition, is_busy) = (&links[&path.link], path.unwritten_feet > 0);
            (condition.may_be_dead(), condition.time_on(path, bytes), is_busy, *worker)
        });
        let Some((_, time, is_busy, worker)) = times.min() else { return Rescue::Never };
        if is_busy {
            // It asks as soon as it is free; by then at the latest, unless it stands still.
            return Rescue::NotBefore(now + time.max(LATE));
        }
        let is_sibling = self.workers[&worker].link == held.link;
        let unknown = || held.last_sent + if is_sibling { time } else { UNKNOWN };
        let due = held.due(id).unwrap_or_else(unknown) + LATE;
        // What is late already is expected to take as long again as it is late.
        let expected = due.max(now + now.saturating_duration_since(due));
        if now + time + LATE < expected {
            Rescue::Now(worker)
        } else {
            Rescue::NotBefore(due + time + LATE)
        }
    }

    /// How each link fares.
    fn conditions(&self, now: Instant) -> BTreeMap<LinkId, Condition> {
        let mut links: BTreeMap<LinkId, Condition> = BTreeMap::new();
        for path in self.workers.values() {
            let condition = links.entry(path.link).or_default();
            condition.best_rate = condition.best_rate.max(path.rate());
            condition.overdue = condition.overdue.max(path.overdue(now, LATE));
            condition.last_arrival = condition.last_arrival.max(path.last_arrival);
        }
        links
    }
}

/// What the connections of a link say of it together: a second copy is for when one of them is late, and
/// what one of them knows may be out of date, or nothing.
#[derive(Debug, Default)]
struct Condition {
    /// The best delivery rate of any of them, in bytes a second; 0 while none is known.
    best_rate: u64,
    /// When something should have arrived on one of them that has not; the last such time.
    overdue: Option<Instant>,
    last_arrival: Option<Instant>,
}

impl Condition {
    /// Whether nothing has arrived over it since something should have.
    fn may_be_dead(&self) -> bool {
        self.overdue > self.last_arrival
    }

    /// How long until `bytes` on `path`, a connection of this link, would be known to have arrived; where
    /// it has not been tried, no sooner than on one that has.
    fn time_on(&self, path: &Path, bytes: u64) -> Duration {
        path.ack_time_for(bytes).unwrap_or_else(|| match self.best_rate {
            0 => UNKNOWN,
            rate => UNKNOWN.max(path.rtt + seconds(bytes, rate)),
        })
    }
}
