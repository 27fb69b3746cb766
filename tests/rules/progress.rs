//! What counts as progress, and when an end gives up: rule 8.
//!
//! Does not say how a stream ends well: see `ending`.

use super::pair::{Line, Pair};
use super::rx::Rx;
use super::tx::Tx;
use super::{FOOT, PATIENCE, end, foot, ms};
use std::time::Duration;
use viamillipede::foot::{FootHeader, MAX_FOOT_BYTES};
use viamillipede::proto::Failure;
use viamillipede::proto::frame::Frame;
use viamillipede::proto::{receiver, sender};

const HALF_MBIT: u64 = 500_000 / 8;

#[test]
fn rule_08_a_slow_link_with_a_large_foot_never_times_out() {
    let mut pair = Pair::new(MAX_FOOT_BYTES, 12);
    pair.up(1, Line::Rate(HALF_MBIT));
    let bytes = MAX_FOOT_BYTES;
    pair.offer(FootHeader { raw_bytes: bytes, packed_bytes: bytes, ..foot(0) });
    pair.advance(Duration::from_secs(260));
    assert!(pair.goes_on() && pair.sunk == 0, "{:?} {:?}", pair.sender_end, pair.receiver_end);
    assert_eq!(pair.closed, 0, "nobody gave the connection up");
    pair.advance(Duration::from_secs(10));
    assert!(pair.sender.all_acked());
    assert_eq!(pair.sunk, 1);
}

#[test]
fn rule_08_slow_links_share_the_last_feet_and_end() {
    let mut pair = Pair::new(MAX_FOOT_BYTES, 12);
    for worker in 1..=4 {
        pair.up(worker, Line::Rate(HALF_MBIT));
    }
    let bytes = MAX_FOOT_BYTES;
    for id in 0..5 {
        let offset = id * u64::from(bytes);
        pair.offer(FootHeader { raw_bytes: bytes, packed_bytes: bytes, offset, ..foot(id) });
    }
    pair.finish(viamillipede::proto::frame::End {
        feet: 5,
        bytes: 5 * u64::from(bytes),
        digest: None,
    });
    pair.advance(Duration::from_secs(600));
    assert!(
        matches!(pair.sender_end, Some((_, sender::Event::Delivered(_)))),
        "{:?} after {} feet",
        pair.sender_end,
        pair.sunk
    );
}

#[test]
fn rule_08_a_path_that_passes_only_small_packets_times_out() {
    let mut pair = Pair::new(FOOT, 8);
    let start = pair.now;
    pair.up(1, Line::SmallOnly);
    pair.offer(foot(0));
    pair.advance(PATIENCE * 2);
    let (at, event) = pair.sender_end.expect("heartbeats alone are no progress");
    assert_eq!(event, sender::Event::Failed(Failure::PeerLost));
    let slack = ms(1100);
    assert!(at - start >= PATIENCE && at - start < PATIENCE + slack, "{:?}", at - start);
    let (at, event) = pair.receiver_end.expect("here neither");
    assert_eq!(event, receiver::Event::Failed(Failure::PeerLost));
    assert!(at - start >= PATIENCE && at - start < PATIENCE + slack, "{:?}", at - start);
    assert!(pair.closed > 0, "it was dialled again in between");
}

#[test]
fn rule_08_a_connection_that_stands_still_alone_is_dialled_again_within_a_long_patience() {
    let mut pair = Pair::with_patience(FOOT, 8, Duration::from_secs(120));
    pair.up(1, Line::SmallOnly);
    pair.offer(foot(0));
    pair.advance(Duration::from_secs(110));
    assert!(pair.goes_on());
    assert_eq!(pair.closed, 1);
}

#[test]
fn rule_08_pauses_of_a_thin_link_do_not_cost_its_connections() {
    for (workers, patience) in [(1, 6), (4, 6), (1, 20), (4, 20), (1, 120)] {
        let patience = Duration::from_secs(patience);
        let mut pair = Pair::with_patience(MAX_FOOT_BYTES, 12, patience);
        let rate = Line::Rate(HALF_MBIT / workers);
        let bytes = MAX_FOOT_BYTES;
        for worker in 0..workers as u32 {
            pair.up_on(0, worker, rate);
            let id = u64::from(worker);
            let offset = id * u64::from(bytes);
            pair.offer(FootHeader { raw_bytes: bytes, packed_bytes: bytes, offset, ..foot(id) });
        }
        // Its queue runs over; what comes behind the first loss waits until that was sent again.
        // With others on the same link that have nothing to do any more, the queue is short.
        let longest = if workers == 1 { 12 } else { 9 };
        let pause = (patience / 10 * 6).min(Duration::from_secs(longest));
        for round in 0.. {
            let turn = round % workers as u32;
            pair.line(turn, Line::Jammed);
            pair.advance(pause);
            pair.line(turn, rate);
            pair.advance(Duration::from_secs(2));
            assert!(pair.goes_on(), "{workers} workers, {patience:?}, round {round}");
            assert_eq!(pair.closed, 0, "{workers} workers, {patience:?}, round {round}");
            if pair.sender.all_acked() {
                break;
            }
        }
    }
}

#[test]
fn rule_08_a_connection_is_not_given_up_for_another_try_that_could_not_come_as_far() {
    let patience = Duration::from_secs(6);
    let mut pair = Pair::with_patience(MAX_FOOT_BYTES, 12, patience);
    let (rate, bytes) = (Line::Rate(HALF_MBIT), MAX_FOOT_BYTES);
    pair.up(1, rate);
    pair.offer(FootHeader { raw_bytes: bytes, packed_bytes: bytes, ..foot(0) });
    while !pair.sender.all_acked() {
        pair.advance(Duration::from_secs(8));
        pair.line(1, Line::Jammed);
        pair.advance(patience / 6 * 5);
        pair.line(1, rate);
        assert!(pair.goes_on() && pair.closed == 0, "{} closed", pair.closed);
    }
    // What is not large is tried again.
    pair.line(1, Line::SmallOnly);
    pair.offer(FootHeader { offset: bytes.into(), ..foot(1) });
    pair.advance(patience / 6 * 5);
    assert!(pair.goes_on() && pair.closed == 1);
}

#[test]
fn rule_08_a_connection_that_stands_still_beside_an_idle_one_is_given_up() {
    for patience in [6, 8, 20] {
        beside_an_idle_one(Duration::from_secs(patience));
    }
}

fn beside_an_idle_one(patience: Duration) {
    let mut pair = Pair::with_patience(FOOT, 8, patience);
    pair.up_on(0, 1, Line::SmallOnly);
    pair.up_on(0, 2, Line::SmallOnly);
    pair.up_on(0, 3, Line::Rate(10_000_000));
    (0..6).for_each(|id| pair.offer(foot(id)));
    pair.advance(patience);
    assert!(pair.goes_on() && pair.closed >= 2, "both copies of a foot stand still: {patience:?}");
    pair.finish(end(6));
    pair.advance(patience * 2);
    assert!(matches!(pair.sender_end, Some((_, sender::Event::Delivered(_)))));
}

#[test]
fn rule_08_connections_that_always_die_before_their_foot_is_through_are_no_progress_for_ever() {
    let mut rx = Rx::new(8);
    let start = rx.now;
    let mut reported = 0;
    for worker in 0.. {
        rx.up(worker);
        rx.ping(worker, 1);
        rx.advance(500);
        rx.received(worker, u64::from(FOOT) / 2);
        let acks = rx.says().into_iter().filter_map(|(_, frame)| match frame {
            Frame::Ack(ack) => Some(ack.received_bytes),
            _ => None,
        });
        reported = acks.fold(reported, u64::max);
        rx.down(worker);
        if rx.over {
            break;
        }
        assert!(rx.now - start < PATIENCE * 3, "it never gives up");
    }
    assert!(rx.now - start > PATIENCE, "a few lost connections are no reason to give up");
    let most = receiver::MAX_FRUITLESS as u64 * u64::from(FOOT);
    assert!(reported <= most, "the sender is told of progress without end: {reported} bytes");
}

#[test]
fn rule_08_connections_that_bring_scraps_and_then_fall_silent_are_no_progress_for_long() {
    let mut rx = Rx::new(8);
    let start = rx.now;
    for round in 0.. {
        let workers = 4 * round..4 * round + 4;
        for worker in workers.clone() {
            rx.up(worker);
            rx.ping(worker, 1);
            rx.received(worker, u64::from(FOOT) / 2);
        }
        rx.advance(5_000); // they are found to stand still
        for worker in workers {
            rx.down(worker);
        }
        if rx.over {
            break;
        }
        assert!(rx.now - start < PATIENCE * 3, "it never gives up");
    }
    assert!(rx.now - start < PATIENCE + ms(21_000), "after {:?}", rx.now - start);
}

#[test]
fn rule_08_a_thin_way_is_progress_beside_one_that_brings_only_scraps() {
    let mut rx = Rx::new(8);
    rx.up(0);
    rx.ping(0, 2);
    let scrap = u64::from(FOOT) / 10;
    for second in 1..100 {
        // The first connection takes 200 seconds for a foot; others come, bring a scrap, and die.
        rx.received(0, u64::from(FOOT) * second / 200);
        rx.up(second as u32);
        rx.received(second as u32, scrap);
        rx.advance(1_000);
        rx.down(second as u32);
        assert!(!rx.over, "after {second} seconds");
    }
    rx.advance(PATIENCE.as_millis() as u64);
    assert!(rx.over, "nothing came any more");
}

#[test]
fn rule_08_resets_of_all_connections_are_no_reason_to_give_up_what_goes_further_each_time() {
    let mut rx = Rx::new(8);
    for round in 0..18 {
        let workers = 4 * round..4 * round + 4;
        for worker in workers.clone() {
            rx.up(worker);
            rx.ping(worker, 1);
        }
        for second in 1..=u64::from(round) + 1 {
            workers.clone().for_each(|worker| rx.received(worker, 1_000 * second));
            rx.advance(1_000);
        }
        workers.for_each(|worker| rx.down(worker));
        assert!(!rx.over, "after round {round}");
    }
}

#[test]
fn rule_08_one_outage_of_many_connections_is_no_reason_to_give_up() {
    let mut rx = Rx::new(200);
    for worker in 0..64 {
        rx.up(worker);
        rx.ping(worker, 1);
        rx.received(worker, u64::from(FOOT) / 2);
    }
    for worker in 0..64 {
        rx.down(worker);
    }
    let patience_ms = PATIENCE.as_millis() as u64;
    for second in 1..patience_ms / 500 {
        rx.up(64);
        rx.received(64, second * 1_000);
        rx.advance(1_000);
        assert!(!rx.over, "after {second} seconds");
    }
}

#[test]
fn rule_08_one_foot_that_gets_through_makes_up_for_all_connections_that_died() {
    let mut rx = Rx::new(8);
    for worker in 0..receiver::MAX_FRUITLESS as u32 * 12 {
        rx.up(worker);
        rx.ping(worker, 8);
        rx.received(worker, u64::from(FOOT) / 2);
        rx.down(worker);
        if worker % 20 == 0 {
            rx.up(worker);
            rx.feet(worker, [u64::from(worker / 20)]);
            rx.sink_takes(1);
        }
        rx.advance(1_000);
        assert!(!rx.over, "after {worker} connections");
    }
}

#[test]
fn rule_08_a_stalled_connection_is_given_up_while_another_works() {
    let mut pair = Pair::new(FOOT, 8);
    pair.up(1, Line::SmallOnly);
    pair.up(2, Line::Rate(10_000_000));
    for id in 0..6 {
        pair.offer(foot(id));
    }
    pair.advance(PATIENCE / 4 * 3);
    assert!(pair.closed > 0);
    pair.finish(end(6));
    pair.advance(PATIENCE / 2);
    assert!(matches!(pair.sender_end, Some((_, sender::Event::Delivered(_)))));
}

#[test]
fn rule_08_a_slow_sink_is_never_a_dead_peer() {
    let mut pair = Pair::new(FOOT, 4);
    pair.sink_works = false;
    pair.up(1, Line::Rate(10_000_000));
    for id in 0..8 {
        pair.offer(foot(id));
    }
    pair.advance(PATIENCE * 5);
    assert!(pair.goes_on());
    assert_eq!(pair.closed, 0);
    pair.sink_works = true;
    pair.advance(PATIENCE / 4);
    assert_eq!(pair.sunk, 8);
}

#[test]
fn rule_08_the_stall_clock_stands_still_while_the_sink_blocks() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    tx.sink_blocked = true;
    for _ in 0..40 {
        tx.advance(1000);
        tx.heartbeat(1);
    }
    assert_eq!(tx.events(), []);
}

#[test]
fn rule_08_heartbeats_are_enough_for_the_receiver_while_its_sink_blocks() {
    let mut rx = Rx::new(8);
    rx.up(1);
    rx.feet(1, [0, 1]);
    for _ in 0..40 {
        rx.advance(1000);
        rx.ping(1, 3);
    }
    assert!(!rx.over, "a foot is on the way, but the sink has not even taken the first");
    rx.sink_takes(2);
    for _ in 0..40 {
        rx.advance(1000);
        rx.ping(1, 3);
    }
    assert!(rx.over, "now it is the foot that is missing");
}

#[test]
fn rule_08_an_idle_source_is_never_a_dead_peer() {
    let mut pair = Pair::new(FOOT, 4);
    pair.up(1, Line::Rate(10_000_000));
    pair.advance(PATIENCE * 3);
    pair.offer(foot(0));
    pair.advance(PATIENCE * 3);
    assert!(pair.goes_on());
    assert_eq!((pair.sunk, pair.closed), (1, 0));
}

#[test]
fn rule_08_a_dead_peer_is_noticed_when_patience_is_over_and_not_before() {
    let patience = PATIENCE.as_millis() as u64;
    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.advance(700);
    tx.heartbeat(1);
    tx.offer(0..1);
    tx.advance(patience - 1);
    assert!(!tx.over);
    tx.advance(1);
    assert_eq!(tx.events().last(), Some(&sender::Event::Failed(Failure::PeerLost)));

    let mut rx = Rx::new(4);
    rx.up(1);
    rx.advance(700);
    rx.received(1, 10);
    rx.advance(patience - 1);
    assert!(!rx.over);
    rx.advance(1);
    assert_eq!(rx.events().last(), Some(&receiver::Event::Failed(Failure::PeerLost)));
}

#[test]
fn rule_08_patience_without_limit_waits_for_ever() {
    let mut tx = Tx::with_patience(4, None);
    tx.offer(0..1);
    tx.advance(86_400_000);
    assert!(!tx.over);
    let mut rx = Rx::with_patience(4, None);
    rx.advance(86_400_000);
    assert!(!rx.over);
}

#[test]
fn rule_08_a_silent_connection_is_closed_long_before_patience_is_over() {
    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.up(2, 0);
    for _ in 0..6 {
        tx.advance(1000);
        tx.heartbeat(2);
    }
    let closed = |worker| sender::Event::Close {
        worker: viamillipede::proto::WorkerId(worker),
        reason: "nothing was heard from it",
    };
    let events = tx.events();
    assert!(events.contains(&closed(1)) && !events.contains(&closed(2)), "{events:?}");
}

#[test]
fn rule_08_heartbeats_go_both_ways_each_second_or_each_quarter_of_patience() {
    for (patience, heartbeat_ms) in
        [(None, 1000), (Some(PATIENCE), 1000), (Some(ms(2000)), 500), (Some(ms(400)), 100)]
    {
        let mut tx = Tx::with_patience(4, patience);
        tx.up(1, 0);
        tx.says();
        let mut rx = Rx::with_patience(4, patience);
        rx.up(1);
        rx.says();
        for _ in 0..3 {
            tx.advance(heartbeat_ms - 1);
            rx.advance(heartbeat_ms - 1);
            assert_eq!((tx.says().len(), rx.says().len()), (0, 0), "{patience:?}: too soon");
            tx.advance(1);
            rx.advance(1);
            assert!(matches!(tx.says()[..], [(1, Frame::Ping(_))]), "{patience:?}");
            assert!(matches!(rx.says()[..], [(1, Frame::Ack(_))]), "{patience:?}");
        }
    }
}

#[test]
fn rule_08_a_ping_is_answered_at_once_with_its_token() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.says();
    rx.ping(1, 0);
    rx.feet(1, [0]);
    let echoes: Vec<u32> = rx.acks().into_iter().map(|(_, ack)| ack.echo).collect();
    assert_eq!(echoes, [7, 0], "one ping, one answer");
}
