//! The connections that are up.
//!
//! Each has a seat, by which all that is reckoned refers to it: it is found there at once, however many there are, where
//! a number from outside has to be searched for. Does not know what a connection is worth.

use super::path::Path;
use crate::proto::WorkerId;
use std::collections::BTreeMap;
use std::ops::Index;

/// A connection, and the slot in which it is kept; another may have had that before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat {
    pub(super) worker: WorkerId,
    pub(super) slot: u32,
}

impl Seat {
    /// Before all others.
    pub(super) const FIRST: Seat = Seat { worker: WorkerId(0), slot: 0 };
    /// Behind all others.
    pub(super) const LAST: Seat = Seat { worker: WorkerId(u32::MAX), slot: u32::MAX };
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Workers {
    slots: BTreeMap<WorkerId, u32>,
    paths: Vec<Option<(WorkerId, Path)>>,
    free_slots: Vec<u32>,
}

impl Workers {
    /// One more, whose number none of the others has.
    pub(super) fn insert(&mut self, worker: WorkerId, path: Path) -> Seat {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.paths.push(None);
            self.paths.len() as u32 - 1
        });
        self.paths[slot as usize] = Some((worker, path));
        self.slots.insert(worker, slot);
        Seat { worker, slot }
    }

    /// One is gone.
    pub(super) fn remove(&mut self, worker: WorkerId) -> Option<(Seat, Path)> {
        let slot = self.slots.remove(&worker)?;
        let (_, path) = self.paths[slot as usize].take()?;
        self.free_slots.push(slot);
        Some((Seat { worker, slot }, path))
    }

    /// Where this connection is, if it is up.
    pub(super) fn seat(&self, worker: WorkerId) -> Option<Seat> {
        self.slots.get(&worker).map(|&slot| Seat { worker, slot })
    }

    /// The connection that has this seat, unless it is gone.
    pub(super) fn get(&self, seat: Seat) -> Option<&Path> {
        let (worker, path) = self.paths.get(seat.slot as usize)?.as_ref()?;
        (*worker == seat.worker).then_some(path)
    }

    /// The same.
    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut Path> {
        let (worker, path) = self.paths.get_mut(seat.slot as usize)?.as_mut()?;
        (*worker == seat.worker).then_some(path)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Their numbers, ascending.
    pub(super) fn ids(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.slots.keys().copied()
    }

    /// All, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Seat, &Path)> {
        self.slots.iter().filter_map(|(&worker, &slot)| {
            let seat = Seat { worker, slot };
            Some((seat, self.get(seat)?))
        })
    }

    /// The same without their numbers.
    pub(super) fn values(&self) -> impl Iterator<Item = &Path> {
        self.iter().map(|(_, path)| path)
    }
}

impl Index<Seat> for Workers {
    type Output = Path;

    /// For a seat that is known to be taken.
    fn index(&self, seat: Seat) -> &Path {
        self.get(seat).expect("whoever leaves is forgotten everywhere")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::LinkId;
    use std::time::{Duration, Instant};

    fn path(link: u16) -> Path {
        Path::new(LinkId(link), Duration::ZERO, Instant::now())
    }

    #[test]
    fn a_seat_is_given_again_and_the_old_one_finds_nobody() {
        let mut workers = Workers::default();
        let first = workers.insert(WorkerId(1), path(1));
        let second = workers.insert(WorkerId(2), path(2));
        assert!(workers.remove(WorkerId(1)).is_some_and(|(seat, _)| seat == first));
        assert!(workers.remove(WorkerId(1)).is_none());
        let third = workers.insert(WorkerId(3), path(3));
        assert_eq!(third.slot, first.slot);
        assert!(workers.get(first).is_none() && workers.get_mut(first).is_none());
        assert_eq!(workers.seat(WorkerId(1)), None);
        assert_eq!([workers[second].link, workers[third].link], [LinkId(2), LinkId(3)]);
        assert_eq!(workers.len(), 2);
    }

    #[test]
    fn all_are_told_by_number_wherever_they_sit() {
        let mut workers = Workers::default();
        for worker in [5, 2, 9] {
            workers.insert(WorkerId(worker), path(worker as u16));
        }
        assert_eq!(workers.ids().collect::<Vec<_>>(), [2, 5, 9].map(WorkerId));
        assert_eq!(workers.values().map(|path| path.link.0).collect::<Vec<_>>(), [2, 5, 9]);
    }
}
