//! Links of unequal rate and delay: all of them together are never worse than the best one alone, for
//! any order of preference and any length of the stream.
//!
//! Counted from the first foot sent, so that a head held up by a slow link counts too. The fast link
//! alone has as many workers as all links together: what it costs to open fewer congestion windows
//! there, and to learn what the other link is worth, may be two round trips, of the longest there is.

use super::transfer::{FOOT, MB, Scores, fluid, link, longest_rtt, sending_time, transfer};
use crate::sim::plan::LinkPlan;

fn in_every_order(links: &[LinkPlan]) -> Vec<Vec<LinkPlan>> {
    if links.len() < 2 {
        return vec![links.to_vec()];
    }
    let mut orders = Vec::new();
    for first in 0..links.len() {
        let mut rest = links.to_vec();
        let first = rest.remove(first);
        orders.extend(in_every_order(&rest).into_iter().map(|mut order| {
            order.insert(0, first);
            order
        }));
    }
    orders
}

/// The name of a scenario, and how long the fastest of its links takes alone.
fn beside(links: &[LinkPlan], bytes: u64, congestion: bool) -> (String, u64) {
    let rates: Vec<String> =
        links.iter().map(|link| (link.bytes_per_second / super::MBIT).to_string()).collect();
    let name = format!("{} Mbit/s, {} KB, congestion {congestion}", rates.join("+"), bytes / 1000);
    let workers = links.iter().map(|link| link.workers).sum();
    let fastest = links.iter().max_by_key(|link| link.bytes_per_second);
    let fastest = fastest.map(|link| LinkPlan { workers, ..*link });
    (name, sending_time(&transfer(fastest.as_slice(), bytes, congestion)))
}

#[test]
fn a_slow_far_link_beside_a_fast_near_one_is_worth_having() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for links in in_every_order(&[link(100, 1, 2), link(10, 100, 2)]) {
            for bytes in [12 * MB, 120 * MB] {
                let (name, alone) = beside(&links, bytes, congestion);
                let long = bytes == 120 * MB;
                let most = if long { alone * 100 / 104 } else { alone + 2 * longest_rtt(&links) };
                let time = sending_time(&transfer(&links, bytes, congestion));
                scores.at_most(&format!("{name}, alone {}", alone / 1_000_000), time, most);
            }
        }
    }
    scores.judge();
}

#[test]
fn a_link_of_a_hundredth_does_no_harm() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for slow_delay in [5, 50] {
            for links in in_every_order(&[link(1_000, 5, 2), link(10, slow_delay, 2)]) {
                for bytes in [120 * MB, 1_200 * MB] {
                    let (name, alone) = beside(&links, bytes, congestion);
                    let time = sending_time(&transfer(&links, bytes, congestion));
                    let most = alone + 2 * longest_rtt(&links);
                    scores.at_most(&format!("{name}, slow {slow_delay} ms"), time, most);
                }
            }
        }
    }
    scores.judge();
}

/// Never below the fastest alone, and at least 0.95 of what the two that count could carry.
#[test]
fn three_links_are_used_in_every_order() {
    let mut scores = Scores::default();
    for congestion in [false, true] {
        for delays in [[5, 5, 5], [5, 20, 50]] {
            let [one, two, three] = delays;
            let two_fast = [link(100, one, 2), link(50, two, 2)];
            let three = link(10, three, 2);
            for links in in_every_order(&[two_fast[0], two_fast[1], three]) {
                let bytes = 300 * MB;
                let (name, alone) = beside(&links, bytes, congestion);
                let two = fluid(&transfer(&two_fast, bytes, congestion), bytes);
                let most = (two * 100 / 95).min(alone);
                let time = sending_time(&transfer(&links, bytes, congestion));
                scores.at_most(&format!("{name}, {delays:?} ms"), time, most);
            }
        }
    }
    scores.judge();
}

/// Not even a stream so short that nothing is known of the links, and no congestion window open, until it
/// is over: one more round trip.
#[test]
fn a_small_stream_is_not_left_to_a_slow_link() {
    let mut scores = Scores::default();
    let pairs = [
        [link(100, 1, 2), link(10, 100, 2)],
        [link(100, 5, 2), link(10, 5, 2)],
        [link(1_000, 5, 2), link(10, 5, 2)],
    ];
    for congestion in [false, true] {
        for pair in pairs {
            for links in in_every_order(&pair) {
                for feet in [3, 10] {
                    let (name, alone) = beside(&links, feet * FOOT, congestion);
                    let time = sending_time(&transfer(&links, feet * FOOT, congestion));
                    let name = format!("{name}, {} ms away", links[0].delay / 1_000_000);
                    scores.at_most(&name, time, alone + 3 * longest_rtt(&links));
                }
            }
        }
    }
    scores.judge();
}
