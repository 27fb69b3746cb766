//! The feet on one connection, in the order in which they were sent: what went out first arrives first.
//!
//! A foot is found by its number on the connection, so whatever is asked or said of one costs the same however many
//! there are. Does not know what a foot is, nor when it should arrive.

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
    /// All with lower numbers are settled.
    settled: u64,
    count: usize,
}

impl Flight {
    /// One more is sent; its number.
    pub(super) fn push(&mut self, sent: Sent) -> u64 {
        self.feet.push_back(Some(sent));
        self.count += 1;
        self.settled + self.feet.len() as u64 - 1
    }

    /// The foot of this number is settled. False: it was before.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let foot = self.place(number).and_then(|place| self.feet.get_mut(place));
        if foot.and_then(Option::take).is_none() {
            return false;
        }
        self.count -= 1;
        while let Some(None) = self.feet.front() {
            self.feet.pop_front();
            self.settled += 1;
        }
        true
    }

    /// The foot of this number, unless it is settled.
    pub(super) fn get(&self, number: u64) -> Option<Sent> {
        *self.feet.get(self.place(number)?)?
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

    fn place(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.settled).map(|place| place as usize)
    }
}
