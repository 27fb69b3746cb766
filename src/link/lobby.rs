//! Callers that have not yet shown who they are: how many there may be, and who has to go.
//!
//! A caller costs a socket and little memory, for a limited time; a flood of them must cost no more, and must
//! not keep the session's own connections out. So there is a limit for each address and one for all, and
//! beyond it somebody chosen at random is dropped: who needs many round trips survives as likely as
//! anybody else, and nobody can hold a place by coming first. Callers from an address that has a connection
//! in the session, or had one, are dropped last. Who is turned away is told, but not of each. Pure decisions: does not know
//! sockets, or where randomness and the time come from.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Callers at a time.
const MAX_CALLERS: usize = 256;
/// Callers at a time from one address, or from one network of v6 that a single host may own. Enough for all
/// connections of a session with many to come at once.
const MAX_OF_ONE: usize = 128;
/// Least time between two that are told to have been turned away.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a caller comes from, as far as it counts: its v4 address, or the /64 of its v6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// The origin of this address.
    pub(super) fn of(address: IpAddr) -> Origin {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The place among `callers`, the last of which has just come, of the one that has to go; none while there are
/// few enough. `is_known` says whether an origin has a connection in the session; `random` is any number.
pub(super) fn surplus(
    callers: &[Origin],
    is_known: impl Fn(Origin) -> bool,
    random: u32,
) -> Option<usize> {
    let newest = *callers.last()?;
    if callers.iter().filter(|origin| **origin == newest).count() > MAX_OF_ONE {
        return pick(callers, |origin| origin == newest, random);
    }
    if callers.len() > MAX_CALLERS { any(callers, is_known, random) } else { None }
}

/// The place of one that has to go, however few there are; none where there is nobody.
pub(super) fn any(
    callers: &[Origin],
    is_known: impl Fn(Origin) -> bool,
    random: u32,
) -> Option<usize> {
    pick(callers, |origin| !is_known(origin), random).or_else(|| pick(callers, |_| true, random))
}

fn pick(callers: &[Origin], is_wanted: impl Fn(Origin) -> bool, random: u32) -> Option<usize> {
    let places: Vec<usize> = (0..callers.len()).filter(|&at| is_wanted(callers[at])).collect();
    places.get(random as usize % places.len().max(1)).copied()
}

/// Those who are turned away: one in a second is told of, with the number of the others.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    told: Option<Instant>,
    others: u32,
}

impl TurnedAway {
    /// One more. If it is to be told: how many others were not since the last that was.
    pub(super) fn count(&mut self, now: Instant) -> Option<u32> {
        if self.told.is_some_and(|told| now < told + PAUSE) {
            self.others = self.others.saturating_add(1);
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn origin(number: u32) -> Origin {
        Origin::of(IpAddr::V4(number.into()))
    }

    #[test]
    fn while_there_are_few_nobody_has_to_go() {
        let many: Vec<_> = (0..MAX_CALLERS as u32).map(origin).collect();
        assert_eq!(surplus(&many, |_| false, 7), None);
        assert_eq!(surplus(&vec![origin(1); MAX_OF_ONE], |_| false, 7), None);
        assert_eq!(surplus(&[], |_| false, 7), None);
    }

    #[test]
    fn an_address_with_too_many_loses_one_of_its_own() {
        let mut callers = vec![origin(1); 4];
        callers.resize(4 + MAX_OF_ONE + 1, origin(2));
        for random in [0, 1, 77, u32::MAX] {
            let place = surplus(&callers, |_| true, random).expect("one has to go");
            assert_eq!(callers[place], origin(2));
        }
    }

    #[test]
    fn strangers_go_before_those_who_are_known() {
        let mut callers: Vec<_> = (0..MAX_CALLERS as u32).map(origin).collect();
        callers.push(origin(1000));
        let is_known = |it| it != origin(3) && it != origin(1000);
        let gone: BTreeSet<_> =
            (0..9).filter_map(|random| surplus(&callers, is_known, random)).collect();
        assert_eq!(gone, BTreeSet::from([3, MAX_CALLERS]));
        assert!(surplus(&callers, |_| true, 5).is_some(), "somebody has to");
    }

    #[test]
    fn when_there_is_no_room_at_all_even_few_are_too_many() {
        let callers = [origin(1), origin(2), origin(1)];
        let gone: BTreeSet<_> =
            (0..9).filter_map(|random| any(&callers, |it| it == origin(1), random)).collect();
        assert_eq!(gone, BTreeSet::from([1]));
        assert!(any(&callers, |_| true, 5).is_some() && any(&[], |_| true, 5).is_none());
    }

    #[test]
    fn one_in_a_second_is_told_of_and_the_others_are_counted() {
        let (mut turned_away, start) = (TurnedAway::default(), Instant::now());
        let told: Vec<u32> =
            (0..250).filter_map(|n| turned_away.count(start + PAUSE / 100 * n)).collect();
        assert_eq!(told, [0, 99, 99]);
    }

    #[test]
    fn hosts_of_one_v6_network_are_one_and_a_mapped_v4_address_is_v4() {
        let of = |text: &str| Origin::of(text.parse().expect("an address of this test"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
