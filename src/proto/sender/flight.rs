//! The feet on one connection, in the order in which they were sent: what went out first arrives first.
//!
//! A foot is found by its number on the connection (modulo 2^32: never are so many on their way), so whatever is asked
//! or said of one costs the same however many there are. Does not know what a foot is, nor when it should arrive.

use std::collections::VecDeque;
use std::time::Instant;

/// One foot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: u64,
    /// When it was handed over.
    pub(super) at: Instant,
    /// Its end among the payload bytes sent on the connection.
    pub(super) end: u64,
}

/// What is sent on one connection and not settled.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Those from number `settled` on, except the ones that are settled; the first is not.
    feet: VecDeque<Option<Sent>>,
    /// All before it are.
    settled: u32,
    count: usize,
}

impl Flight {
    /// One more is sent; its number.
    pub(super) fn push(&mut self, sent: Sent) -> u32 {
        let number = self.settled.wrapping_add(self.feet.len() as u32);
        self.feet.push_back(Some(sent));
        self.count += 1;
        number
    }

    /// The foot of this number is settled. False: it was before.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let place = self.place(number);
        if self.feet.get_mut(place).and_then(Option::take).is_none() {
            return false;
        }
        self.count -= 1;
        while let Some(None) = self.feet.front() {
            self.feet.pop_front();
            self.settled = self.settled.wrapping_add(1);
        }
        true
    }

    /// The foot of this number, unless it is settled.
    pub(super) fn get(&self, number: u32) -> Option<Sent> {
        *self.feet.get(self.place(number))?
    }

    /// The one that was sent first.
    pub(super) fn first(&self) -> Option<Sent> {
        *self.feet.front()?
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The numbers of all feet.
    pub(super) fn ids(self) -> impl Iterator<Item = u64> {
        self.feet.into_iter().flatten().map(|sent| sent.id)
    }

    /// Where it is; far behind the end for one that is settled.
    fn place(&self, number: u32) -> usize {
        number.wrapping_sub(self.settled) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: u64) -> Sent {
        Sent { id, at: Instant::now(), end: id }
    }

    #[test]
    fn feet_are_found_by_number_whatever_is_settled_around_them() {
        let mut flight = Flight::default();
        let feet: Vec<Sent> = [7, 3, 9, 4].map(sent).to_vec();
        let numbers: Vec<u32> = feet.iter().map(|&foot| flight.push(foot)).collect();
        for (place, first) in
            [(1, Some(feet[0])), (0, Some(feet[2])), (3, Some(feet[2])), (2, None)]
        {
            assert_eq!(flight.get(numbers[place]), Some(feet[place]));
            assert!(flight.remove(numbers[place]));
            assert_eq!(flight.get(numbers[place]), None);
            assert!(!flight.remove(numbers[place]), "it is settled once");
            assert_eq!(flight.first(), first);
        }
        assert!(flight.is_empty() && flight.feet.is_empty());
    }

    #[test]
    fn numbers_start_again_after_the_highest() {
        let mut flight = Flight { settled: u32::MAX - 1, ..Flight::default() };
        let numbers = [1, 2, 3, 4].map(|id| flight.push(sent(id)));
        assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 0, 1]);
        for (number, id) in numbers.into_iter().zip(1..) {
            assert_eq!(flight.get(number).map(|sent| sent.id), Some(id));
            assert!(flight.remove(number));
            assert!(!flight.remove(number));
        }
        assert!(flight.is_empty());
    }

    #[test]
    fn what_is_left_is_counted_and_named() {
        let mut flight = Flight::default();
        let numbers = [5, 6, 7].map(|id| flight.push(sent(id)));
        assert!(flight.remove(numbers[1]));
        assert_eq!(flight.len(), 2);
        assert_eq!(flight.ids().collect::<Vec<_>>(), [5, 7]);
    }
}
