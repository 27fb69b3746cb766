//! A rate that all connections share: it is kept, nearly all of it is used, by the preferred links, and
//! nobody takes it for a dead way.

use super::transfer::{FOOT, MB, Scores, feet_on, link, transfer, transfer_in_feet};
use super::{MBIT, run};
use crate::sim::agenda::{MS, SECOND};
use crate::sim::plan::LinkPlan;
use crate::sim::world::Summary;

/// The most bytes that went to the kernel in any second.
fn most_in_a_second(summary: &Summary) -> u64 {
    let (mut most, mut sum, mut first) = (0, 0, 0);
    for (at, bytes) in &summary.writes {
        sum += bytes;
        while at - summary.writes[first].0 >= SECOND {
            sum -= summary.writes[first].1;
            first += 1;
        }
        most = most.max(sum);
    }
    most
}

#[test]
fn a_rate_below_what_the_links_carry_is_kept_and_used() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for (what, links) in [
            ("one link, 4 workers", vec![link(1_000, 5, 4)]),
            ("one link, 16 workers", vec![link(1_000, 50, 16)]),
            ("two links", vec![link(100, 10, 4), link(1_000, 10, 4)]),
        ] {
            for rate in [1, 5, 10].map(|rate| rate * MB) {
                let mut plan = transfer(&links, 20 * MB, congestion);
                plan.rate = Some(rate);
                let summary = run(&plan);
                let name = format!("{what}, {} MB/s, congestion {congestion}", rate / MB);
                let most = most_in_a_second(&summary);
                assert!(most <= rate / 50 * 51, "{name}: {most} in a second");
                let fluid = 20 * MB * SECOND / rate;
                scores.at_most(&name, summary.last_ack, fluid / 50 * 51 + 500 * MS);
                assert_eq!(summary.closes, 0, "{name}");
                // The last feet, while their acks are on the way.
                assert!(summary.counts.reinjected_feet <= 2, "{name}: {:?}", summary.counts);
            }
        }
    }
    scores.judge();
}

#[test]
fn a_thin_rate_and_large_feet_are_no_dead_way() {
    for workers in [1, 4, 16] {
        for patience in [8, 120] {
            let foot = 16 << 20;
            let mut plan = transfer_in_feet(&[link(100, 10, workers)], 3 * foot, false, foot, 64);
            plan.rate = Some(20_000);
            plan.patience = Some(patience * SECOND);
            let name = format!("{workers} workers, patience {patience} s");
            let summary = run(&plan);
            assert_eq!((summary.closes, summary.counts.resent_feet), (0, 0), "{name}");
            assert_eq!(summary.counts.reinjected_feet, 0, "{name}");
            // Each heartbeat is a ping and, once the source has ended, that.
            let fluid = 3 * foot * SECOND / (20_000 - workers as u64 * 86);
            assert!(summary.last_ack <= fluid / 50 * 51 + 2 * SECOND, "{name}");
        }
    }
}

/// What the first link can carry of the rate does not go over the second, from the first foot on.
#[test]
fn a_rate_that_the_first_link_can_carry_leaves_the_second_idle() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for rate in [1, 4, 8].map(|rate| rate * MB) {
            let mut plan = transfer(&[link(100, 10, 2), link(100, 10, 2)], 30 * MB, congestion);
            plan.rate = Some(rate);
            plan.source_pauses.insert(0, SECOND); // all connections are up
            let feet = feet_on(&run(&plan), 1, 0..u64::MAX);
            scores.feet_at_most(&format!("{} MB/s, congestion {congestion}", rate / MB), feet, 1);
        }
    }
    scores.judge();
}

#[test]
fn a_rate_above_what_the_first_link_can_carry_is_filled_by_the_second() {
    let mut scores = Scores::default();
    let links = [link(80, 10, 2), link(80, 10, 2)];
    for congestion in [false, true] {
        let mut plan = transfer(&links, 60 * MB, congestion);
        plan.rate = Some(15 * MB);
        let summary = run(&plan);
        let name = format!("10 + 10 of 15 MB/s, congestion {congestion}");
        scores.at_most(&name, summary.last_ack, 60 * MB * SECOND / (15 * MB) / 100 * 107 + SECOND);
        let on_second = feet_on(&summary, 1, 0..u64::MAX);
        let most = (60 * MB / FOOT) as usize / 5 * 2;
        scores.feet_at_most(&format!("{name}, on the second"), on_second, most);
    }
    scores.judge();
}

#[test]
fn a_rate_that_nothing_reaches_costs_nothing() {
    let links: [LinkPlan; 2] = [link(1_000, 5, 4), link(1_000, 5, 4)];
    let mut plan = transfer(&links, 400 * MB, false);
    let free = run(&plan).last_ack;
    plan.rate = Some(80_000 * MBIT);
    let limited = run(&plan).last_ack;
    assert!(limited <= free / 100 * 101, "{} ms, {} without", limited / MS, free / MS);
}
