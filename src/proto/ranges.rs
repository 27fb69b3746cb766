//! A set of numbers kept as sorted, disjoint ranges that never touch: which feet are acked, which are
//! verified.
//!
//! Every call costs in ranges, never in numbers. Does not know what the numbers mean.

use std::{collections::BTreeMap, ops::Range};

/// A set of numbers below `u64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The empty set.
    pub fn new() -> Ranges {
        Ranges::default()
    }

    /// Adds the range, and returns those parts of it that were not in the set, ascending.
    pub fn insert(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut fresh = Vec::new();
        if range.is_empty() {
            return fresh;
        }
        let mut merged = range.clone();
        if let Some(before) = self.at_or_before(range.start)
            && before.end >= range.start
        {
            if before.end >= range.end {
                return fresh;
            }
            merged.start = before.start;
        }
        // Everything below this is in the set, or in `fresh`.
        let mut covered = range.start;
        while let Some((&start, &end)) = self.0.range(merged.start..=range.end).next() {
            if covered < start {
                fresh.push(covered..start);
            }
            covered = end;
            merged.end = merged.end.max(end);
            self.0.remove(&start);
        }
        if covered < range.end {
            fresh.push(covered..range.end);
        }
        self.0.insert(merged.start, merged.end);
        fresh
    }

    /// Those of `ranges`, which are ascending, that are not wholly in the set. One step goes through both, for
    /// nearly all of what an ack says has been said before.
    pub fn fresh_of<'a>(&self, ranges: &'a [Range<u64>]) -> impl Iterator<Item = &'a Range<u64>> {
        let mut known = self.iter().peekable();
        ranges.iter().filter(move |range| {
            while known.next_if(|known| known.end < range.end).is_some() {}
            known.peek().is_none_or(|known| range.start < known.start)
        })
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.at_or_before(number).is_some_and(|range| number < range.end)
    }

    /// Forgets all numbers below this one.
    pub fn remove_below(&mut self, number: u64) {
        while let Some(first) = self.0.first_entry()
            && *first.key() < number
        {
            let end = first.remove();
            if number < end {
                self.0.insert(number, end);
            }
        }
    }

    /// The lowest number from this one on that is not in the set.
    pub fn first_gap_at_or_after(&self, number: u64) -> u64 {
        // Ranges never touch, so the end of one is not in the next.
        self.at_or_before(number).map_or(number, |range| range.end.max(number))
    }

    /// The ranges, ascending; between any two there is a gap.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges there are.
    pub fn len_ranges(&self) -> usize {
        self.0.len()
    }

    /// The last range that starts at this number or before it.
    fn at_or_before(&self, number: u64) -> Option<Range<u64>> {
        self.0.range(..=number).next_back().map(|(&start, &end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Small enough that ranges meet all the time.
    const TOP: u64 = 40;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Range<u64>),
        RemoveBelow(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..TOP, 0..8_u64).prop_map(|(start, len)| Step::Insert(start..start + len)),
            1 => (0..TOP).prop_map(Step::RemoveBelow),
        ]
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_numbers(steps in prop::collection::vec(step(), 0..40)) {
            let (mut ranges, mut model) = (Ranges::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(range) => {
                        let wanted: Vec<u64> =
                            range.clone().filter(|&number| model.insert(number)).collect();
                        let fresh = ranges.insert(range);
                        prop_assert!(fresh.iter().all(|range| !range.is_empty()));
                        prop_assert!(fresh.windows(2).all(|pair| pair[0].end < pair[1].start));
                        prop_assert_eq!(fresh.into_iter().flatten().collect::<Vec<_>>(), wanted);
                    }
                    Step::RemoveBelow(number) => {
                        ranges.remove_below(number);
                        model.retain(|&kept| kept >= number);
                    }
                }
                agree(&ranges, &model)?;
            }
        }

        #[test]
        fn what_is_wholly_in_the_set_is_not_fresh(
            known in prop::collection::vec((0..TOP, 1..8_u64), 0..8),
            said in prop::collection::vec((0..TOP, 1..8_u64), 0..8),
        ) {
            let [known, said] = [known, said].map(|parts| {
                let mut ranges = Ranges::new();
                for (start, len) in parts {
                    ranges.insert(start..start + len);
                }
                ranges
            });
            let said: Vec<_> = said.iter().collect();
            let wanted = said.iter().filter(|range| !(*range).clone().all(|number| known.contains(number)));
            prop_assert!(known.fresh_of(&said).eq(wanted));
        }
    }

    fn agree(ranges: &Ranges, model: &BTreeSet<u64>) -> Result<(), TestCaseError> {
        let listed: Vec<_> = ranges.iter().collect();
        prop_assert!(listed.iter().all(|range| !range.is_empty()));
        prop_assert!(listed.windows(2).all(|pair| pair[0].end < pair[1].start));
        prop_assert_eq!(listed.len(), ranges.len_ranges());
        prop_assert_eq!(model.is_empty(), ranges.is_empty());
        prop_assert!(listed.into_iter().flatten().eq(model.iter().copied()));
        for number in 0..TOP + 9 {
            prop_assert_eq!(ranges.contains(number), model.contains(&number));
            let gap = (number..).find(|other| !model.contains(other));
            prop_assert_eq!(Some(ranges.first_gap_at_or_after(number)), gap);
        }
        Ok(())
    }

    #[test]
    fn an_ack_seen_before_brings_nothing() {
        let mut ranges = Ranges::new();
        let mut fresh = |range| ranges.insert(range).into_iter().map(|part| (part.start, part.end));
        assert!(fresh(0..u64::MAX - 1).eq([(0, u64::MAX - 1)]));
        assert!(fresh(5..1 << 60).eq([]));
        assert!(fresh(3..u64::MAX).eq([(u64::MAX - 1, u64::MAX)]));
        assert_eq!(ranges.len_ranges(), 1);
        assert_eq!(ranges.first_gap_at_or_after(7), u64::MAX);
    }
}
