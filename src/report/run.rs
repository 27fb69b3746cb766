//! A run as curves, bands and marks, made of its records one after another.
//!
//! Rates are those between two lines, from the bytes that they count, so that nothing is smoothed and no byte is
//! missing. All of it is bounded, however long the run. Does not know how anything is drawn, nor in which colour.

use super::thin::{Kind, Mark, Piece, Sample, Thin};
use crate::stats::Role;
use crate::watch::figures;
use crate::watch::record::{End, LinkRecord, Record};
use std::collections::BTreeSet;

/// So many links have a curve of their own; the others share one.
pub(super) const OWN_LINKS: usize = 8;
/// So many words have a colour of their own; the others share one.
pub(super) const OWN_WORDS: usize = 8;
/// So many events are told in words.
const TOLD: usize = 200;
/// A last line so soon after the one before is taken together with it, for a rate over no time says nothing.
const SOON_S: f64 = 0.5;
/// What each connection of a link sends in a second though it carries nothing.
const HEARTBEATS: f64 = 200.0;

/// A curve.
pub(super) type Curve = Thin<Sample>;

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    /// Which end of which stream it is.
    pub(super) role: Role,
    pub(super) name: String,
    /// The last line, with the totals.
    pub(super) last: Record,
    /// Bytes a second.
    pub(super) stream: Curve,
    pub(super) wire: Curve,
    pub(super) links: Vec<Link>,
    /// The links that have no curve of their own.
    others: BTreeSet<u16>,
    pub(super) bottleneck: Words,
    pub(super) packing: Words,
    /// Raw bytes for each packed one.
    pub(super) ratio: Curve,
    /// Feet.
    pub(super) unacked: Curve,
    pub(super) unsent: Curve,
    pub(super) window: Curve,
    pub(super) lost: Thin<Mark>,
    pub(super) made: Thin<Mark>,
    pub(super) resent: Thin<Mark>,
    pub(super) told: Vec<Told>,
    /// Events that are not told in words.
    pub(super) untold: u64,
    /// The end of what is drawn.
    drawn: Option<Record>,
    /// `last` is not drawn yet.
    is_pending: bool,
}

/// One way to the other end, or all that have no curve of their own.
#[derive(Debug)]
pub(super) struct Link {
    /// None for the others.
    number: Option<u16>,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) rate: Curve,
    pub(super) state: Thin<Piece<State>>,
}

/// What a link does, the worse the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Bytes of the stream move.
    Carries,
    /// It has nothing to carry.
    Idle,
    /// It has something to carry, and nothing moves.
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

/// A band of words, each by its number.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) words: Vec<String>,
    pub(super) band: Thin<Piece<Word>>,
}

/// Which word; [`OWN_WORDS`] is any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) usize);

impl Kind for Word {
    /// What it was for the longest time.
    fn of(group: &[Piece<Word>]) -> Word {
        let mut times = [0.0; OWN_WORDS + 1];
        group.iter().for_each(|piece| times[piece.kind.0] += piece.to - piece.from);
        let longest = times.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
        Word(longest.map_or(OWN_WORDS, |(word, _)| word))
    }
}

impl Words {
    fn push(&mut self, from: f64, to: f64, word: &str) {
        let known = self.words.iter().position(|known| known == word);
        let number = known.unwrap_or_else(|| {
            if self.words.len() < OWN_WORDS {
                self.words.push(word.into());
                return self.words.len() - 1;
            }
            OWN_WORDS
        });
        self.band.extend(Piece { from, to, kind: Word(number) });
    }
}

/// Something that became of connections.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: f64,
    /// Lost, or made.
    pub(super) is_loss: bool,
    pub(super) count: u64,
    /// Which links have fewer or more of them now, as far as it can be seen.
    pub(super) links: Vec<String>,
}

/// The time between two lines.
struct Step<'a> {
    from: f64,
    to: f64,
    /// None at the start.
    before: Option<&'a Record>,
    now: &'a Record,
}

impl Step<'_> {
    /// How much more there is of this than before.
    fn more(&self, of: impl Fn(&Record) -> u64) -> u64 {
        of(self.now).saturating_sub(self.before.map_or(0, of))
    }

    fn rate(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.to - self.from)
    }

    fn sample(&self, value: f64) -> Sample {
        Sample { from: self.from, to: self.to, value }
    }

    fn link_before(&self, link: u16) -> Option<&LinkRecord> {
        self.before?.links.iter().find(|before| before.link == link)
    }
}

impl Run {
    /// A run with this first line.
    pub(super) fn new(first: Record) -> Run {
        Run {
            role: first.role,
            name: first.name.clone(),
            is_pending: true,
            last: first,
            stream: Curve::default(),
            wire: Curve::default(),
            links: Vec::new(),
            others: BTreeSet::new(),
            bottleneck: Words::default(),
            packing: Words::default(),
            ratio: Curve::default(),
            unacked: Curve::default(),
            unsent: Curve::default(),
            window: Curve::default(),
            lost: Thin::default(),
            made: Thin::default(),
            resent: Thin::default(),
            told: Vec::new(),
            untold: 0,
            drawn: None,
        }
    }

    /// Whether a line may be of this run: of the same end of the same stream.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        (self.role, self.name.as_str()) == (record.role, record.name.as_str())
    }

    /// The next line, no earlier than the last.
    pub(super) fn take(&mut self, record: Record) {
        let is_soon = record.end.is_some() && record.elapsed_s - self.last.elapsed_s < SOON_S;
        if !is_soon {
            self.finish();
        }
        self.last = record;
        self.is_pending = true;
    }

    /// Draws what is pending.
    pub(super) fn finish(&mut self) {
        let from = self.drawn.as_ref().map_or(0.0, |drawn| drawn.elapsed_s);
        // Before the ends have met, and between two lines at one moment, there is nothing to draw.
        if !std::mem::take(&mut self.is_pending) || self.last.elapsed_s - from < 1e-3 {
            return;
        }
        let before = self.drawn.take();
        let now = self.last.clone();
        self.draw(&Step { from, to: now.elapsed_s, before: before.as_ref(), now: &now });
        self.drawn = Some(now);
    }

    /// The seconds that there are pictures of.
    pub(super) fn seconds(&self) -> f64 {
        self.drawn.as_ref().map_or(0.0, |drawn| drawn.elapsed_s)
    }

    /// How it ended, if it is known.
    pub(super) fn end(&self) -> Option<&End> {
        self.last.end.as_ref()
    }

    fn draw(&mut self, step: &Step<'_>) {
        let (from, to, now) = (step.from, step.to, step.now);
        self.stream.push(step.sample(step.rate(step.more(|record| record.stream_bytes))));
        self.wire.push(step.sample(step.rate(step.more(|record| record.wire_bytes))));
        self.draw_links(step);
        // At its end a line says what it was for most of the run.
        let is_whole = now.end.is_some();
        let last = step.before.filter(|_| is_whole).unwrap_or(now);
        self.bottleneck.push(from, to, &last.bottleneck);
        if let Some(packing) = &now.packing {
            self.packing.push(from, to, packing);
        }
        let packed = step.more(|record| record.packed_bytes);
        if now.raw_bytes.is_some() && packed > 0 {
            let raw = step.more(|record| record.raw_bytes.unwrap_or_default());
            self.ratio.push(step.sample(raw as f64 / packed as f64));
        }
        // At its end a run holds nothing any more.
        if now.end.is_none() {
            self.unacked.push(step.sample(now.unacked_feet as f64));
            self.unsent.push(step.sample(now.unsent_feet as f64));
            let window = now.limit_foot.saturating_sub(now.lowest_missing_foot);
            self.window.push(step.sample(window as f64));
        }
        self.mark(step);
    }

    fn draw_links(&mut self, step: &Step<'_>) {
        let mut sums: Vec<Sum> = self.links.iter().map(|_| Sum::default()).collect();
        for link in &step.now.links {
            let place = self.place(link);
            sums.resize_with(self.links.len(), Sum::default);
            let before = step.link_before(link.link);
            let more = link.wire_bytes.saturating_sub(before.map_or(0, |before| before.wire_bytes));
            let sum = &mut sums[place];
            sum.bytes = sum.bytes.saturating_add(link.wire_bytes);
            sum.more = sum.more.saturating_add(more);
            sum.connections = sum.connections.saturating_add(link.connections);
            sum.busy = sum.busy.saturating_add(link.busy);
        }
        let is_end = step.now.end.is_some();
        for (link, sum) in self.links.iter_mut().zip(sums) {
            let rate = step.rate(sum.more);
            link.rate.push(step.sample(rate));
            link.bytes = link.bytes.max(sum.bytes);
            let kind = match link.state.last() {
                // A run that ends closes its connections: of the links that says nothing.
                _ if is_end && rate > HEARTBEATS => State::Carries,
                Some(before) if is_end => before,
                _ => sum.state(rate),
            };
            link.state.extend(Piece { from: step.from, to: step.to, kind });
        }
    }

    /// Which curve is that of a link; a new one, if it has none.
    fn place(&mut self, link: &LinkRecord) -> usize {
        let known = self.links.iter().position(|known| known.number == Some(link.link));
        if let Some(place) = known {
            return place;
        }
        let is_own = self.links.len() < OWN_LINKS;
        if !is_own {
            self.others.insert(link.link);
        }
        let name = if is_own {
            link.name.clone()
        } else {
            figures::count(self.others.len() as u64, "other link", "other links")
        };
        if let Some(others) = self.links.get_mut(OWN_LINKS) {
            others.name = name;
            return OWN_LINKS;
        }
        self.links.push(Link {
            number: is_own.then_some(link.link),
            name,
            bytes: 0,
            rate: Curve::default(),
            state: Thin::default(),
        });
        self.links.len() - 1
    }

    /// Marks what happened in a step: at its end, when it is first known, or when a connection says that it was made.
    fn mark(&mut self, step: &Step<'_>) {
        let resent = step.more(|record| record.resent_feet);
        if resent > 0 {
            self.resent.push(Mark { at: step.to, count: resent });
        }
        let lost = step.more(|record| record.lost_connections);
        if lost > 0 {
            self.lost.push(Mark { at: step.to, count: lost });
            self.tell(step, step.to, true, lost);
        }
        // The first connections are no news.
        let Some(before) = step.before else { return };
        let known: BTreeSet<u32> = before.workers.iter().map(|worker| worker.worker).collect();
        let new = step.now.workers.iter().filter(|worker| !known.contains(&worker.worker));
        let made: Vec<f64> =
            new.map(|new| (step.to - new.age_s).clamp(step.from, step.to)).collect();
        if let Some(at) = made.iter().copied().min_by(f64::total_cmp) {
            let count = made.len() as u64;
            self.made.push(Mark { at, count });
            self.tell(step, at, false, count);
        }
    }

    fn tell(&mut self, step: &Step<'_>, at: f64, is_loss: bool, count: u64) {
        if self.told.len() >= TOLD {
            self.untold += 1;
            return;
        }
        let has_changed = |link: &&LinkRecord| {
            let before = step.link_before(link.link).map_or(0, |before| before.connections);
            if is_loss { link.connections < before } else { link.connections > before }
        };
        let links = if step.now.end.is_some() { &[] } else { step.now.links.as_slice() };
        let links = links.iter().filter(has_changed).take(OWN_LINKS);
        let links = links.map(|link| link.name.clone()).collect();
        self.told.push(Told { at, is_loss, count, links });
    }
}

/// The links of one curve in one step.
#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    more: u64,
    connections: usize,
    busy: usize,
}

impl Sum {
    fn state(&self, rate: f64) -> State {
        match self {
            Sum { connections: 0, .. } => State::Down,
            _ if rate > HEARTBEATS * self.connections as f64 => State::Carries,
            Sum { busy: 0, .. } => State::Idle,
            _ => State::Stuck,
        }
    }
}
