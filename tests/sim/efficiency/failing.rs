//! Links that fall silent (packets vanish, nobody is told) and come back.
//!
//! Counted from time 0, which the faults count from too: the ends have met by 20 ms.

use super::run;
use super::transfer::{FOOT, MB, Scores, fluid, link, silent, transfer, transfer_in_feet};
use crate::sim::agenda::{MS, SECOND};
use crate::sim::plan::{LinkPlan, Plan};

const FOR_GOOD: u64 = 100_000 * SECOND;
/// Four heartbeats, the pause to the next one that looks, and two round trips.
const NOTICED: u64 = 5 * SECOND + 20 * MS;

/// What is under way on a link, at most, when it is kept short: a round trip's worth, the link's
/// queue, and for each worker what its kernel has and a foot.
fn lost_bytes(link: LinkPlan, congestion: bool) -> u64 {
    let product = link.bytes_per_second * 2 * link.delay / SECOND;
    let queue = if congestion { 256 << 10 } else { 0 };
    product + queue + link.workers as u64 * ((256 << 10) + FOOT)
}

#[test]
fn a_link_that_falls_silent_for_good_is_left_to_itself() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for which in [0, 1] {
            let mut plan = transfer(&[link(100, 5, 2); 2], 120 * MB, congestion);
            plan.faults = vec![silent(which, 3 * SECOND, FOR_GOOD)];
            let bytes = 120 * MB + lost_bytes(plan.links[which], congestion);
            let time = run(&plan).last_ack;
            let name = format!("link {which}, congestion {congestion}");
            let most = fluid(&plan, bytes) * 110 / 100;
            scores.at_most(&format!("{name}, noticed"), time, most + NOTICED);
            // The feet on it need not wait for that: a second copy takes their place (130 Mbit/s).
            scores.at_most(
                &format!("{name}, 130 Mbit/s"),
                time,
                120 * MB * SECOND / (130 * super::MBIT),
            );
        }
    }
    scores.judge();
}

/// A preferred link of `mbit` beside one that is far away, and the moments at which the first is cut.
fn cut_preferred(
    mbit: u64,
    foot_bytes: u64,
    window_feet: u64,
    mut judge: impl FnMut(String, &Plan, Plan),
) {
    for congestion in [false, true] {
        for workers in [1, 4, 8] {
            let links = [link(mbit, 5, workers), link(200, 50, 1)];
            let uncut = transfer_in_feet(&links, 200 * MB, congestion, foot_bytes, window_feet);
            for tenth in 0..10 {
                let mut plan = uncut.clone();
                plan.faults = vec![silent(0, 3 * SECOND + tenth * 100 * MS, FOR_GOOD)];
                let name = format!(
                    "{mbit} Mbit/s, feet of {} KiB, {workers} workers, cut {tenth}, congestion \
                     {congestion}",
                    foot_bytes >> 10
                );
                judge(name, &uncut, plan);
            }
        }
    }
}

/// (Two seconds: an untried connection is expected to take one.)
#[test]
fn where_the_window_is_narrow_the_head_does_not_wait_for_a_link_that_falls_silent() {
    let mut scores = Scores::default();
    for mbit in [16, 100, 400] {
        cut_preferred(mbit, 64 << 10, 22, |name, uncut, plan| {
            let most = run(uncut).longest_wait + 2 * SECOND;
            scores.at_most(&name, run(&plan).longest_wait, most);
        });
    }
    scores.judge();
}

/// Until the window is full the others go on; the head may wait until its link is known to be dead. (Two
/// seconds more than the fluid limit: the far connection takes one to grow, and one to bring the last feet
/// once more.)
#[test]
fn where_the_window_is_wide_a_link_that_falls_silent_costs_no_more_than_what_was_on_it() {
    let mut scores = Scores::default();
    for (foot_bytes, window_feet) in [(64 << 10, 4096), (FOOT, 256)] {
        cut_preferred(16, foot_bytes, window_feet, |name, _, plan| {
            let most = fluid(&plan, plan.total_bytes() + lost_bytes(plan.links[0], true));
            scores.at_most(&name, run(&plan).last_ack, most + 2 * SECOND);
        });
    }
    scores.judge();
}

#[test]
fn a_link_that_is_back_is_used_again() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for which in [0, 1] {
            let mut plan = transfer(&[link(100, 5, 2); 2], 300 * MB, congestion);
            plan.faults = vec![silent(which, 3 * SECOND, 5 * SECOND)];
            let bytes = 300 * MB + lost_bytes(plan.links[which], congestion);
            let most = fluid(&plan, bytes) * 110 / 100;
            scores.at_most(
                &format!("link {which}, congestion {congestion}"),
                run(&plan).last_ack,
                most,
            );
        }
    }
    scores.judge();
}

#[test]
fn a_link_that_flaps_does_no_harm_beside_a_steady_one() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for bytes in [12 * MB, 120 * MB, 300 * MB] {
            let alone = run(&transfer(&[link(100, 5, 4)], bytes, congestion)).last_ack;
            for which in [0, 1] {
                let mut plan = transfer(&[link(100, 5, 2); 2], bytes, congestion);
                let starts = (0..60).map(|number| 300 * MS + number * 2 * SECOND);
                plan.faults = starts.map(|at| silent(which, at, SECOND)).collect();
                let name =
                    format!("{} MB, link {which} flaps, congestion {congestion}", bytes / MB);
                scores.at_most(&name, run(&plan).last_ack, alone * 105 / 100);
            }
        }
    }
    scores.judge();
}

#[test]
fn all_links_silent_for_twenty_seconds_cost_no_more_than_that() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        let mut plan = transfer(&[link(100, 5, 2); 2], 120 * MB, congestion);
        plan.faults = vec![silent(0, 3 * SECOND, 20 * SECOND), silent(1, 3 * SECOND, 20 * SECOND)];
        let lost = 2 * lost_bytes(plan.links[0], congestion);
        let most = fluid(&plan, 120 * MB + lost) * 110 / 100;
        scores.at_most(&format!("congestion {congestion}"), run(&plan).last_ack, most);
    }
    scores.judge();
}
