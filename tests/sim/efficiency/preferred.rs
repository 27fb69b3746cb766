//! Preferred first: what the first link can carry does not go over the second.
//!
//! The source begins after a second, when all connections are up.

use super::run;
use super::transfer::{FOOT, Scores, feet_on, link, silent, transfer};
use crate::sim::agenda::{MS, SECOND};
use crate::sim::plan::{LinkPlan, Plan};

const FEET: u64 = 180;

/// A source of `mbit` Mbit/s on average that comes in bursts of so many feet.
fn slow_source(links: &[LinkPlan], mbit: u64, burst: u64, congestion: bool) -> Plan {
    let mut plan = transfer(links, FEET * FOOT, congestion);
    let gap = burst * FOOT * SECOND / (mbit * super::MBIT);
    plan.source_pauses = (1..FEET / burst).map(|number| (number * burst, gap)).collect();
    plan.source_pauses.insert(0, SECOND);
    plan
}

#[test]
fn a_source_slower_than_the_first_link_leaves_the_second_idle() {
    let mut scores = Scores::default();
    let (near, far) = (link(100, 1, 2), link(100, 50, 2));
    let thin = link(10, 100, 2);
    for congestion in [false, true] {
        for (what, links) in [
            ("alike", [near, near]),
            ("the second far", [near, far]),
            ("the first far", [far, near]),
            ("the second thin", [near, thin]),
        ] {
            for (mbit, burst) in [(10, 1), (50, 1), (80, 1), (20, 4), (50, 4)] {
                let plan = slow_source(&links, mbit, burst, congestion);
                let feet = feet_on(&run(&plan), 1, 0..u64::MAX);
                let name =
                    format!("{what}, {mbit} Mbit/s in bursts of {burst}, congestion {congestion}");
                // What a congestion window that is still small keeps the first link from taking.
                let most = if congestion { FEET as usize / 15 } else { 0 };
                scores.feet_at_most(&name, feet, most);
            }
        }
    }
    scores.judge();
}

#[test]
fn the_second_link_stands_in_for_the_first_and_hands_back() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        let mut plan = slow_source(&[link(100, 5, 2); 2], 50, 1, congestion);
        plan.faults = vec![silent(0, 5 * SECOND, 10 * SECOND)];
        let summary = run(&plan);
        let name = |what: &str| format!("{what}, congestion {congestion}");
        let before = feet_on(&summary, 1, 0..5 * SECOND);
        scores.feet_at_most(&name("on the second before"), before, 0);
        // It is back after 15 s; a SYN goes out each second, a dial again after 2 s at most.
        let after = feet_on(&summary, 1, 19 * SECOND..u64::MAX);
        // The stream's last foot goes where it is there first.
        scores.feet_at_most(&name("on the second afterwards"), after, 1);
        let source_end = SECOND + (FEET - 1) * FOOT * SECOND / (50 * super::MBIT);
        scores.at_most(&name("delivered"), summary.last_ack, source_end + 500 * MS);
    }
    scores.judge();
}
