//! The links of a run: how fast each was, and what it did.
//!
//! What a link does is told from the moment on at which it began, where that is known, and not for all of the second
//! before the line that first knows of it. Does not know how that is drawn, nor in which colour.

use super::run::Curve;
use super::step::{Change, Step};
use super::thin::{Kind, Piece, Thin};
use crate::watch::figures;
use crate::watch::record::LinkRecord;
use std::collections::BTreeSet;

/// So many links have a curve of their own; the others share one.
pub(super) const OWN_LINKS: usize = 8;
/// What each connection of a link sends in a second though it carries nothing.
const HEARTBEATS: f64 = 200.0;
/// A link on which not even a heartbeat has come or gone for this long does not work, whatever it has to carry.
const SILENT_S: f64 = 1.5;

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    /// The links that have no curve of their own.
    others: BTreeSet<u16>,
}

/// One way to the other end, or all that have no curve of their own.
#[derive(Debug)]
pub(super) struct Link {
    /// None for the others.
    number: Option<u16>,
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Bytes a second.
    pub(super) rate: Curve,
    pub(super) state: Thin<Piece<State>>,
    /// For how long no byte has moved.
    silent_s: f64,
}

/// What a link does, the worse the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Bytes of the stream move.
    Carries,
    /// It has nothing to carry.
    Idle,
    /// It has connections, but nothing moves, where something should.
    Stuck,
    /// It has no connection.
    Down,
}

impl Kind for State {
    /// The worst: a link that was down for a moment is one that was down.
    fn of(group: &[Piece<State>]) -> State {
        group.iter().map(|piece| piece.kind).max().unwrap_or(State::Idle)
    }
}

impl Links {
    /// Draws the next step.
    pub(super) fn draw(&mut self, step: &Step<'_>) {
        let changes = step.changes();
        let mut sums: Vec<Sum> = self.all.iter().map(|_| Sum::default()).collect();
        for link in &step.now.links {
            let place = self.place(link);
            sums.resize_with(self.all.len(), Sum::default);
            let change = changes.get(&link.link).copied().unwrap_or_default();
            sums[place].add(step.link_before(link.link), link, change);
        }
        for (link, sum) in self.all.iter_mut().zip(sums) {
            link.draw(step, &sum);
        }
    }

    /// Which curve is that of a link; a new one, if it has none.
    fn place(&mut self, link: &LinkRecord) -> usize {
        let known = self.all.iter().position(|known| known.number == Some(link.link));
        if let Some(place) = known {
            // It is told by more than its address once another comes from there.
            self.all[place].name.clone_from(&link.name);
            return place;
        }
        let is_own = self.all.len() < OWN_LINKS;
        if !is_own {
            self.others.insert(link.link);
        }
        let name = if is_own {
            link.name.clone()
        } else {
            figures::count(self.others.len() as u64, "other link", "other links")
        };
        if let Some(others) = self.all.get_mut(OWN_LINKS) {
            others.name = name;
            return OWN_LINKS;
        }
        self.all.push(Link {
            number: is_own.then_some(link.link),
            name,
            bytes: 0,
            rate: Curve::default(),
            state: Thin::default(),
            silent_s: 0.0,
        });
        self.all.len() - 1
    }
}

impl Link {
    fn draw(&mut self, step: &Step<'_>, sum: &Sum) {
        let rate = step.rate(sum.more);
        self.rate.push(step.sample(rate));
        self.bytes = self.bytes.max(sum.bytes);
        self.silent_s = if sum.more > 0 { 0.0 } else { self.silent_s + step.to - step.from };
        let up = match self.state.last() {
            // A run that ends closes its connections: of the links that says nothing.
            _ if step.is_end() && rate > HEARTBEATS => State::Carries,
            Some(before) if step.is_end() => before,
            _ => sum.state(rate, self.silent_s),
        };
        // A link that nobody knew of before begins with its first connection.
        let is_new = step.before.is_some() && sum.before.is_none();
        let mut from = sum.change.made_at.filter(|_| is_new).unwrap_or(step.from);
        if let Some((lost, made)) = sum.down(step) {
            // What came in the end came over the connections that are there then.
            let was = self.state.last().filter(|_| sum.now > 0).unwrap_or(up);
            self.push(from, lost, was);
            self.state.extend(Piece { from: lost, to: made, kind: State::Down });
            from = made;
        }
        self.push(from, step.to, up);
    }

    fn push(&mut self, from: f64, to: f64, kind: State) {
        if from < to {
            self.state.extend(Piece { from, to, kind });
        }
    }
}

/// The links of one curve in one step.
#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    more: u64,
    /// Connections before it, if it was known, and after it.
    before: Option<usize>,
    now: usize,
    /// Those that carry something: after it, or before it where none is left.
    busy: usize,
    change: Change,
}

impl Sum {
    fn add(&mut self, before: Option<&LinkRecord>, now: &LinkRecord, change: Change) {
        let more = now.wire_bytes.saturating_sub(before.map_or(0, |before| before.wire_bytes));
        self.bytes = self.bytes.saturating_add(now.wire_bytes);
        self.more = self.more.saturating_add(more);
        let last = before.filter(|_| now.connections == 0).unwrap_or(now);
        self.busy = self.busy.saturating_add(last.busy);
        self.now = self.now.saturating_add(now.connections);
        if let Some(before) = before {
            self.before = Some(self.before.unwrap_or(0).saturating_add(before.connections));
        }
        let sum = &mut self.change;
        sum.stayed += change.stayed;
        sum.made += change.made;
        sum.made_at = sum.made_at.into_iter().chain(change.made_at).reduce(f64::min);
        sum.lost_at = sum.lost_at.into_iter().chain(change.lost_at).reduce(f64::max);
    }

    /// What it does while it has connections.
    fn state(&self, rate: f64, silent_s: f64) -> State {
        let connections = self.now.max(self.before.unwrap_or(0)).max(1);
        match self.busy {
            _ if rate > HEARTBEATS * connections as f64 => State::Carries,
            _ if silent_s > SILENT_S => State::Stuck,
            0 => State::Idle,
            _ => State::Stuck,
        }
    }

    /// From when to when it had no connection in the step, if it ever had none. May be a mere moment.
    fn down(&self, step: &Step<'_>) -> Option<(f64, f64)> {
        if step.is_end() {
            return None;
        }
        let Change { stayed, made, made_at, lost_at, .. } = self.change;
        let was_up = self.before.is_some_and(|before| before > 0);
        if self.now == 0 {
            let is_lost = was_up || self.more > 0;
            let from = if is_lost { lost_at.unwrap_or(step.to) } else { step.from };
            return Some((from, step.to));
        }
        match (self.before, lost_at) {
            (Some(0), _) => Some((step.from, made_at.unwrap_or(step.to))),
            (Some(_), Some(lost)) if stayed == 0 && made > 0 => {
                Some((lost, made_at.unwrap_or(lost).max(lost)))
            }
            _ => None,
        }
    }
}
