//! Has each link the connections that bring something: looks at the figures, asks [`super::growth`] what to
//! change, and does it.
//!
//! It starts threads that dial, and asks for connections to be retired, the newest first; who owns the state
//! machine sees that nothing is lost of what they carry. Does not know what a connection is worth.

use super::Event;
use super::diallers::Diallers;
use super::growth::{Change, Growth, Held, Seen};
use crate::error::Error;
use crate::news::Fact;
use crate::proto::{LinkId, WorkerId};
use crate::stats::WorkerState;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked.
const TICK: Duration = Duration::from_millis(100);

/// What decides how many connections there are.
pub(super) struct Steer {
    diallers: Diallers,
    growth: Growth,
    /// How many connections each link should have.
    wanted: Vec<u16>,
    /// What went over each link so far, of what was seen of its connections.
    bytes: Vec<u64>,
    /// The same of each connection that is up.
    counted: BTreeMap<WorkerId, u64>,
    retiring: BTreeSet<WorkerId>,
    /// When was looked last, and how long connections had been held back by then.
    looked: (Instant, Duration),
}

impl Steer {
    /// For links with so many connections each, and whether that may change.
    pub(super) fn new(diallers: Diallers, links: Vec<(u16, bool)>) -> Steer {
        let bytes = vec![0; links.len()];
        let wanted = links.iter().map(|(count, _)| *count).collect();
        let growth = Growth::new(Instant::now(), links);
        let (counted, retiring) = (BTreeMap::new(), BTreeSet::new());
        let looked = (Instant::now(), Duration::ZERO);
        Steer { diallers, growth, wanted, bytes, counted, retiring, looked }
    }

    /// Steers from now on, on a thread of its own.
    pub(super) fn start(self) -> Result<(), Error> {
        let spawned = thread::Builder::new().name("steer".into()).spawn(move || self.run());
        spawned.map(drop).map_err(|error| Error::io("a thread", error))
    }

    fn run(mut self) {
        let crew = self.diallers.crew().clone();
        while matches!(crew.cancel.sleep(TICK), Ok(false)) {
            if crew.stats.elapsed().is_none() {
                continue; // the ends have not met
            }
            let seen = self.see();
            let now = Instant::now();
            let waits = !self.is_held(now, &seen) && crew.stats.waits_for_connections();
            if let Some(change) = self.growth.look(now, waits, self.diallers.most(), &seen) {
                self.change(change);
            }
            if !self.retire_surplus() {
                return; // the run is over
            }
        }
    }

    /// Whether a rate that all share is what held connections back since the last look.
    fn is_held(&mut self, now: Instant, seen: &[Seen]) -> bool {
        let stats = &self.diallers.crew().stats;
        let waited = Duration::from_micros(stats.held_us.now());
        let (then, before) = std::mem::replace(&mut self.looked, (now, waited));
        let held = Held { waited: waited - before, waiting: stats.held_workers.now() };
        held.is_much(now - then, seen.iter().map(|link| u64::from(link.live)).sum())
    }

    /// Each link as it is now.
    fn see(&mut self) -> Vec<Seen> {
        let mut seen = vec![Seen::default(); self.bytes.len()];
        let workers = self.diallers.crew().stats.workers();
        let is_up = |worker: &WorkerId| workers.iter().any(|(other, _)| other == worker);
        self.retiring.retain(is_up);
        self.counted.retain(|worker, _| is_up(worker));
        for (worker, row) in &workers {
            let link = usize::from(row.link.0);
            let Some(seen) = seen.get_mut(link) else { continue }; // the spare way does not count
            seen.live += 1;
            seen.busy += u16::from(row.state() == WorkerState::Busy);
            let bytes = row.bytes.now();
            self.bytes[link] += bytes - self.counted.insert(*worker, bytes).unwrap_or(0);
        }
        for (seen, bytes) in seen.iter_mut().zip(&self.bytes) {
            seen.bytes = *bytes;
        }
        seen
    }

    /// Has a link dialled as often as it should have connections.
    fn change(&mut self, change: Change) {
        let Change { link, wanted, cause } = change;
        let id = LinkId(link as u16); // DESTs are fewer than connections, which fit
        self.diallers.crew().news.tell(Fact::Resized { link: id, workers: wanted, cause });
        self.wanted[link] = wanted;
        self.diallers.want(id, wanted);
    }

    /// Has those go that are too many, also those that came up only after there were to be fewer; says whether
    /// anybody cares. Whoever is seen here has been told of as up.
    fn retire_surplus(&mut self) -> bool {
        let crew = self.diallers.crew();
        let workers = crew.stats.workers();
        let workers = workers.iter().map(|(worker, row)| (*worker, row.link));
        let surplus = surplus(workers, &self.retiring, &self.wanted);
        self.retiring.extend(&surplus);
        surplus.into_iter().all(|worker| crew.events.send(Event::Retire(worker)).is_ok())
    }
}

/// Those of all connections, the oldest first, that are too many on their links and not about to go.
fn surplus(
    workers: impl Iterator<Item = (WorkerId, LinkId)>,
    retiring: &BTreeSet<WorkerId>,
    wanted: &[u16],
) -> Vec<WorkerId> {
    let mut room = wanted.to_vec();
    let mut is_surplus = |link: LinkId| match room.get_mut(usize::from(link.0)) {
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
        None => false, // the spare way does not count
    };
    let staying = workers.filter(|(worker, _)| !retiring.contains(worker));
    staying.filter(|(_, link)| is_surplus(*link)).map(|(worker, _)| worker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_up_when_there_are_to_be_fewer_goes_again() {
        let up = |ids: &[(u32, u16)]| -> Vec<(WorkerId, LinkId)> {
            ids.iter().map(|(worker, link)| (WorkerId(*worker), LinkId(*link))).collect()
        };
        let (mut retiring, wanted) = (BTreeSet::new(), [2, 1]);
        let before = up(&[(0, 0), (1, 1), (2, 0), (3, 0), (4, 2)]);
        let first = surplus(before.iter().copied(), &retiring, &wanted);
        assert_eq!(first, [WorkerId(3)], "the newest of the first link; the spare way stays");
        retiring.extend(first);
        let after = [before, up(&[(5, 0), (6, 1)])].concat();
        let second = surplus(after.into_iter(), &retiring, &wanted);
        assert_eq!(second, [WorkerId(5), WorkerId(6)], "and nobody is asked twice");
    }
}
