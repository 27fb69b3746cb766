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
        let index = self.index(number);
        if self.feet.get_mut(index).and_then(Option::take).is_none() {
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
        *self.feet.get(self.index(number))?
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
    fn index(&self, number: u32) -> usize {
        number.wrapping_sub(self.settled) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Steps: `None` sends one more, `Some(n)` settles the nth that was ever sent.
        #[test]
        fn feet_are_found_by_number_whatever_is_settled_around_them(
            settled in prop_oneof![Just(0), u32::MAX - 9..=u32::MAX],
            steps in prop::collection::vec(prop::option::of(0..24_usize), 0..60),
        ) {
            let mut flight = Flight { settled, ..Flight::default() };
            let (mut numbers, mut model) = (Vec::new(), Vec::new());
            for step in steps {
                let nth = step.map(|nth| nth.min(model.len()));
                match nth.filter(|nth| *nth < model.len()) {
                    None => {
                        let id = 100 + model.len() as u64;
                        let sent = Sent { id, at: Instant::now(), end: id };
                        numbers.push(flight.push(sent));
                        model.push(Some(sent));
                    }
                    Some(nth) => {
                        prop_assert_eq!(flight.remove(numbers[nth]), model[nth].take().is_some());
                    }
                }
                prop_assert!(numbers.iter().map(|number| flight.get(*number)).eq(model.iter().copied()));
                prop_assert_eq!(flight.first(), model.iter().flatten().next().copied());
                prop_assert_eq!(flight.len(), model.iter().flatten().count());
                prop_assert_eq!(flight.is_empty(), model.iter().all(Option::is_none));
            }
            prop_assert!(!flight.is_empty() || flight.feet.is_empty(), "nothing is kept of those that are settled");
            let left = model.into_iter().flatten().map(|sent| sent.id);
            prop_assert!(flight.ids().eq(left));
        }
    }
}
