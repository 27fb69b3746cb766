//! A set of numbers as sorted, disjoint, half-open ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// The set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds `range`; returns what of it was not there before.
    pub fn insert(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        if range.is_empty() {
            return Vec::new();
        }
        let (mut start, mut end) = (range.start, range.end);
        let mut fresh = Vec::new();
        let mut place = range.start;
        if let Some((&s, &e)) = self.ranges.range(..=range.start).next_back()
            && e >= range.start
        {
            start = s;
            end = end.max(e);
            place = place.max(e.min(range.end));
        }
        let touched: Vec<(u64, u64)> =
            self.ranges.range(start..=range.end).map(|(&s, &e)| (s, e)).collect();
        for (s, e) in touched {
            if s > place {
                fresh.push(place..s.min(range.end));
            }
            place = place.max(e);
            end = end.max(e);
            self.ranges.remove(&s);
        }
        if place < range.end {
            fresh.push(place..range.end);
        }
        self.ranges.insert(start, end);
        fresh
    }

    /// Forgets all numbers below `n`.
    pub fn remove_below(&mut self, n: u64) {
        while let Some((&s, &e)) = self.ranges.first_key_value()
            && s < n
        {
            self.ranges.pop_first();
            if e > n {
                self.ranges.insert(n, e);
            }
        }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&s, &e)| s..e)
    }

    /// The lowest number from `n` on that is not in the set.
    pub fn first_gap_at_or_after(&self, n: u64) -> u64 {
        match self.ranges.range(..=n).next_back() {
            Some((_, &e)) if e > n => e,
            _ => n,
        }
    }
}
