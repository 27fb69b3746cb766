//! A run as curves, bands and marks, made of its records one after another.
//!
//! Rates are those between two lines, from the bytes that they count, so that nothing is smoothed and no byte is
//! missing. All of it is bounded, however long the run. Does not know how anything is drawn, nor in which colour.

use super::links::{Links, OWN_LINKS};
use super::step::{Change, Step};
use super::thin::{Kind, Mark, Piece, Sample, Thin};
use crate::stats::Role;
use crate::watch::record::{End, Record};

/// So many words have a colour of their own; the others share one.
pub(super) const OWN_WORDS: usize = 8;
/// So many events are told in words.
const TOLD: usize = 200;
/// A last line so soon after the one before is taken together with it, for a rate over no time says nothing.
const SOON_S: f64 = 0.5;

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
    /// When the ends had met, in Unix time, as the first line after that tells it: one of a run that has stopped would
    /// take what is waited for after that for a part of it.
    pub(super) began_s: Option<f64>,
    /// Bytes a second.
    pub(super) stream: Curve,
    pub(super) wire: Curve,
    pub(super) links: Links,
    pub(super) bottleneck: Words,
    pub(super) packing: Words,
    /// Raw bytes for each packed one.
    pub(super) ratio: Curve,
    /// Feet.
    pub(super) in_flight: Curve,
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
    /// The last line before the end.
    running: Option<Record>,
    /// `last` is not drawn yet.
    is_pending: bool,
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

impl Run {
    /// A run with this first line.
    pub(super) fn new(first: Record) -> Run {
        let mut run = Run {
            role: first.role,
            name: first.name.clone(),
            is_pending: true,
            last: first.clone(),
            began_s: None,
            stream: Curve::default(),
            wire: Curve::default(),
            links: Links::default(),
            bottleneck: Words::default(),
            packing: Words::default(),
            ratio: Curve::default(),
            in_flight: Curve::default(),
            unsent: Curve::default(),
            window: Curve::default(),
            lost: Thin::default(),
            made: Thin::default(),
            resent: Thin::default(),
            told: Vec::new(),
            untold: 0,
            drawn: None,
            running: None,
        };
        run.expect(first);
        run
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
        self.expect(record);
    }

    fn expect(&mut self, record: Record) {
        if record.elapsed_s > 0.0 {
            self.began_s.get_or_insert(record.unix_s - record.elapsed_s);
        }
        // Before the ends have met nothing runs.
        if record.end.is_none() && record.elapsed_s > 0.0 {
            self.running = Some(record.clone());
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
        let running = self.running.take();
        let at = running.as_ref().unwrap_or(&now);
        let to = now.elapsed_s;
        self.draw(&Step { from, to, before: before.as_ref(), now: &now, running: at });
        self.running = running;
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
        let (from, to, running) = (step.from, step.to, step.running);
        self.stream.push(step.sample(step.rate(step.more(|record| record.stream_bytes))));
        self.wire.push(step.sample(step.rate(step.more(|record| record.wire_bytes))));
        self.links.draw(step);
        self.bottleneck.push(from, to, &running.bottleneck);
        if let Some(packing) = &running.packing {
            self.packing.push(from, to, packing);
        }
        self.draw_ratio(step);
        if running.end.is_none() {
            self.in_flight.push(step.sample(in_flight(running) as f64));
            self.unsent.push(step.sample(running.unsent_feet as f64));
            let window = running.limit_foot.saturating_sub(running.lowest_missing_foot);
            self.window.push(step.sample(window as f64));
        }
        self.mark(step);
    }

    /// Of what was packed in a step, or last before it.
    fn draw_ratio(&mut self, step: &Step<'_>) {
        let packed = step.more(|record| record.packed_bytes);
        let raw = step.now.raw_bytes.map(|_| step.more(|it| it.raw_bytes.unwrap_or_default()));
        let last = self.ratio.items().last().map(|last| last.value);
        let ratio = raw.filter(|_| packed > 0).map(|raw| raw as f64 / packed as f64);
        if let Some(ratio) = ratio.or(last) {
            self.ratio.push(step.sample(ratio));
        }
    }

    /// Marks what happened in a step: when it did, as far as that is known, or else at its end.
    fn mark(&mut self, step: &Step<'_>) {
        let resent = step.more(|record| record.resent_feet);
        if resent > 0 {
            self.resent.push(Mark { at: step.to, count: resent });
        }
        let changes = step.changes();
        let first =
            |of: fn(&Change) -> Option<f64>| changes.values().filter_map(of).reduce(f64::min);
        let names = |of: fn(&Change) -> Option<f64>| {
            let links = step.now.links.iter();
            let links = links.filter(|link| changes.get(&link.link).and_then(of).is_some());
            links.take(OWN_LINKS).map(|link| link.name.clone()).collect()
        };
        let mut told = Vec::new();
        let lost = step.more(|record| record.lost_connections);
        if lost > 0 {
            let at = first(|change| change.lost_at).unwrap_or(step.to);
            self.lost.push(Mark { at, count: lost });
            told.push(Told { at, is_loss: true, count: lost, links: names(|it| it.lost_at) });
        }
        let made = changes.values().map(|change| change.made as u64).sum();
        // The first connections are no news.
        if let Some(at) = first(|change| change.made_at).filter(|_| step.before.is_some()) {
            self.made.push(Mark { at, count: made });
            told.push(Told { at, is_loss: false, count: made, links: names(|it| it.made_at) });
        }
        told.sort_by(|one, other| one.at.total_cmp(&other.at));
        told.into_iter().for_each(|told| self.tell(told));
    }

    fn tell(&mut self, told: Told) {
        if self.told.len() >= TOLD {
            self.untold += 1;
            return;
        }
        self.told.push(told);
    }
}

/// Feet that are sent and not acked: those that wait for a connection are among the unacked ones.
fn in_flight(record: &Record) -> u64 {
    record.unacked_feet.saturating_sub(record.unsent_feet)
}
