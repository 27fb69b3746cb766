//! Puts the numbers of verified feet back in order, inside the receiver's window.
//!
//! Knows numbers, places and checks. The bytes themselves stay with its owner, who is told which
//! foot comes next.

use super::ranges::Ranges;
use crate::foot::FootHeader;
use std::collections::VecDeque;
use std::ops::Range;

/// What became of a foot that was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was missing.
    New,
    /// It was there before.
    Duplicate,
    /// It was there before with another header: one of the two is wrong.
    Conflict,
    /// It lies beyond the window.
    Outside,
}

/// The window of feet between what the sink has taken and what may be sent.
///
/// `written ≤ next ≤ cumulative ≤ limit`, and `limit = written + window`.
#[derive(Debug)]
pub struct Reassembler {
    window_feet: u64,
    /// Feet below this number have been taken by the sink; the slots begin here.
    written: u64,
    /// The next foot to hand to the sink.
    next: u64,
    slots: VecDeque<Option<FootHeader>>,
    received: Ranges,
    /// One more than the highest foot inserted.
    seen: u64,
}

impl Reassembler {
    /// An empty window of `window_feet` feet, at least one.
    pub fn new(window_feet: u64) -> Reassembler {
        assert!(window_feet > 0, "a window holds at least one foot");
        Reassembler {
            window_feet,
            written: 0,
            next: 0,
            slots: VecDeque::new(),
            received: Ranges::default(),
            seen: 0,
        }
    }

    /// Takes note of a verified foot.
    pub fn insert(&mut self, header: FootHeader) -> Inserted {
        if header.id >= self.limit() {
            return Inserted::Outside;
        }
        let Some(index) = header.id.checked_sub(self.written) else {
            return Inserted::Duplicate;
        };
        let index = index as usize; // below window_feet, which slots can hold
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        match &self.slots[index] {
            Some(held) if held.check == header.check && held.offset == header.offset => {
                Inserted::Duplicate
            }
            Some(_) => Inserted::Conflict,
            None => {
                self.slots[index] = Some(header);
                self.received.insert(header.id..header.id + 1);
                self.seen = self.seen.max(header.id + 1);
                Inserted::New
            }
        }
    }

    /// Whether foot `id` is inside the window and not here.
    pub fn is_missing(&self, id: u64) -> bool {
        let Some(index) = id.checked_sub(self.written) else { return false };
        id < self.limit() && self.slots.get(index as usize).is_none_or(Option::is_none)
    }

    /// The next foot in order, once it is there.
    pub fn pop(&mut self) -> Option<FootHeader> {
        let index = (self.next - self.written) as usize; // below the slots' length
        let header = *self.slots.get(index)?.as_ref()?;
        self.next += 1;
        Some(header)
    }

    /// The sink has taken the lowest foot that was popped and not yet released.
    pub fn release(&mut self) {
        assert!(self.written < self.next, "only a foot that was handed out can be released");
        self.slots.pop_front();
        self.written += 1;
        // Kept up to the sink's place only, so that the sets stay small however far the sink lags.
        self.received.remove_below(self.written);
    }

    /// Every foot below this number is here.
    pub fn cumulative(&self) -> u64 {
        self.received.first_gap_at_or_after(self.written)
    }

    /// Feet from this number on do not fit yet.
    pub fn limit(&self) -> u64 {
        self.written + self.window_feet
    }

    /// Feet below this number are with the sink.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// One more than the highest foot that came in.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The feet above `cumulative` that are here, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let cumulative = self.cumulative();
        self.received.iter().filter(move |range| range.start >= cumulative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foot::Codec;

    fn foot(id: u64) -> FootHeader {
        FootHeader {
            id,
            offset: id * 100,
            raw_bytes: 100,
            packed_bytes: 100,
            codec: Codec::Raw,
            check: [id as u8; 32],
        }
    }

    #[test]
    fn feet_come_out_in_order_whatever_order_they_came_in() {
        let mut window = Reassembler::new(8);
        for id in [3, 1, 0, 2] {
            assert_eq!(window.insert(foot(id)), Inserted::New);
        }
        let popped: Vec<u64> = std::iter::from_fn(|| window.pop()).map(|foot| foot.id).collect();
        assert_eq!(popped, [0, 1, 2, 3]);
        assert_eq!(window.cumulative(), 4);
    }

    #[test]
    fn the_window_moves_only_when_the_sink_has_taken_a_foot() {
        let mut window = Reassembler::new(2);
        assert_eq!(window.insert(foot(2)), Inserted::Outside);
        window.insert(foot(0));
        window.pop();
        assert_eq!(window.insert(foot(2)), Inserted::Outside);
        window.release();
        assert_eq!(window.limit(), 3);
        assert_eq!(window.insert(foot(2)), Inserted::New);
        assert_eq!(window.ranges().collect::<Vec<_>>(), vec![2..3]);
    }

    #[test]
    fn a_second_copy_is_a_duplicate_and_another_check_a_conflict() {
        let mut window = Reassembler::new(4);
        window.insert(foot(1));
        assert_eq!(window.insert(foot(1)), Inserted::Duplicate);
        assert_eq!(window.insert(FootHeader { check: [9; 32], ..foot(1) }), Inserted::Conflict);
        window.insert(foot(0));
        window.pop();
        window.release();
        assert_eq!(window.insert(foot(0)), Inserted::Duplicate);
    }
}
