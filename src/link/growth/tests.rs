//! Links of all sorts, played under a clock of their own.

use super::*;
use crate::proto::bucket::{Bucket, Turn};
use crate::proto::{LinkId, WorkerId};

const MS: Duration = Duration::from_millis(1);
/// How often is looked.
const TICK: Duration = Duration::from_millis(100);
/// Until a connection that is wanted is up, or one that is not is gone.
const COMING: Duration = Duration::from_millis(300);
const GOING: Duration = Duration::from_millis(2500);
/// More than any link here needs.
const MOST: u16 = 64;
const MBIT: f64 = 1e6 / 8.0;

/// What links with so many connections bring, in bytes a second.
type Bring = Box<dyn Fn(&[u16]) -> Vec<f64>>;

/// Links, and the connections on them.
struct World {
    growth: Growth,
    now: Instant,
    bring: Bring,
    /// A second's rate is off by up to this part.
    noise: f64,
    random: u64,
    off: f64,
    seen: Vec<Seen>,
    bytes: Vec<f64>,
    /// Connections that are to be there from then on.
    coming: Vec<(Instant, usize, u16)>,
    waits: bool,
    is_busy: bool,
    changes: Vec<(usize, u16)>,
    /// The most that there were on each link.
    highest: Vec<u16>,
}

impl World {
    fn new(links: &[(u16, bool)], bring: impl Fn(&[u16]) -> Vec<f64> + 'static) -> World {
        let now = Instant::now();
        let seen = |&(live, _): &(u16, bool)| Seen { live, busy: live, bytes: 0 };
        World {
            growth: Growth::new(now, links.iter().copied()),
            now,
            bring: Box::new(bring),
            noise: 0.0,
            random: 1,
            off: 0.0,
            seen: links.iter().map(seen).collect(),
            bytes: vec![0.0; links.len()],
            coming: Vec::new(),
            waits: true,
            is_busy: true,
            changes: Vec::new(),
            highest: links.iter().map(|link| link.0).collect(),
        }
    }

    /// One link that may have more than the four that it begins with.
    fn one(bring: impl Fn(f64) -> f64 + 'static) -> World {
        World::new(&[(4, true)], move |live| vec![bring(f64::from(live[0]))])
    }

    fn noisy(mut self, noise: f64, seed: u64) -> World {
        (self.noise, self.random) = (noise, seed);
        self
    }

    /// Some time passes; returns how much went over all links, in bytes.
    fn run(&mut self, seconds: u64) -> f64 {
        let before: f64 = self.bytes.iter().sum();
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.tick();
        }
        self.bytes.iter().sum::<f64>() - before
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.pass();
        let change = self.growth.look(self.now, self.waits, MOST, &self.seen);
        if let Some(Change { link, wanted, .. }) = change {
            let time = if wanted > self.seen[link].live { COMING } else { GOING };
            self.coming.push((self.now + time, link, wanted));
            self.changes.push((link, wanted));
            self.highest[link] = self.highest[link].max(wanted);
        }
    }

    fn pass(&mut self) {
        for (at, link, live) in std::mem::take(&mut self.coming) {
            if at <= self.now {
                self.seen[link].live = live;
            } else {
                self.coming.push((at, link, live));
            }
        }
        // Noise that lasts, and so does not average out in a second: a tenth of it is new each time.
        self.off = 0.9 * self.off + 0.1 * 4.0 * self.noise * uniform(&mut self.random);
        let live: Vec<u16> = self.seen.iter().map(|seen| seen.live).collect();
        for (link, rate) in (self.bring)(&live).into_iter().enumerate() {
            self.bytes[link] += rate * (1.0 + self.off).max(0.0) * TICK.as_secs_f64();
            self.seen[link].bytes = self.bytes[link] as u64;
            self.seen[link].busy = if self.is_busy { live[link] } else { live[link] / 4 };
        }
    }

    /// How many a link has that are not on trial.
    fn wanted(&self, link: usize) -> u16 {
        let trial = self.growth.trial.as_ref().filter(|trial| trial.link == link);
        trial.map_or(self.growth.links[link].wanted, |trial| trial.from)
    }
}

/// The next of numbers between -1 and 1.
fn uniform(random: &mut u64) -> f64 {
    *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*random >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
}

/// 200 Mbit/s of which each connection gets 4.
fn lossy(connections: f64) -> f64 {
    (4.0 * MBIT * connections).min(193.0 * MBIT)
}

/// A link that one connection fills.
fn full(_: f64) -> f64 {
    965.0 * MBIT
}

#[test]
fn where_each_connection_brings_its_part_there_are_soon_enough_to_fill_the_link() {
    for seed in 0..50 {
        let mut world = World::one(lossy).noisy(0.1, seed);
        let mbit = world.run(60) / MBIT / 60.0;
        assert!(mbit >= 160.0, "seed {seed}: {mbit} Mbit/s, {:?}", world.changes);
        assert!((40..=64).contains(&world.wanted(0)), "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn where_they_bring_nothing_none_are_kept() {
    for seed in 0..50 {
        let mut world = World::one(full).noisy(0.05, seed);
        world.run(600);
        assert_eq!(world.highest[0], 8, "seed {seed}: {:?}", world.changes);
        world.run(30);
        assert!(world.wanted(0) <= 8, "seed {seed}: {:?}", world.changes);
        // Twice at first, and then once in two minutes.
        assert!(world.changes.len() <= 24, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn noise_alone_never_makes_many() {
    for seed in 0..50 {
        let mut world = World::one(full).noisy(0.2, seed);
        let most = (0..360).map(|_| (world.run(10), world.wanted(0)).1).max();
        assert!(most <= Some(16), "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn a_slow_source_changes_nothing() {
    let mut world = World::one(lossy);
    world.waits = false;
    world.run(600);
    // A receiver cannot know what the other end has to send, but its connections stand idle.
    (world.waits, world.is_busy) = (true, false);
    world.run(600);
    assert_eq!(world.changes, []);
}

#[test]
fn a_slow_sink_changes_nothing() {
    // It takes a foot now and then; as often there is room for the next for a moment.
    let mut world = World::one(lossy);
    for tenths in 0..6000 {
        world.waits = tenths % 3 == 0;
        world.tick();
    }
    assert_eq!(world.changes, []);
}

#[test]
fn a_source_that_is_slower_by_little_adds_nothing_for_long() {
    for seed in 0..50 {
        // There is something to send at two looks of three; all that comes goes out, over however many.
        let mut world = World::one(|_| 2.2e6).noisy(0.05, seed);
        let mut random = seed + 1;
        let mut many = 0;
        for _ in 0..6000 {
            world.waits = uniform(&mut random) < 0.33;
            world.tick();
            many += u32::from(world.seen[0].live > 4);
        }
        assert!(world.highest[0] <= 8 && many < 1200, "seed {seed}: {many}, {:?}", world.changes);
    }
}

/// What becomes of four connections that could carry so much each, where all together keep to `limit`; both in
/// bytes a second.
fn limited(limit: u64, each: f64) -> Vec<u16> {
    let (link, mut now) = (LinkId(0), Instant::now());
    let mut growth = Growth::new(now, [(4, true)]);
    let mut bucket = Bucket::new(limit, now);
    let (mut live, mut bytes, mut changes) = (4, 0, Vec::new());
    let (mut random, mut waited) = (1, Duration::ZERO);
    // When each asks next, and since when it waits.
    let mut places = vec![(now, None); usize::from(MOST)];
    for ms in 1..120_000 {
        now += MS;
        for (worker, place) in (0..live).zip(&mut places).filter(|(_, place)| place.0 <= now) {
            match bucket.ask(now, WorkerId(worker.into()), link, Some(u64::MAX)) {
                Turn::Now(slice) => {
                    bytes += slice;
                    waited += place.1.map_or(Duration::ZERO, |since| now - since);
                    // No two slices take equally long, or the looks would meet always the same.
                    let uneven = 1.0 + 0.3 * uniform(&mut random);
                    *place = (now + Duration::from_secs_f64(slice as f64 / each * uneven), None);
                }
                Turn::At(turn) => *place = (turn, place.1.or(Some(now))),
            }
        }
        if ms % 100 == 0 {
            let waiting = places.iter().filter(|place| place.1.is_some()).count() as u64;
            let held = Held { waited: std::mem::take(&mut waited), waiting };
            let seen = [Seen { live, busy: live, bytes }];
            let waits = !held.is_much(TICK, live.into());
            if let Some(change) = growth.look(now, waits, MOST, &seen) {
                for gone in change.wanted..live {
                    bucket.leave(WorkerId(gone.into()));
                    places[usize::from(gone)] = (now, None);
                }
                live = change.wanted;
                changes.push(live);
            }
        }
    }
    changes
}

#[test]
fn a_rate_that_the_connections_share_is_not_what_more_would_raise() {
    assert_eq!(limited(20_000_000, 100e6), [0; 0]);
    assert_eq!(limited(20_000_000, 6e6), [0; 0], "four of them would carry a little more");
    assert_eq!(limited(20_000, 100e6), [0; 0], "turns that last longer than is between two looks");
}

#[test]
fn a_rate_beyond_what_the_connections_carry_keeps_none_away() {
    let changes = limited(20_000_000, 0.5e6);
    assert!(changes.starts_with(&[8, 16, 32]), "{changes:?}");
    assert!(changes.last() >= Some(&40), "40 of them reach it: {changes:?}");
}

#[test]
fn a_sink_that_stops_changes_nothing() {
    // At any moment, of a trial too.
    for stopped_at in 1..12 {
        let mut world = World::one(lossy);
        world.run(stopped_at);
        let changes = world.changes.len();
        let bring = std::mem::replace(&mut world.bring, Box::new(|_| vec![0.0]));
        world.waits = false;
        world.run(600);
        assert_eq!(world.changes.len(), changes, "{:?}", world.changes);
        (world.waits, world.bring) = (true, bring);
        world.run(30);
        assert!(world.wanted(0) >= 40, "it goes on where it was: {:?}", world.changes);
    }
}

#[test]
fn a_processor_that_is_the_bottleneck_changes_nothing_for_good() {
    // More connections make it worse.
    let mut world = World::one(|connections| 1.6e9 - 2e7 * connections).noisy(0.1, 7);
    world.run(300);
    assert!(world.wanted(0) <= 8 && world.highest[0] <= 8, "{:?}", world.changes);
}

#[test]
fn connections_that_bring_nothing_any_more_are_dropped() {
    let mut world = World::one(lossy).noisy(0.05, 3);
    world.run(60);
    assert!(world.wanted(0) >= 40);
    world.bring = Box::new(|_| vec![193.0 * MBIT]);
    world.run(300);
    assert!(world.wanted(0) <= 8, "{:?}", world.changes);
    world.bring = Box::new(|live| vec![lossy(f64::from(live[0]))]);
    world.run(600);
    assert!(world.wanted(0) >= 36, "and come back: {:?}", world.changes);
}

#[test]
fn two_links_each_get_what_they_need() {
    // The second one gets full, the first does not, and the third is as the user said.
    let links = [(2, true), (2, true), (3, false)];
    let mut world = World::new(&links, |live| {
        let live: Vec<f64> = live.iter().copied().map(f64::from).collect();
        vec![4.0 * MBIT * live[0], (10.0 * MBIT * live[1]).min(80.0 * MBIT), 10.0 * MBIT]
    })
    .noisy(0.05, 5);
    world.run(200);
    assert!(world.wanted(0) >= 32, "{:?}", world.changes);
    assert!((6..=16).contains(&world.wanted(1)), "{:?}", world.changes);
    assert_eq!(world.wanted(2), 3);
}

#[test]
fn links_that_only_take_from_one_another_do_not_grow() {
    for seed in 0..50 {
        // Both go through the same narrow place, which they share by their connections.
        let mut world = World::new(&[(2, true), (2, true)], |live| {
            let all = f64::from(live[0] + live[1]);
            live.iter().map(|live| 193.0 * MBIT * f64::from(*live) / all).collect()
        })
        .noisy(0.03, seed);
        world.run(600);
        assert!(world.wanted(0) <= 6 && world.wanted(1) <= 6, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn it_does_not_outbid_another_transfer_with_as_many() {
    for seed in 0..50 {
        let mut world = World::one(|live| 193.0 * MBIT * live / (live + 4.0)).noisy(0.03, seed);
        world.run(600);
        assert!(world.wanted(0) <= 6 && world.highest[0] <= 9, "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn connections_that_do_not_come_are_not_waited_for() {
    let now = Instant::now();
    let mut growth = Growth::new(now, [(4, true)]);
    let (mut changes, mut bytes) = (Vec::new(), 0);
    for tick in 1..400 {
        bytes += 1_000_000;
        let seen = [Seen { live: 4, busy: 4, bytes }];
        let change = growth.look(now + tick * TICK, true, MOST, &seen);
        changes.extend(change.map(|change| change.wanted));
    }
    assert_eq!(changes[..4], [8, 6, 4, 6], "{changes:?}");
}

#[test]
fn there_are_never_more_than_there_may_be() {
    let now = Instant::now();
    let mut growth = Growth::new(now, [(4, true)]);
    let (mut bytes, mut live) = (0, 4);
    for tick in 1..600 {
        bytes += u64::from(live) * 50_000;
        let seen = [Seen { live, busy: live, bytes }];
        if let Some(change) = growth.look(now + tick * TICK, true, 21, &seen) {
            live = change.wanted;
        }
        assert!(live <= 21);
    }
    assert_eq!(live, 21);
}

#[test]
fn an_end_that_was_not_running_judges_nothing_by_that_time() {
    let mut world = World::one(full);
    world.run(2);
    assert_eq!(world.changes, [(0, 8)]);
    // Stopped for an hour in the middle of a trial; then all that waited comes at once.
    world.now += MS * 3_600_000;
    world.bytes[0] += 1e10;
    world.run(60);
    assert!(world.changes[..3] == [(0, 8), (0, 6), (0, 4)], "{:?}", world.changes);
}

#[test]
fn a_trial_that_was_spoilt_by_chance_does_not_slow_down_all_that_follow() {
    for seed in 0..20 {
        for tenths in (10..200).step_by(5) {
            let mut world = World::one(lossy).noisy(0.1, seed);
            for _ in 0..tenths {
                world.tick();
            }
            // All stand still for two seconds.
            world.bring = Box::new(|_| vec![0.0]);
            world.run(2);
            world.bring = Box::new(|live| vec![lossy(f64::from(live[0]))]);
            world.run(120);
            let mbit = world.bytes[0] / MBIT / (122.0 + f64::from(tenths) / 10.0);
            assert!(mbit >= 170.0, "seed {seed}, {tenths}: {mbit} Mbit/s, {:?}", world.changes);
        }
    }
}

#[test]
fn a_link_that_has_become_wider_is_filled_by_doubling_again() {
    let mut world = World::one(|_| 16.0 * MBIT);
    world.run(30);
    assert_eq!(world.changes[..3], [(0, 8), (0, 6), (0, 4)]);
    world.bring = Box::new(|live| vec![lossy(f64::from(live[0]))]);
    world.run(40);
    let after = world.changes.iter().skip_while(|change| **change != (0, 12));
    assert!(after.take(3).eq(&[(0, 12), (0, 24), (0, 48)]), "{:?}", world.changes);
}

#[test]
fn what_is_left_of_a_doubling_that_failed_is_not_doubled() {
    let mut world = World::one(|live| (4.0 * live).min(21.6) * MBIT);
    world.run(60);
    assert_eq!(world.changes[..3], [(0, 8), (0, 6), (0, 9)]);
}
