//! Equal links, many workers, and long fat ways.

use super::transfer::{
    FOOT, MB, Scores, feet_on, first_send, fluid, link, longest_rtt, sending_time, transfer,
};
use super::{run, time_of};
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
    for (gbit, workers) in [(10, 4), (10, 16), (100, 4)] {
        for congestion in [false, true] {
            let links = [link(gbit * 1_000, 100, workers)];
            let bytes = gbit * 1_000 * MB; // 8 s
            let mut plan = transfer(&links, bytes, congestion);
            plan.chunk_bytes = (gbit << 20) / 40;
            plan.kernel_bytes = 4 * plan.chunk_bytes; // 0.8 ms of the link
            plan.window_feet = gbit * 100;
            plan.buffers = gbit * 100;
            let product = links[0].bytes_per_second * 2 * links[0].delay / SECOND;
            let doublings = |from: u64| (product as f64 / from as f64).log2().ceil() as u64;
            let opening = doublings(plan.open_feet * FOOT / 2);
            let slow_start = if congestion { doublings(workers as u64 * 14_600) } else { 0 };
            let rounds = opening.max(slow_start) + 1;
            let least = fluid(&plan, bytes) * 100 / 95;
            let name = format!("{gbit} Gbit/s, {workers} workers, congestion {congestion}");
            let summary = run(&plan);
            let began = first_send(&summary);
            let opened = began + rounds * longest_rtt(&links);
            scores.at_most(&name, summary.last_ack - began, opened - began + least);
            // Then nothing is lost any more.
            let feet = feet_on(&summary, 0, opened..opened + 4 * SECOND);
            let full = 4 * links[0].bytes_per_second / FOOT;
            scores.feet_at_least(&format!("{name}, once open"), feet, full as usize * 95 / 100);
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
