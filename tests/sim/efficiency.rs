//! How near the ends come to what the links can carry: a fixed set of scenarios without faults, exact
//! because their clock is virtual.
//!
//! The clock starts when the first foot is acked (before that nothing is known of a path, and each
//! worker gets one foot to learn from) and stops when the last one is; the families of scenarios say
//! where they count otherwise. Does not know how feet are scheduled.

mod failing;
mod limited;
mod preferred;
mod transfer;
mod unequal;
mod wide;

use super::agenda::{MS, SECOND};
use super::net::Side;
use super::plan::{Expect, LinkPlan, Plan};
use super::world::{Summary, World};
use std::collections::BTreeMap;
use transfer::{FOOT, MB, transfer_in_feet};
use viamillipede::foot::{Codec, DEFAULT_FOOT_BYTES, FootHeader};

const MBIT: u64 = 1_000_000 / 8;
const FEET_A_LINK: u64 = 100;

#[test]
fn equal_links_are_filled() {
    let mut misses = Vec::new();
    let mut worst = (0.0, String::new());
    for links in [1, 2] {
        for rtt in [1, 10, 50, 100, 300] {
            for rate in [10, 100, 1_000, 10_000] {
                for workers in [1, 4] {
                    let link =
                        LinkPlan { bytes_per_second: rate * MBIT, delay: rtt * MS / 2, workers };
                    let name = format!("{links} x {rate} Mbit/s, {rtt} ms, {workers} workers");
                    let plan = plan(vec![link; links], FEET_A_LINK * links as u64);
                    let (time, fluid) = (time_of(&plan), fluid_time(&plan));
                    let foot = u64::from(DEFAULT_FOOT_BYTES) * SECOND / link.bytes_per_second;
                    let most = fluid + fluid / 20 + foot + rtt * MS;
                    let part = time as f64 / most as f64;
                    if part > worst.0 {
                        worst = (part, name.clone());
                    }
                    if time > most {
                        misses.push(format!(
                            "{name}: {} ms, fluid {}, at most {}",
                            time / MS,
                            fluid / MS,
                            most / MS
                        ));
                    }
                }
            }
        }
    }
    eprintln!("nearest to its bound: {:.3} of it, {}", worst.0, worst.1);
    assert!(misses.is_empty(), "{} scenarios miss:\n{}", misses.len(), misses.join("\n"));
}

#[test]
fn a_thin_link_is_not_filled_with_second_copies() {
    let thin = LinkPlan { bytes_per_second: MBIT / 2, delay: 5 * MS, workers: 4 };
    for congestion in [false, true] {
        for (bytes, foot_bytes, most) in
            [(5 * MB, 4 << 20, 0), (20 * MB, 4 << 20, 1), (5 * MB, FOOT, 0)]
        {
            let plan = transfer_in_feet(&[thin], bytes, congestion, foot_bytes, 64);
            let summary = run(&plan);
            let copies = summary.counts.reinjected_feet;
            assert!(copies <= most, "{bytes} bytes, feet of {foot_bytes}: {copies}");
        }
    }
}

#[test]
fn the_window_opens_as_far_as_a_long_fat_way_needs() {
    let link = LinkPlan { bytes_per_second: 10_000 * MBIT, delay: 150 * MS, workers: 4 };
    let mut plan = plan(vec![link], 5_000);
    let all_open = run(&plan).last_ack;
    plan.open_feet = 12;
    let opening = run(&plan).last_ack;
    // From 12 feet to 2 x 358 in six doublings, each of which costs a round trip at most.
    assert!(opening <= all_open + 6 * 300 * MS, "{} ms, {}", opening / MS, all_open / MS);
}

#[test]
fn a_slower_link_beside_a_fast_one_does_little_harm() {
    let link = |mbit: u64, rtt: u64, workers| LinkPlan {
        bytes_per_second: mbit * MBIT,
        delay: rtt * MS / 2,
        workers,
    };
    let mut misses = Vec::new();
    for wide in [false, true] {
        for workers in [1, 4] {
            for (fast_rtt, slow_rtt) in [(1, 1), (10, 10), (10, 100), (100, 10), (50, 300)] {
                let (fast, slow) = (link(100, fast_rtt, workers), link(10, slow_rtt, workers));
                for both in [vec![fast, slow], vec![slow, fast]] {
                    let fast_first = both[0].bytes_per_second == fast.bytes_per_second;
                    let (mut alone, mut both) = (plan(vec![fast], 200), plan(both, 200));
                    if wide {
                        (alone.window_feet, both.window_feet) = (256, 256);
                        (alone.open_feet, both.open_feet) = (256, 256);
                    }
                    let [alone_time, both_time] = [&alone, &both].map(|plan| run(plan).last_ack);
                    let line = format!(
                        "window {}, {workers} workers, fast {fast_rtt} ms, slow {slow_rtt} ms, \
                         fast first {fast_first}: {} ms, alone {}, fluid {}",
                        both.window_feet,
                        both_time / MS,
                        alone_time / MS,
                        fluid_time(&both) / MS
                    );
                    eprintln!("{line}");
                    if both_time > alone_time + alone_time / 20 {
                        misses.push(line);
                    }
                }
            }
        }
    }
    assert!(misses.is_empty(), "slower than alone:\n{}", misses.join("\n"));
}

/// From the first ack to the last.
fn time_of(plan: &Plan) -> u64 {
    let summary = run(plan);
    summary.last_ack - summary.first_ack
}

fn run(plan: &Plan) -> Summary {
    World::new(plan.clone()).run().unwrap_or_else(|broken| panic!("{broken}"))
}

/// All links full from the first ack on.
fn fluid_time(plan: &Plan) -> u64 {
    let rate: u64 = plan.links.iter().map(|link| link.bytes_per_second).sum();
    let bytes = plan.total_bytes() - u64::from(plan.foot_bytes);
    (u128::from(bytes) * u128::from(SECOND) / u128::from(rate)) as u64
}

fn plan(links: Vec<LinkPlan>, feet: u64) -> Plan {
    let foot_bytes = DEFAULT_FOOT_BYTES;
    let product: u64 =
        links.iter().map(|link| link.bytes_per_second * 2 * link.delay / SECOND).sum();
    let workers: usize = links.iter().map(|link| link.workers).sum();
    let window_feet = (2 * product).div_ceil(u64::from(foot_bytes)) + 4 * workers as u64;
    let header = |id| FootHeader {
        id,
        offset: id * u64::from(foot_bytes),
        raw_bytes: foot_bytes,
        packed_bytes: foot_bytes,
        codec: Codec::Raw,
        check: [id as u8; 32],
    };
    Plan {
        seed: 1,
        foot_bytes,
        feet: (0..feet).map(header).collect(),
        links,
        kernel_bytes: 256 << 10,
        chunk_bytes: 64 << 10,
        rate: None,
        congestion: false,
        window_feet,
        open_feet: window_feet,
        buffers: feet,
        patience: Some(120 * SECOND),
        dialler: Side::Sender,
        source_gap: 0,
        source_pauses: BTreeMap::new(),
        pack_time: 1,
        unpack_time: 1,
        early_end: false,
        sink_gap: 0,
        sink_pauses: BTreeMap::new(),
        close_time: 0,
        corrupt_one_in: 0,
        hopeless: None,
        faults: Vec::new(),
        expect: Expect::Delivered,
    }
}
