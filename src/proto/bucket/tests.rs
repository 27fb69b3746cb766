//! Connections that share a rate, in virtual time: what they write together, and each of them.

use super::*;
use std::ops::Range;

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// The largest record of TLS: what a rate may be exceeded by where 2 % of it is less.
const RECORD: u64 = (16 << 10) + 22;

/// What one connection is like.
#[derive(Clone, Copy)]
struct Habit {
    link: u16,
    /// What its socket takes in a second.
    takes: u64,
    /// Each wake-up is late by up to this.
    late: Duration,
    /// It goes on with one endless foot, instead of beginning one each time.
    has_begun: bool,
    /// So many bytes are a foot; with the next one it comes a moment later.
    foot: u64,
}

/// A socket holds what it takes in this time.
const HOLDS: Duration = Duration::from_millis(20);
const ALL: u64 = u64::MAX / 4;
const PROMPT: Habit =
    Habit { link: 0, takes: ALL, late: Duration::from_micros(200), has_begun: false, foot: ALL };

/// Connections that always have something to write.
struct World {
    bucket: Bucket,
    start: Instant,
    now: Instant,
    habits: Vec<Habit>,
    /// When each socket is empty.
    empty: Vec<Instant>,
    /// What is left of each foot.
    left: Vec<u64>,
    /// When each acts next; the earliest is the next to act.
    agenda: BTreeMap<(Instant, usize), ()>,
    writes: Vec<(Instant, usize, u64)>,
    random: u64,
}

impl World {
    fn new(bytes_per_second: u64, habits: Vec<Habit>) -> World {
        let start = Instant::now();
        let agenda = (0..habits.len()).map(|worker| ((start, worker), ())).collect();
        let bucket = Bucket::new(bytes_per_second, start);
        let empty = vec![start; habits.len()];
        let left = habits.iter().map(|habit| habit.foot).collect();
        let writes = Vec::new();
        World { bucket, start, now: start, habits, empty, left, agenda, writes, random: 7 }
    }

    /// From 0 to `most`, by chance.
    fn chance(&mut self, most: Duration) -> Duration {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        most.mul_f64((self.random >> 40) as f64 / f64::from(1 << 24))
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((&(at, worker), ())) = self.agenda.first_key_value()
            && at < until
        {
            self.agenda.pop_first();
            self.now = self.now.max(at);
            let next = self.act(worker);
            self.agenda.insert((next, worker), ());
        }
        self.now = until;
    }

    /// Nobody acts for so long.
    fn stop(&mut self, time: Duration) {
        self.now += time;
    }

    /// One connection asks, and writes what it may; returns when it asks again.
    fn act(&mut self, worker: usize) -> Instant {
        let (now, habit) = (self.now, self.habits[worker]);
        let (worker_id, link) = (WorkerId(worker as u32), LinkId(habit.link));
        let left = self.left[worker];
        let has_begun = if habit.foot == ALL { habit.has_begun } else { left < habit.foot };
        let begun = has_begun.then_some(left);
        match self.bucket.ask(now, worker_id, link, begun) {
            Turn::Now(granted) => {
                let bytes = granted.min(left);
                self.writes.push((now, worker, bytes));
                self.left[worker] -= bytes;
                if self.left[worker] == 0 {
                    self.bucket.give_back(granted - bytes);
                    self.left[worker] = habit.foot;
                    return now + self.chance(MS);
                }
                let busy = Duration::from_secs_f64(bytes as f64 / habit.takes as f64);
                self.empty[worker] = self.empty[worker].max(now) + busy;
                (now + 20 * US).max(self.empty[worker] - HOLDS)
            }
            Turn::At(at) => at + self.chance(habit.late),
        }
    }

    fn written(&self, during: Range<Duration>) -> u64 {
        let during = self.start + during.start..self.start + during.end;
        let writes = self.writes.iter().filter(|(at, ..)| during.contains(at));
        writes.map(|(.., bytes)| bytes).sum()
    }

    fn written_by(&self, worker: usize) -> u64 {
        self.writes.iter().filter(|(_, by, _)| *by == worker).map(|(.., bytes)| bytes).sum()
    }

    /// The most that was written in any stretch of `span`.
    fn most_within(&self, span: Duration) -> u64 {
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for (at, _, bytes) in &self.writes {
            sum += bytes;
            while *at - self.writes[first].0 >= span {
                sum -= self.writes[first].2;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }
}

/// What may be written in `span` at this rate.
fn most(rate: u64, span: Duration) -> u64 {
    let fair = (rate as f64 * span.as_secs_f64()) as u64;
    fair + (fair / 50).max(RECORD)
}

#[test]
fn a_rate_is_kept_within_2_percent_over_all_connections() {
    for rate in [1_000, 10_000, 1_000_000, 40_000_000, 200_000_000, 10_000_000_000] {
        for workers in [1, 4, 16, 256] {
            for (late, foot) in
                [(200 * US, ALL), (4 * MS, ALL), (200 * US, (rate / 40).max(1 << 20))]
            {
                let habit = Habit { late, foot, ..PROMPT };
                let mut world = World::new(rate, vec![habit; workers]);
                world.run(10 * SECOND);
                let name =
                    format!("{rate} B/s, {workers} workers, late by {late:?}, feet of {foot}");
                for span in [SECOND, 3 * SECOND] {
                    let within = world.most_within(span);
                    assert!(within <= most(rate, span), "{name}: {within} in {span:?}");
                }
                let all = world.written(Duration::ZERO..10 * SECOND);
                assert!(all >= rate * 10 / 50 * 49, "{name}: only {all} in 10 s");
            }
        }
    }
}

#[test]
fn all_connections_of_a_link_have_the_same_share() {
    let mut world = World::new(40_000_000, vec![PROMPT; 16]);
    world.run(10 * SECOND);
    let shares: Vec<u64> = (0..16).map(|worker| world.written_by(worker)).collect();
    assert!(shares.iter().all(|share| (24_000_000..26_000_000).contains(share)), "{shares:?}");
    let busy = |tenth: u32| world.written(tenth * 100 * MS..(tenth + 1) * 100 * MS);
    let tenths: Vec<u64> = (0..100).map(busy).collect();
    assert!(tenths.iter().all(|it| (3_800_000..4_400_000).contains(it)), "smooth: {tenths:?}");
}

#[test]
fn after_a_stop_or_a_pause_nothing_is_made_up_for() {
    for (rate, stop) in [(10_000, 3600 * SECOND), (40_000_000, SECOND), (200_000_000, SECOND)] {
        let mut world = World::new(rate, vec![PROMPT; 16]);
        world.run(2 * SECOND);
        world.stop(stop);
        world.run(2 * SECOND);
        let resumed = 2 * SECOND + stop;
        let at_once = world.written(resumed..resumed + MS);
        let slice = world.bucket.slice();
        assert!(at_once <= slice + rate / 1000, "{rate}: {at_once} at once");
        let within = world.written(resumed..resumed + SECOND);
        assert!(within <= rate + slice, "{rate}: {within} in a second");
    }
}

#[test]
fn short_pauses_are_made_up_for_within_the_2_percent() {
    for pause in [5 * MS, 30 * MS, 95 * MS] {
        let mut world = World::new(40_000_000, vec![PROMPT; 4]);
        world.run(2 * SECOND);
        world.stop(pause);
        world.run(2 * SECOND);
        let within = world.most_within(SECOND);
        assert!(within <= most(40_000_000, SECOND), "{pause:?}: {within}");
    }
}

#[test]
fn a_connection_that_takes_less_leaves_the_rest_to_others() {
    let slow = Habit { takes: 1_000_000, ..PROMPT };
    let mut world = World::new(10_000_000, vec![slow, slow, slow, PROMPT]);
    world.run(10 * SECOND);
    let all = world.written(Duration::ZERO..10 * SECOND);
    assert!(all >= 98_000_000, "{all}");
    assert!(world.written_by(3) >= 65_000_000, "{}", world.written_by(3));
}

#[test]
fn one_that_never_comes_back_keeps_nobody_from_the_rate() {
    for rate in [10_000, 40_000_000] {
        let stuck = Habit { late: 3600 * SECOND, ..PROMPT };
        let mut world = World::new(rate, [vec![stuck; 8], vec![PROMPT; 2]].concat());
        world.run(10 * SECOND);
        let all = world.written(5 * SECOND..10 * SECOND);
        assert!(all >= rate * 5 / 50 * 49 - LEAST, "{rate}: {all}");
    }
}

#[test]
fn the_first_link_has_what_it_can_take_and_no_other_starves() {
    let second = Habit { link: 1, ..PROMPT };
    let mut world = World::new(10_000_000, vec![PROMPT, PROMPT, second, second]);
    world.run(10 * SECOND);
    let others = world.written_by(2) + world.written_by(3);
    assert!((100_000..3_000_000).contains(&others), "{others} of 100 MB");

    let first = Habit { takes: 3_000_000, ..PROMPT };
    let mut world = World::new(10_000_000, vec![first, first, second, second]);
    world.run(10 * SECOND);
    let others = world.written_by(2) + world.written_by(3);
    assert!((39_000_000..44_000_000).contains(&others), "{others} of 100 MB");
}

/// The stream cannot go on without it.
#[test]
fn a_foot_that_was_begun_on_a_later_link_goes_on_like_any_other() {
    let second = Habit { link: 1, has_begun: true, ..PROMPT };
    let mut world = World::new(10_000_000, vec![PROMPT, PROMPT, PROMPT, second]);
    world.run(SECOND);
    let written = world.written_by(3);
    assert!((2_400_000..2_600_000).contains(&written), "{written} of 10 MB");
}

#[test]
fn a_rate_far_above_what_is_written_makes_nobody_wait() {
    let habit = Habit { takes: 500_000_000, ..PROMPT };
    let mut world = World::new(10_000_000_000, vec![habit; 4]);
    world.run(SECOND);
    let all = world.written(Duration::ZERO..SECOND);
    assert!(all >= 1_980_000_000, "{all} of 2 GB");
}

#[test]
fn what_is_given_back_is_anothers_and_what_does_not_ask_counts() {
    let start = Instant::now();
    let mut bucket = Bucket::new(1_000_000, start);
    let ask = |bucket: &mut Bucket, worker| bucket.ask(start, WorkerId(worker), LinkId(0), None);
    assert_eq!(ask(&mut bucket, 0), Turn::Now(4_000));
    assert_eq!(ask(&mut bucket, 1), Turn::At(start + 4 * MS));
    bucket.give_back(4_000);
    assert_eq!(ask(&mut bucket, 1), Turn::Now(4_000));
    bucket.charge(start, 100_000);
    assert_eq!(ask(&mut bucket, 0), Turn::At(start + 104 * MS));
    assert!(bucket.is_short());
    bucket.leave(WorkerId(0));
    assert!(!bucket.is_short());
}

#[test]
fn a_new_rate_counts_at_once() {
    let mut world = World::new(1_000_000, vec![PROMPT; 4]);
    world.run(2 * SECOND);
    world.bucket.set_rate(40_000_000);
    world.run(2 * SECOND);
    world.bucket.set_rate(10_000);
    world.run(4 * SECOND);
    let [slow, fast, thin] =
        [0..2, 2..4, 4..8].map(|it| world.written(SECOND * it.start..SECOND * it.end));
    assert!((1_950_000..=2_040_000).contains(&slow), "{slow}");
    assert!((78_000_000..=81_600_000).contains(&fast), "{fast}");
    assert!(thin <= 40_000 + RECORD, "{thin}");
}
