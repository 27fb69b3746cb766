//! The chooser in a small world of its own: a source, threads, a network and processors, on a virtual clock.
//!
//! Each scenario is played with the chooser and with every fixed rung, and the rates are compared. Costs and
//! ratios are those of real bytes (48 MiB of each kind, feet of 1 MiB, one thread of an Intel Xeon). Does not
//! know the protocol: the network is one queue that asks for feet when it runs low.

use super::{Adapt, Outcome, Rung, Sight};
use crate::codec::LADDER;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FOOT: f64 = 1048576.0;
const STEP: f64 = 50e-6;
const MB: f64 = 1e6;
/// Buffers between the source and the ack.
const POOL: usize = 250;
/// Processor time of a byte: read and checked; written to a socket; read from one and checked; unpacked.
const READ: f64 = 0.55e-9;
const SEND: f64 = 0.35e-9;
const RECEIVE: f64 = 0.45e-9;
const UNPACK: f64 = 0.8e-9;

/// What the source has: for each rung how fast one thread packs it, in MB/s, and how much shorter it gets.
#[derive(Debug, PartialEq)]
struct Kind {
    name: &'static str,
    speeds: [f64; LADDER.len()],
    ratios: [f64; LADDER.len()],
}

const RANDOM: Kind = Kind {
    name: "random",
    speeds: [0.0, 3400.0, 3130.0, 2780.0, 280.0, 185.0],
    ratios: [1.0; LADDER.len()],
};
const TEXT: Kind = Kind {
    name: "text",
    speeds: [0.0, 391.0, 311.0, 232.0, 86.0, 57.0],
    ratios: [1.0, 2.561, 3.083, 3.194, 3.349, 3.377],
};
const LIBRARIES: Kind = Kind {
    name: "libraries",
    speeds: [0.0, 438.0, 378.0, 238.0, 101.0, 70.0],
    ratios: [1.0, 2.681, 2.803, 2.908, 3.069, 3.101],
};
/// What packs better on higher rungs than most, on a machine where that takes relatively long.
const STEEP: Kind = Kind {
    name: "steep",
    speeds: [0.0, 200.0, 140.0, 80.0, 25.0, 9.0],
    ratios: [1.0, 2.0, 2.4, 3.0, 4.0, 5.5],
};

#[derive(Clone)]
struct World {
    /// From when on the network carries so much, in bytes a second.
    rates: Vec<(f64, f64)>,
    /// What the source has, again and again, so many bytes of each.
    phases: Vec<(&'static Kind, f64)>,
    /// Bytes a second that the source has.
    source: f64,
    /// Bytes of the stream a second that the receiver's sink takes.
    sink: f64,
    cores: f64,
    threads: usize,
    /// Both ends share the processors.
    is_shared: bool,
    /// How slow unpacking is at the other end, if on its own processor: bytes of the stream a second.
    unpacks: f64,
    seconds: f64,
}

impl World {
    fn new(rate: f64, kind: &'static Kind) -> World {
        World {
            rates: vec![(0.0, rate)],
            phases: vec![(kind, f64::INFINITY)],
            source: f64::INFINITY,
            sink: f64::INFINITY,
            cores: 2.0,
            threads: 2,
            is_shared: false,
            unpacks: f64::INFINITY,
            seconds: 10.0,
        }
    }
}

enum Policy {
    Fixed(Rung),
    Adapt(Box<Adapt>),
}

#[derive(Clone, Copy)]
struct Foot {
    kind: &'static Kind,
    rung: Rung,
    /// Seconds that a thread still needs.
    left: f64,
    took: f64,
}

/// What one run has seen.
struct Seen {
    /// Bytes of the stream that the other end had, by tenths of a second.
    tenths: Vec<f64>,
    rungs: Vec<Rung>,
}

impl Seen {
    /// The rate between these moments, in bytes a second.
    fn rate(&self, from: f64, to: f64) -> f64 {
        let tenths = &self.tenths[(from * 10.0).round() as usize..(to * 10.0).round() as usize];
        tenths.iter().sum::<f64>() / (to - from)
    }
}

struct Run<'a> {
    world: &'a World,
    policy: Policy,
    start: Instant,
    time: f64,
    read_bytes: f64,
    waiting: VecDeque<&'static Kind>,
    packing: Vec<Foot>,
    ready: VecDeque<Foot>,
    /// Given to the network, each with the wire bytes that are left of it.
    network: VecDeque<(Foot, f64)>,
    /// Received, not yet written.
    received: VecDeque<Foot>,
    sent_feet: u64,
    busy: f64,
    seen: Seen,
}

fn play(world: &World, policy: Policy) -> Seen {
    let mut run = Run {
        world,
        policy,
        start: Instant::now(),
        time: 0.0,
        read_bytes: 0.0,
        waiting: VecDeque::new(),
        packing: Vec::new(),
        ready: VecDeque::new(),
        network: VecDeque::new(),
        received: VecDeque::new(),
        sent_feet: 0,
        busy: 0.0,
        seen: Seen { tenths: vec![0.0; (world.seconds * 10.0) as usize + 1], rungs: Vec::new() },
    };
    if let Policy::Adapt(adapt) = &mut run.policy {
        **adapt = Adapt::new(world.threads, world.threads, FOOT as u32, run.start);
    }
    while run.time < world.seconds {
        run.step();
        run.time += STEP;
    }
    run.seen
}

impl Run<'_> {
    fn now(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.time)
    }

    fn held_feet(&self) -> usize {
        self.waiting.len() + self.packing.len() + self.ready.len() + self.network.len() + self.received.len()
    }

    fn step(&mut self) {
        let share = (self.world.cores / self.busy.max(1.0)).min(1.0);
        self.busy = 0.0;
        self.read(share);
        self.pack(share);
        self.send(share);
        self.write();
        self.see();
        let tenth = (self.time * 10.0) as usize;
        if self.seen.rungs.len() <= tenth {
            self.seen.rungs.push(match &self.policy {
                Policy::Fixed(rung) => *rung,
                Policy::Adapt(adapt) => adapt.rung,
            });
        }
    }

    fn read(&mut self, share: f64) {
        if self.held_feet() >= POOL {
            return;
        }
        let before = self.read_bytes;
        self.busy += (READ * self.world.source).min(1.0);
        self.read_bytes += (share * STEP / READ).min(self.world.source * STEP);
        if (self.read_bytes / FOOT) as u64 > (before / FOOT) as u64 {
            let cycle: f64 = self.world.phases.iter().map(|(_, bytes)| bytes).sum();
            let mut place = if cycle.is_finite() { before % cycle } else { before };
            let phase = self.world.phases.iter().find(|(_, bytes)| {
                let is_here = place < *bytes;
                place -= bytes;
                is_here
            });
            self.waiting.push_back(phase.expect("one of them").0);
        }
    }

    fn pack(&mut self, share: f64) {
        while let Some(kind) = self.waiting.front() {
            let rung = match &mut self.policy {
                Policy::Fixed(0) => Some(0),
                Policy::Fixed(rung) => (self.packing.len() < self.world.threads).then_some(*rung),
                Policy::Adapt(adapt) => {
                    let now = self.start + Duration::from_secs_f64(self.time);
                    adapt.start(now, FOOT as usize, self.waiting.len())
                }
            };
            let Some(rung) = rung else { break };
            let seconds = if rung == 0 { 0.0 } else { FOOT / (kind.speeds[rung] * MB) };
            let foot = Foot { kind, rung, left: seconds, took: 0.0 };
            if rung == 0 { self.ready.push_back(foot) } else { self.packing.push(foot) }
            self.waiting.pop_front();
        }
        self.busy += self.packing.len() as f64;
        for foot in &mut self.packing {
            foot.left -= share * STEP;
            foot.took += STEP;
        }
        let now = self.now();
        for mut foot in self.packing.extract_if(.., |foot| foot.left <= 0.0) {
            let packed_bytes = FOOT / foot.kind.ratios[foot.rung];
            if let Policy::Adapt(adapt) = &mut self.policy {
                let took = Duration::from_secs_f64(foot.took);
                let (rung, raw_bytes) = (foot.rung, FOOT as usize);
                adapt.packed(now, Outcome { rung, raw_bytes, packed_bytes: packed_bytes as usize, took });
            }
            if packed_bytes >= FOOT {
                foot.rung = 0;
            }
            self.ready.push_back(foot);
        }
    }

    /// Room for feet in sockets and before them.
    fn asks(&self) -> bool {
        let rate = self.rate();
        let most = if rate > 20.0 * FOOT { 5.0 * FOOT } else { 1.5 * FOOT };
        self.network.iter().map(|(_, left)| left).sum::<f64>() < most
    }

    fn rate(&self) -> f64 {
        self.world.rates.iter().rev().find(|(from, _)| *from <= self.time).expect("from 0 on").1
    }

    fn send(&mut self, share: f64) {
        while self.asks() && let Some(foot) = self.ready.pop_front() {
            self.sent_feet += 1;
            self.network.push_back((foot, FOOT / foot.kind.ratios[foot.rung]));
        }
        if self.network.is_empty() || self.received.len() > 100 {
            return;
        }
        // Two workers at a time, each a processor at most; where the other end is here too it is the same again.
        let front = self.network[0].0;
        let mut cost = SEND;
        if self.world.is_shared {
            let unpack = if front.rung > 0 { UNPACK * front.kind.ratios[front.rung] } else { 0.0 };
            cost += RECEIVE + unpack;
        }
        let by_processor = 2.0 * share / cost;
        let rate = by_processor.min(self.rate());
        self.busy += (self.rate() * cost).min(2.0);
        let mut bytes = rate * STEP;
        while bytes > 0.0 && let Some((foot, left)) = self.network.front_mut() {
            let part = left.min(bytes);
            *left -= part;
            bytes -= part;
            if *left <= 0.0 {
                self.received.push_back(*foot);
                self.network.pop_front();
            }
        }
    }

    fn write(&mut self) {
        let mut seconds = STEP;
        while seconds > 0.0 && let Some(foot) = self.received.front_mut() {
            let unpack = if foot.rung > 0 { FOOT / self.world.unpacks } else { 0.0 };
            let time = unpack.max(FOOT / self.world.sink);
            // What is left of writing it, as a part of it.
            let whole = if foot.left <= 0.0 { 1.0 } else { foot.left };
            if time * whole > seconds {
                foot.left = whole - seconds / time;
                return;
            }
            seconds -= time * whole;
            self.received.pop_front();
            self.seen.tenths[(self.time * 10.0) as usize] += FOOT;
        }
    }

    fn see(&mut self) {
        let sight = Sight {
            sent_feet: self.sent_feet,
            asks: self.asks() && self.ready.is_empty(),
            blocked: self.received.len() > 100 && self.world.sink.is_finite(),
        };
        let now = self.now();
        if let Policy::Adapt(adapt) = &mut self.policy {
            adapt.see(now, sight);
        }
    }
}

fn adaptive(world: &World) -> Seen {
    let adapt = Adapt::new(world.threads, world.threads, FOOT as u32, Instant::now());
    play(world, Policy::Adapt(Box::new(adapt)))
}

/// The best fixed rung between these moments, and its rate.
fn best(world: &World, from: f64, to: f64) -> (Rung, f64) {
    let rates = (0..LADDER.len()).map(|rung| (rung, play(world, Policy::Fixed(rung)).rate(from, to)));
    rates.max_by(|(_, one), (_, other)| one.total_cmp(other)).expect("several")
}

#[test]
fn nine_tenths_of_the_best_fixed_level_everywhere() {
    let mut worst = f64::INFINITY;
    for is_shared in [false, true] {
        for rate in [1.25, 5.0, 20.0, 80.0, 300.0, 1200.0, 1e6] {
            for kind in [&RANDOM, &TEXT, &LIBRARIES, &STEEP] {
                let world = World { is_shared, ..World::new(rate * MB, kind) };
                let seen = adaptive(&world);
                let (rung, fixed) = best(&world, 0.0, 10.0);
                let ours = seen.rate(0.0, 10.0);
                let last: Vec<Rung> = seen.rungs.iter().copied().step_by(2).collect();
                eprintln!("{is_shared:5} {rate:8} {:10} ours {:7.1} fixed {:7.1} ({rung}) ratio {:.3} {last:?}", kind.name, ours/MB, fixed/MB, ours/fixed);
                worst = worst.min(ours / fixed);
            }
        }
    }
    assert!(worst >= 0.9, "{worst}");
}

#[test]
fn phases_of_each_kind() {
    let mut worst = f64::INFINITY;
    for is_shared in [false, true] {
        for rate in [5.0, 20.0, 80.0, 300.0, 1e6] {
            let mb = if rate < 20.0 { 32.0 * MB} else if rate < 80.0 {64.0 * MB} else {256.0*MB};
            let world = World { is_shared, phases: vec![(&TEXT, mb), (&RANDOM, mb), (&LIBRARIES, mb)], seconds: 20.0, ..World::new(rate * MB, &TEXT) };
                let seen = adaptive(&world);
                let (rung, fixed) = best(&world, 0.0, 20.0);
                let ours = seen.rate(0.0, 20.0);
                let last: Vec<Rung> = seen.rungs.iter().copied().step_by(2).collect();
                eprintln!("{is_shared:5} {rate:8} {:10} ours {:7.1} fixed {:7.1} ({rung}) ratio {:.3} {last:?}", "phases", ours/MB, fixed/MB, ours/fixed);
                worst = worst.min(ours / fixed);
        }
    }
    assert!(worst >= 0.9, "{worst}");
}

#[test]
fn rates_change() {
    let mut worst = f64::INFINITY;
    for (low, high) in [(1.25, 125.0), (1.25, 1200.0), (20.0, 300.0)] {
    for kind in [&RANDOM, &TEXT, &LIBRARIES, &STEEP] {
        let world = World { rates: vec![(0.0, low*MB), (8.0, high * MB), (16.0, low * MB)], seconds: 26.0, ..World::new(1.0, kind) };
        let seen = adaptive(&world);
        for (rate, from, to) in [(low, 2.0, 8.0), (high, 10.0, 16.0), (low, 18.0, 26.0)] {
                let (rung, fixed) = best(&World::new(rate * MB, kind), 2.0, 10.0);
                let ours = seen.rate(from, to);
                eprintln!("CH {rate:8} {:10} ours {:7.1} fixed {:7.1} ({rung}) ratio {:.3}", kind.name, ours/MB, fixed/MB, ours/fixed);
                worst = worst.min(ours / fixed);
        }
                let last: Vec<Rung> = seen.rungs.iter().copied().step_by(2).collect();
                eprintln!("CH {last:?}");
    }
    }
    assert!(worst >= 0.9, "{worst}");
}
