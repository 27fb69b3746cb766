//! What a seed stands for: the stream, the links, the ends' habits, the faults and what must come of it.
//!
//! Does not know how any of it is played.

use super::agenda::{MS, SECOND};
use super::net::Side;
use super::rng::Rng;
use std::collections::BTreeMap;
use viamillipede::foot::{Codec, FootHeader, MIN_FOOT_BYTES};

/// What must come of a run, beside what must hold in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// Both ends finish: the faults cease early enough.
    Delivered,
    /// All ways go for good at some time: both ends give up, unless they were done before.
    GivenUp,
    /// Anything that the two ends agree on.
    Agreement,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The slot's connection is lost; each end learns of it after a while, or never by itself.
    Cut { slot: usize, learn: [Option<u64>; 2] },
    /// The same, when so many bytes more have arrived.
    CutAtByte { slot: usize, bytes: u64 },
    /// Bytes stand still, in the directions named.
    Stall { slot: usize, from: [bool; 2], time: u64 },
    /// The link loses its connections and refuses new ones for a while.
    Refuse { link: usize, time: u64 },
    /// The link swallows everything for a while.
    Silence { link: usize, time: u64 },
    /// All links go for good: refusing, or silent.
    AllGone { silent: bool },
    /// An end is killed.
    Vanish { side: Side },
    /// An end gives up.
    Abort { side: Side },
    /// The dialling end does not need the slot's connection any more (and changes its mind).
    Retire { slot: usize },
    /// A foot from beyond the window comes in.
    Rogue { slot: usize },
}

/// One link and the connections on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkPlan {
    pub(super) bytes_per_second: u64,
    pub(super) delay: u64,
    pub(super) workers: usize,
}

/// Most connections of a session.
const MAX_WORKERS: u64 = 64;

/// All that is decided before a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) foot_bytes: u32,
    pub(super) feet: Vec<FootHeader>,
    pub(super) links: Vec<LinkPlan>,
    pub(super) kernel_bytes: u64,
    pub(super) chunk_bytes: u64,
    /// Bytes a second that the sender's connections keep to together.
    pub(super) rate: Option<u64>,
    /// Connections have congestion windows, and links bounded queues.
    pub(super) congestion: bool,
    pub(super) window_feet: u64,
    pub(super) open_feet: u64,
    /// Feet that the sender holds at most between reading and ack.
    pub(super) buffers: u64,
    pub(super) patience: Option<u64>,
    pub(super) dialler: Side,
    /// Pauses of the source before a foot; every other foot comes after `source_gap`.
    pub(super) source_gap: u64,
    pub(super) source_pauses: BTreeMap<u64, u64>,
    /// Packing and unpacking take up to so long.
    pub(super) pack_time: u64,
    pub(super) unpack_time: u64,
    /// The end is said before the last feet are packed.
    pub(super) early_end: bool,
    pub(super) sink_gap: u64,
    pub(super) sink_pauses: BTreeMap<u64, u64>,
    pub(super) close_time: u64,
    /// One arrival in so many is corrupt; 0 is none.
    pub(super) corrupt_one_in: u64,
    /// This foot is corrupt whenever it comes.
    pub(super) hopeless: Option<u64>,
    pub(super) faults: Vec<(u64, Fault)>,
    pub(super) expect: Expect,
}

/// By then all faults of a run that must succeed have ceased.
const QUIET: u64 = 20 * SECOND;

impl Plan {
    /// The scenario of a seed.
    pub(super) fn from_seed(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let expect = match rng.within(0..8) {
            0 => Expect::GivenUp,
            1 | 2 => Expect::Agreement,
            _ => Expect::Delivered,
        };
        let foot_bytes = MIN_FOOT_BYTES << rng.within(0..3);
        let feet = stream(rng, foot_bytes);
        let links = links(rng);
        let workers: usize = links.iter().map(|link| link.workers).sum();
        let floor = 2 * workers as u64 + 4;
        let patience = match expect {
            Expect::Delivered if rng.one_in(6) => None,
            Expect::Delivered => Some(rng.within(60..130) * SECOND),
            _ => Some(rng.within(2..40) * SECOND),
        };
        let longest_pause = patience.unwrap_or(60 * SECOND) * 2;
        let count = feet.len() as u64;
        let pauses = |rng: &mut Rng| -> BTreeMap<u64, u64> {
            let many = if rng.one_in(3) { rng.within(1..4) } else { 0 };
            (0..many)
                .map(|_| (rng.within(0..count + 1), rng.magnitude(MS..longest_pause)))
                .collect()
        };
        let (source_pauses, sink_pauses) = (pauses(rng), pauses(rng));
        let window_feet = floor + if rng.one_in(2) { 0 } else { rng.within(0..200) };
        let mut plan = Plan {
            seed,
            foot_bytes,
            links,
            kernel_bytes: rng.within(32..256) << 10,
            chunk_bytes: 16 << 10,
            rate: None,
            congestion: rng.one_in(4),
            window_feet,
            open_feet: if rng.one_in(2) { floor } else { window_feet },
            buffers: rng.magnitude(floor..300),
            patience,
            dialler: if rng.one_in(2) { Side::Sender } else { Side::Receiver },
            source_gap: if rng.one_in(3) { rng.magnitude(1..30 * MS) } else { 0 },
            source_pauses,
            pack_time: rng.magnitude(1..20 * MS),
            unpack_time: rng.magnitude(1..5 * MS),
            early_end: rng.one_in(4),
            sink_gap: if rng.one_in(3) { rng.magnitude(1..30 * MS) } else { 0 },
            sink_pauses,
            close_time: if rng.one_in(4) { rng.magnitude(MS..longest_pause) } else { MS },
            corrupt_one_in: if rng.one_in(4) { rng.within(10..100) } else { 0 },
            hopeless: (expect == Expect::Agreement && rng.one_in(8))
                .then(|| rng.within(0..count.max(1))),
            faults: Vec::new(),
            expect,
            feet,
        };
        plan.add_faults(rng);
        plan.rate = rng.one_in(4).then(|| rng.magnitude(200_000..100_000_000));
        plan
    }

    /// Raw bytes of the stream.
    pub(super) fn total_bytes(&self) -> u64 {
        self.feet.iter().map(|foot| u64::from(foot.raw_bytes)).sum()
    }

    fn add_faults(&mut self, rng: &mut Rng) {
        let rate: u64 = self.links.iter().map(|link| link.bytes_per_second).sum();
        let span = 2 * self.total_bytes() * SECOND / rate + self.links[0].delay * 8 + 50 * MS;
        let slots: usize = self.links.iter().map(|link| link.workers).sum();
        let count = if rng.one_in(5) { 0 } else { rng.magnitude(1..30) };
        let quiet = if self.expect == Expect::Delivered { QUIET } else { QUIET * 4 };
        for _ in 0..count {
            let at = rng.within(0..span.min(quiet - SECOND));
            let time = rng.magnitude(MS..quiet - at);
            let slot = rng.within(0..slots as u64) as usize;
            let link = rng.within(0..self.links.len() as u64) as usize;
            let fault = match rng.within(0..14) {
                0..4 => Fault::Cut { slot, learn: [learns(rng), learns(rng)] },
                4 | 5 => Fault::CutAtByte { slot, bytes: rng.magnitude(1..1 << 20) },
                6 | 7 => {
                    let from = [rng.one_in(2), rng.one_in(2)];
                    // One that nobody ends but the ends themselves.
                    let time = if rng.one_in(4) { 3600 * SECOND } else { time };
                    Fault::Stall { slot, from, time }
                }
                8 | 9 => Fault::Refuse { link, time },
                10 => Fault::Silence { link, time },
                11 | 12 => Fault::Retire { slot },
                _ => Fault::Rogue { slot },
            };
            self.faults.push((at, fault));
        }
        if rng.one_in(8) {
            self.add_flapping(rng, quiet);
        }
        let last = rng.within(0..span);
        match self.expect {
            Expect::Delivered => {}
            Expect::GivenUp => self.faults.push((last, Fault::AllGone { silent: rng.one_in(2) })),
            Expect::Agreement => {
                let side = if rng.one_in(2) { Side::Sender } else { Side::Receiver };
                match rng.within(0..4) {
                    0 => self.faults.push((last, Fault::Vanish { side })),
                    1 => self.faults.push((last, Fault::Abort { side })),
                    _ => {}
                }
            }
        }
    }

    /// A link that is silent and fine in turn, until the faults cease.
    fn add_flapping(&mut self, rng: &mut Rng, quiet: u64) {
        let link = rng.within(0..self.links.len() as u64) as usize;
        let time = rng.magnitude(50 * MS..2 * SECOND);
        let mut at = rng.within(0..time);
        while at + time < quiet {
            self.faults.push((at, Fault::Silence { link, time }));
            at += 2 * time;
        }
    }
}

/// After how long an end learns of a cut; `None` is never.
fn learns(rng: &mut Rng) -> Option<u64> {
    (!rng.one_in(4)).then(|| rng.magnitude(1..3 * SECOND))
}

/// Feet of a stream: mostly full ones, here and there short ones, packed or raw.
fn stream(rng: &mut Rng, foot_bytes: u32) -> Vec<FootHeader> {
    let count = if rng.one_in(12) { rng.within(0..3) } else { rng.within(20..300) };
    let short_one_in = rng.within(2..60);
    let packs = rng.one_in(2);
    let mut offset = 0;
    (0..count)
        .map(|id| {
            let room = foot_bytes - (offset % u64::from(foot_bytes)) as u32;
            let short = rng.one_in(short_one_in) || id + 1 == count;
            let raw_bytes = if short { rng.within(1..u64::from(room) + 1) as u32 } else { room };
            let packed = packs && raw_bytes > 64 && !rng.one_in(4);
            let packed_bytes = if packed { raw_bytes / rng.within(2..8) as u32 } else { raw_bytes };
            let header = FootHeader {
                id,
                offset,
                raw_bytes,
                packed_bytes,
                codec: if packed { Codec::Zstd } else { Codec::Raw },
                check: check(rng),
            };
            offset += u64::from(raw_bytes);
            header
        })
        .collect()
}

fn check(rng: &mut Rng) -> [u8; 32] {
    let mut check = [0; 32];
    for part in check.chunks_exact_mut(8) {
        part.copy_from_slice(&rng.next().to_le_bytes());
    }
    check
}

/// Up to three links; now and then a fast one with others of down to a hundredth of its rate, and now
/// and then many workers.
fn links(rng: &mut Rng) -> Vec<LinkPlan> {
    let count = rng.within(1..4);
    let workers = if rng.one_in(100) {
        rng.within(5..MAX_WORKERS / count + 1) as usize
    } else {
        rng.within(1..5) as usize
    };
    let lopsided = rng.one_in(4);
    let fastest = rng.magnitude(25_000_000..250_000_000);
    let mut links: Vec<LinkPlan> = (0..count)
        .map(|_| LinkPlan {
            bytes_per_second: if lopsided {
                rng.magnitude(fastest / 100..fastest)
            } else {
                rng.magnitude(250_000..250_000_000)
            },
            delay: rng.magnitude(MS / 20..150 * MS),
            workers,
        })
        .collect();
    if lopsided {
        links[rng.within(0..count) as usize].bytes_per_second = fastest;
    }
    links
}
