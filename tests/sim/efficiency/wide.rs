//! Equal links, many workers, and long fat ways.

use super::time_of;
use super::transfer::{FOOT, MB, Scores, fluid, link, longest_rtt, sending_time, transfer};
use crate::sim::agenda::{MS, SECOND};
use crate::sim::plan::LinkPlan;

/// 0.95 of what the links carry, less one foot and one round trip.
fn most(links: &[LinkPlan], fluid: u64) -> u64 {
    let slowest = links.iter().map(|link| link.bytes_per_second).min().unwrap_or(1);
    fluid * 100 / 95 + FOOT * SECOND / slowest + longest_rtt(links)
}

#[test]
fn two_equal_links_are_worth_nearly_twice_one() {
    let mut scores = Scores::default();
    let links = [link(100, 10, 2); 2];
    for congestion in [false, true] {
        for bytes in [120 * MB, 300 * MB] {
            let plan = transfer(&links, bytes, congestion);
            let name = format!("{} MB, congestion {congestion}", bytes / MB);
            scores.at_most(&name, time_of(&plan), most(&links, fluid(&plan, bytes - FOOT)));
        }
    }
    scores.judge();
}

/// So many feet are under way when the first is acked that the clock starts at the first sent.
#[test]
fn sixty_four_workers_do_not_stand_in_one_another_s_way() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for mbit in [100, 1_000] {
            for links in [vec![link(mbit, 5, 64)], vec![link(mbit, 5, 32); 2]] {
                let bytes = mbit * MB * links.len() as u64;
                let plan = transfer(&links, bytes, congestion);
                let name = format!(
                    "{} x {mbit} Mbit/s, congestion {congestion}, {} MB",
                    links.len(),
                    bytes / MB
                );
                scores.at_most(&name, sending_time(&plan), most(&links, fluid(&plan, bytes)));
            }
        }
    }
    scores.judge();
}

/// The window opens and TCP's own windows open, both by doubling; no more rounds than that are lost.
#[test]
fn a_long_fat_way_is_filled_as_the_windows_open() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for workers in [4, 16] {
            let links = [link(10_000, 100, workers)];
            let bytes = 10_000 * MB;
            let mut plan = transfer(&links, bytes, congestion);
            plan.chunk_bytes = 256 << 10;
            plan.kernel_bytes = 1 << 20; // room for the chunks; 0.8 ms of the link
            plan.window_feet = 1_024;
            plan.buffers = 1_024;
            let product = links[0].bytes_per_second * 2 * links[0].delay / SECOND;
            let doublings = |from: u64| (product as f64 / from as f64).log2().ceil() as u64;
            let opening = doublings(plan.open_feet * FOOT / 2);
            let slow_start = if congestion { doublings(workers as u64 * 14_600) } else { 0 };
            let rounds = opening.max(slow_start) + 1;
            let least = fluid(&plan, bytes) * 100 / 95;
            let name = format!("{workers} workers, congestion {congestion}");
            let time = sending_time(&plan);
            scores.at_most(&name, time, least + rounds * longest_rtt(&links));
        }
    }
    scores.judge();
}

/// The model itself: 1 MiB in slow start is seven rounds from ten segments on.
#[test]
fn a_fresh_connection_with_congestion_is_slow_at_first() {
    let first_foot = |congestion| {
        let plan = transfer(&[link(1_000, 100, 1)], FOOT, congestion);
        sending_time(&plan) / MS
    };
    assert!((200..250).contains(&first_foot(false)), "{} ms", first_foot(false));
    assert!((1_300..1_500).contains(&first_foot(true)), "{} ms", first_foot(true));
}
