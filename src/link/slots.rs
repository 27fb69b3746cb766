//! The places for connections that a session has, when it was settled to fewer than were asked for.
//!
//! Whoever has connected claims a place before it says hello, so that a link which does not connect
//! keeps none. A link without any takes one over from a link with several: the listening end then
//! replaces that connection, since the newer one has its index. The place changes hands only once the
//! newcomer is welcome; before that nobody knows whether it has met our session at all, and a link that
//! leads elsewhere must not cost the others theirs. Does not know how connections come up.

use crate::proto::LinkId;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The places, shared by all who dial.
#[derive(Debug)]
pub(super) struct Slots {
    places: Mutex<Places>,
    changed: Condvar,
}

/// A place that is held, or to be taken over, until this is dropped or another link takes it over.
#[derive(Debug)]
pub(super) struct Claim {
    slots: Arc<Slots>,
    holder: Holder,
    pub(super) index: u16,
}

#[derive(Debug)]
struct Places {
    all: Vec<Place>,
    /// So many of them are in use.
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    holder: Option<Holder>,
    /// Who takes it over once it is welcome.
    heir: Option<Holder>,
}

/// Who holds a place: `dialler` is the number of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    link: LinkId,
    dialler: u32,
}

impl Slots {
    /// Free places for so many connections.
    pub(super) fn new(count: u16) -> Slots {
        let count = usize::from(count);
        let places = Places { all: vec![Place::default(); count], count };
        Slots { places: Mutex::new(places), changed: Condvar::new() }
    }

    /// There are `count` places, as far as is known now; but one at least, and no more than at first.
    pub(super) fn limit(&self, count: u16) {
        let mut places = self.lock();
        places.count = usize::from(count).clamp(1, places.all.len().max(1));
        drop(places);
        self.changed.notify_all();
    }

    /// How many places there are.
    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.lock().count).unwrap_or(u16::MAX)
    }

    /// A place for this dialler: the one of its own number if that is free.
    pub(super) fn claim(self: &Arc<Slots>, link: LinkId, dialler: u32) -> Option<Claim> {
        let holder = Holder { link, dialler };
        let index = self.lock().claim(holder)?;
        Some(Claim { slots: Arc::clone(self), holder, index })
    }

    /// Whether this link would get a place now.
    pub(super) fn has_place(&self, link: LinkId) -> bool {
        self.lock().find(link).is_some()
    }

    /// Waits until the link would get a place. Whoever holds one gives it back when the run is
    /// stopped, so this ends then too.
    pub(super) fn wait(&self, link: LinkId) {
        let wanting = |places: &mut Places| places.find(link).is_none();
        // Nobody panics while the places are locked, and they are whole if somebody does.
        drop(self.changed.wait_while(self.lock(), wanting));
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Its connection is welcome: the place is its own, unless another one took it over meanwhile.
    pub(super) fn settle(&self) {
        if let Some(place) = self.slots.lock().all.get_mut(usize::from(self.index))
            && place.heir == Some(self.holder)
        {
            *place = Place { holder: place.heir, heir: None };
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut places = self.slots.lock();
        if let Some(place) = places.all.get_mut(usize::from(self.index)) {
            place.holder = place.holder.filter(|holder| *holder != self.holder);
            place.heir = place.heir.filter(|heir| *heir != self.holder);
        }
        drop(places);
        self.slots.changed.notify_all();
    }
}

impl Place {
    /// Whose it is, or is about to be.
    fn owner(&self) -> Option<Holder> {
        self.heir.or(self.holder)
    }
}

impl Places {
    fn in_use(&self) -> &[Place] {
        self.all.get(..self.count).unwrap_or(&self.all)
    }

    fn claim(&mut self, holder: Holder) -> Option<u16> {
        let own = holder.dialler as usize;
        let is_free = self.in_use().get(own).is_some_and(|place| place.owner().is_none());
        let index = if is_free { own } else { self.find(holder.link)? };
        let place = &mut self.all[index];
        if place.holder.is_none() {
            place.holder = Some(holder);
        } else {
            place.heir = Some(holder);
        }
        u16::try_from(index).ok()
    }

    /// A free place; or else, for a link that has none, one of a link that has several.
    fn find(&self, link: LinkId) -> Option<usize> {
        if let Some(free) = self.in_use().iter().position(|place| place.owner().is_none()) {
            return Some(free);
        }
        let mut owned: BTreeMap<LinkId, Vec<usize>> = BTreeMap::new();
        for (index, place) in self.in_use().iter().enumerate() {
            let places = owned.entry(place.owner()?.link).or_default();
            if place.heir.is_none() {
                places.push(index);
            }
        }
        if owned.contains_key(&link) {
            return None;
        }
        let richest = owned.into_values().max_by_key(Vec::len)?;
        if richest.len() > 1 { richest.last().copied() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const A: LinkId = LinkId(0);
    const B: LinkId = LinkId(1);
    const C: LinkId = LinkId(2);

    fn slots(asked: u16, settled: u16) -> Arc<Slots> {
        let slots = Slots::new(asked);
        slots.limit(settled);
        Arc::new(slots)
    }

    fn index(claim: Option<&Claim>) -> Option<u16> {
        claim.map(|claim| claim.index)
    }

    #[test]
    fn each_has_its_own_place_while_there_are_enough() {
        let slots = slots(4, 4);
        let claims: Vec<_> = [3, 0, 2, 1].map(|it| slots.claim(A, it)).into();
        let indexes: Vec<_> = claims.iter().map(|claim| index(claim.as_ref())).collect();
        assert_eq!(indexes, [Some(3), Some(0), Some(2), Some(1)]);
    }

    #[test]
    fn a_place_that_a_dead_link_does_not_hold_goes_to_one_that_works() {
        let slots = slots(4, 1);
        let claim = slots.claim(B, 1);
        assert_eq!(index(claim.as_ref()), Some(0));
        assert!(!slots.has_place(A), "every link that has a place has only one");
        assert!(slots.claim(A, 0).is_none());
        drop(claim);
        assert_eq!(index(slots.claim(A, 0).as_ref()), Some(0));
    }

    #[test]
    fn a_link_without_a_place_takes_one_over_from_the_link_with_most() {
        let slots = slots(8, 3);
        let held: Vec<_> = [0, 2, 4].map(|it| slots.claim(A, it)).into();
        assert!(held.iter().all(Option::is_some) && !slots.has_place(A));
        let back = slots.claim(B, 1).expect("A has three");
        assert!(slots.claim(B, 3).is_none(), "one is enough");
        back.settle();
        let third = slots.claim(C, 5).expect("A has two");
        third.settle();
        assert!(!slots.has_place(A));
        // Those who lost theirs give nothing back.
        drop(held);
        let holders: Vec<_> =
            slots.lock().in_use().iter().filter_map(|place| place.holder).collect();
        let links: Vec<_> = holders.iter().map(|it| it.link).collect();
        assert!(links.contains(&B) && links.contains(&C) && links.len() == 2, "{links:?}");
    }

    #[test]
    fn a_place_changes_hands_only_once_the_newcomer_is_welcome() {
        let slots = slots(8, 2);
        let held = [0, 2].map(|it| slots.claim(A, it).expect("it is free"));
        let places = || slots.lock().in_use().iter().map(Place::owner).collect::<Vec<_>>();
        let before = places();
        let refused = slots.claim(B, 1).expect("A has two");
        assert!(!slots.has_place(C), "nobody has a second one that is not promised");
        drop(refused);
        assert_eq!(places(), before, "whoever was refused leaves all as it was");
        assert!(!slots.has_place(A));

        // The one that was to be replaced may go before that.
        let heir = slots.claim(B, 1).expect("A has two");
        let [first, second] = held;
        drop(second);
        assert!(!slots.has_place(A), "it is promised");
        heir.settle();
        assert!(heir.index == 1 && !slots.has_place(A));
        drop((first, heir));
        assert!(slots.has_place(A));
    }

    #[test]
    fn a_place_given_back_wakes_who_waits() {
        let slots = slots(2, 1);
        let claim = slots.claim(A, 0);
        let waiter = thread::spawn({
            let slots = Arc::clone(&slots);
            move || slots.wait(A)
        });
        drop(claim);
        assert!(waiter.join().is_ok() && slots.has_place(A));
    }
}
