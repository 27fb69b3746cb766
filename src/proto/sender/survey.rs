//! What the connections come to together, at a cost for each foot that does not grow with their number.
//!
//! Sums, and who is the quickest, are kept exact, change by change. What second copies need to know of all of
//! them is found by a *survey*, which serves until one connection in [`OUTDATED`] has changed: so of fifteen
//! and fewer it is never out of date, and of more so little that no decision gets worse for it. Does not decide
//! anything: see [`super::schedule`] and [`super::reinject`].

use super::Sender;
use super::path::{Path, seconds};
use super::schedule::{LATE, UNKNOWN};
use super::workers::Seat;
use crate::proto::{LinkId, WorkerId};
use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

/// A survey serves until one connection in so many has changed since.
const OUTDATED: usize = 16;
/// And no longer than this: connections become overdue by themselves.
const MAX_AGE: Duration = Duration::from_millis(10);
/// How often it is looked who has become overdue: nothing against [`LATE`].
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// What one connection adds to those of its link, or they to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) workers: usize,
    /// Delivery rates, in bytes a second.
    pub(super) rate: u64,
    /// Those of them that may be waited for.
    pub(super) timely_rate: u64,
    /// Wire bytes in flight, copies counted twice.
    pub(super) in_flight_bytes: u64,
    /// Connections with feet in flight.
    pub(super) busy: usize,
    /// Those of them whose rate is not known yet.
    pub(super) tried: usize,
}

impl AddAssign for Share {
    fn add_assign(&mut self, more: Share) {
        self.workers += more.workers;
        self.rate += more.rate;
        self.timely_rate += more.timely_rate;
        self.in_flight_bytes += more.in_flight_bytes;
        self.busy += more.busy;
        self.tried += more.tried;
    }
}

impl SubAssign for Share {
    fn sub_assign(&mut self, less: Share) {
        self.workers -= less.workers;
        self.rate -= less.rate;
        self.timely_rate -= less.timely_rate;
        self.in_flight_bytes -= less.in_flight_bytes;
        self.busy -= less.busy;
        self.tried -= less.tried;
    }
}

/// What a look at all connections has found.
#[derive(Debug)]
pub(super) struct Survey {
    at: Instant,
    /// Connections that have changed since; `None` asks for a new one.
    changes: Option<usize>,
    pub(super) links: BTreeMap<LinkId, Condition>,
}

impl Survey {
    /// One that is out of date.
    pub(super) fn new(now: Instant) -> Survey {
        Survey { at: now, changes: None, links: BTreeMap::new() }
    }
}

/// Who might be given a second copy; the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rescuer {
    /// It is late itself, or shares a link that may be dead: not if there is a choice.
    is_late: bool,
    /// How long until the copy would be known to have arrived.
    pub(super) time: Duration,
    /// It has something to write.
    pub(super) is_busy: bool,
    pub(super) seat: Seat,
}

/// What the connections of a link say of it together: a second copy is for when one of them is late, and
/// what one of them knows may be out of date, or nothing.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// The best delivery rate of any of them, in bytes a second; 0 while none is known.
    best_rate: u64,
    /// When something should have arrived on one of them that has not; the last such time.
    overdue: Option<Instant>,
    last_arrival: Option<Instant>,
    /// The two that are best for a second copy of a full foot.
    pub(super) rescuers: [Option<Rescuer>; 2],
}

impl Condition {
    /// Whether nothing has arrived over it since something should have.
    fn may_be_dead(&self) -> bool {
        self.overdue > self.last_arrival
    }

    /// How good `path`, a connection of this link, is for a second copy of `bytes`.
    pub(super) fn rescuer(&self, now: Instant, seat: Seat, path: &Path, bytes: u64) -> Rescuer {
        let is_late = self.may_be_dead() || path.overdue(now, LATE).is_some();
        Rescuer {
            is_late,
            time: self.time_on(path, bytes),
            is_busy: !path.unwritten.is_empty(),
            seat,
        }
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

impl Sender {
    /// Something about a connection changes. What follows from it is reckoned by [`Sender::reckon`], which all who
    /// ask call first: of what one ack changes, and one bundle of messages, each connection is reckoned once.
    pub(super) fn change(&mut self, seat: Seat, change: impl FnOnce(&mut Path)) {
        let Some(path) = self.workers.get_mut(seat) else { return };
        path.is_overdue = false; // unless that is the change, it will be found out again
        change(path);
        if !std::mem::replace(&mut path.has_changed, true) {
            self.changed.push(seat);
        }
    }

    /// Brings what is reckoned of all connections and their links up to date.
    pub(super) fn reckon(&mut self) {
        while let Some(seat) = self.changed.pop() {
            let Some(path) = self.workers.get_mut(seat) else { continue };
            let (share, asking) = (path.share, path.asking);
            path.reckon(seat, self.config.foot_bytes);
            if path.share != share {
                for sum in [&mut self.total, self.links.entry(path.link).or_default()] {
                    *sum += path.share;
                    *sum -= share;
                }
            }
            self.ready.moves(asking, path.asking);
            self.quickness.set(seat.slot as usize, path.quickness(seat));
            self.survey.changes = self.survey.changes.map(|changes| changes + 1);
        }
    }

    /// A connection came up.
    pub(super) fn enter(&mut self, worker: WorkerId, path: Path) {
        for sum in [&mut self.total, self.links.entry(path.link).or_default()] {
            *sum += path.share;
        }
        let seat = self.workers.insert(worker, path);
        self.survey.changes = None;
        self.change(seat, |_| {});
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, worker: WorkerId) -> Option<Path> {
        let (seat, path) = self.workers.remove(worker)?;
        self.ready.moves(path.asking, None);
        self.quickness.set(seat.slot as usize, None);
        let link = self.links.entry(path.link).or_default();
        *link -= path.share;
        self.total -= path.share;
        if link.workers == 0 {
            self.links.remove(&path.link);
        }
        self.survey.changes = None;
        Some(path)
    }

    /// A connection gets no more feet.
    pub(super) fn withdraw(&mut self, seat: Seat) {
        self.change(seat, |path| path.retires = true);
        self.survey.changes = None;
    }

    /// Finds out who has become overdue since he last changed: nobody needs to wait for him.
    pub(super) fn note_overdue(&mut self, now: Instant) {
        if now < self.looked_for_overdue + MOMENT {
            return;
        }
        self.looked_for_overdue = now;
        let overdue = self.workers.iter().filter(|(_, path)| path.overdue(now, LATE).is_some());
        let fresh = overdue.filter(|(_, path)| !path.is_overdue).map(|(seat, _)| seat);
        for seat in fresh.collect::<Vec<_>>() {
            self.change(seat, |path| path.is_overdue = true);
        }
        self.reckon();
    }

    /// Looks at all connections, unless that was done a moment ago.
    pub(super) fn look_round(&mut self, now: Instant) {
        let most = self.workers.len() / OUTDATED;
        let serves = self.survey.changes.is_some_and(|changes| changes <= most);
        if !serves || now >= self.survey.at + MAX_AGE {
            self.survey = self.take_survey(now);
        }
    }

    fn take_survey(&self, now: Instant) -> Survey {
        let mut survey = Survey { changes: Some(0), ..Survey::new(now) };
        for path in self.workers.values() {
            let overdue = path.overdue(now, LATE);
            let condition = survey.links.entry(path.link).or_default();
            condition.best_rate = condition.best_rate.max(path.rate());
            condition.overdue = condition.overdue.max(overdue);
            condition.last_arrival = condition.last_arrival.max(path.last_arrival);
        }
        let foot_bytes = u64::from(self.config.foot_bytes);
        for (seat, path) in self.workers.iter().filter(|(_, path)| !path.retires) {
            let condition = survey.links.entry(path.link).or_default();
            let rescuer = condition.rescuer(now, seat, path, foot_bytes);
            keep_two(&mut condition.rescuers, rescuer);
        }
        survey
    }
}

/// Keeps the two least of all that it is given.
fn keep_two<Value: Ord + Copy>(least: &mut [Option<Value>; 2], value: Value) {
    match least {
        [Some(first), _] if *first <= value => {
            least[1] = Some(least[1].map_or(value, |second| second.min(value)));
        }
        [first, second] => (*first, *second) = (Some(value), *first),
    }
}
