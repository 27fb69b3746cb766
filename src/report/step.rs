//! The time between two lines of a run, and what became of connections in it.
//!
//! A line counts what there was up to it, and tells how things are at that moment. Does not know what is drawn of a step.

use super::thin::Sample;
use crate::watch::record::{LinkRecord, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Two losses are one if they are told to be no further apart.
const SAME_S: f64 = 0.05;

/// The time between two lines.
pub(super) struct Step<'a> {
    pub(super) from: f64,
    pub(super) to: f64,
    /// The line that it begins with; none at the start.
    pub(super) before: Option<&'a Record>,
    /// The line that it ends with.
    pub(super) now: &'a Record,
    /// The last line of a run that goes on: `now`, or where that is the end one not long before it, for at its end a
    /// run holds nothing any more. The end itself where there is no other.
    pub(super) running: &'a Record,
}

/// What became of one link's connections in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Change {
    /// Those that were there before, and are still, or not any more.
    pub(super) stayed: usize,
    pub(super) gone: usize,
    /// Those that are new, and when the first of them was made.
    pub(super) made: usize,
    pub(super) made_at: Option<f64>,
    /// When one was lost, as well as it is known.
    pub(super) lost_at: Option<f64>,
}

impl Step<'_> {
    /// How much more there is of this than before.
    pub(super) fn more(&self, of: impl Fn(&Record) -> u64) -> u64 {
        of(self.now).saturating_sub(self.before.map_or(0, of))
    }

    pub(super) fn rate(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.to - self.from)
    }

    pub(super) fn sample(&self, value: f64) -> Sample {
        Sample { from: self.from, to: self.to, value }
    }

    /// Whether the run ends with it.
    pub(super) fn is_end(&self) -> bool {
        self.now.end.is_some()
    }

    pub(super) fn link_before(&self, link: u16) -> Option<&LinkRecord> {
        self.before?.links.iter().find(|before| before.link == link)
    }

    /// What became of connections, by their links.
    pub(super) fn changes(&self) -> BTreeMap<u16, Change> {
        let mut changes: BTreeMap<u16, Change> = BTreeMap::new();
        let before = self.before.map_or(&[][..], |before| &before.workers);
        let known: BTreeSet<u32> = before.iter().map(|worker| worker.worker).collect();
        let mut left = BTreeSet::new();
        for worker in &self.running.workers {
            left.insert(worker.worker);
            let change = changes.entry(worker.link).or_default();
            if known.contains(&worker.worker) {
                change.stayed += 1;
                continue;
            }
            let at = self.within(self.running.elapsed_s - worker.age_s);
            change.made += 1;
            change.made_at = Some(change.made_at.map_or(at, |first| first.min(at)));
        }
        for worker in before.iter().filter(|before| !left.contains(&before.worker)) {
            changes.entry(worker.link).or_default().gone += 1;
        }
        self.date_losses(&mut changes);
        changes
    }

    /// Adds when connections were lost: as the lines of links tell it or, in a file of before they did, when it is
    /// first seen; but before another was made in its place.
    fn date_losses(&self, changes: &mut BTreeMap<u16, Change>) {
        let mut is_told = false;
        for link in &self.now.links {
            let Some(age) = link.loss_age_s else { continue };
            is_told = true;
            let known = self.link_before(link.link).and_then(|before| before.loss_age_s);
            // One that was lost before has only become older.
            if known.is_none_or(|known| known + (self.to - self.from) - age > SAME_S) {
                let at = self.within(self.to - age);
                let change = changes.entry(link.link).or_default();
                // Dead connections may be noticed only when new ones replace them.
                let made_at = change.made_at.filter(|_| change.stayed == 0);
                change.lost_at = Some(made_at.map_or(at, |made| at.min(made)));
            }
        }
        let is_loss = self.more(|record| record.lost_connections) > 0;
        for change in changes.values_mut().filter(|change| is_loss && !is_told && change.gone > 0) {
            change.lost_at = Some(change.made_at.unwrap_or(self.to));
        }
    }

    fn within(&self, at: f64) -> f64 {
        at.clamp(self.from, self.to)
    }
}
