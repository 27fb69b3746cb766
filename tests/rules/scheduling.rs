//! Which foot goes where: rules 1, 2, 4 and 5.
//!
//! Does not look at second copies (see `reinjection`), nor at acks for their own sake (see `acks`).

use super::rx::Rx;
use super::tx::Tx;
use viamillipede::proto::receiver;

#[test]
fn rule_01_feet_only_inside_the_window_and_the_lowest_missing_always_inside() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.feet(1, [3, 2, 1]);
    assert_eq!(rx.events(), [], "all but the lowest are there");
    rx.feet(1, [0]);
    assert_eq!(rx.writes(), [0, 1, 2, 3], "the lowest missing one found its place");

    rx.feet(1, [4]);
    let [receiver::Event::Close { reason, .. }] = &rx.events()[..] else { panic!("no close") };
    assert_eq!(*reason, "it sent a foot outside the window");
    rx.sink_takes(1);
    rx.feet(1, [4]);
    assert_eq!(rx.writes(), [4], "the sink has made room for one");
    rx.feet(1, [5]);
    assert!(matches!(rx.events()[..], [receiver::Event::Close { .. }]), "and for one only");
}

#[test]
fn rule_01_the_sender_keeps_to_the_window_however_many_workers_ask() {
    let mut tx = Tx::new(3);
    tx.offer(0..8);
    for worker in 1..=6 {
        tx.up(worker, 0);
    }
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (3, 2)]);
    tx.ack(1, [1]);
    assert_eq!(tx.sends(), [], "a hole below: the window stands");
    tx.ack(1, [0]);
    let ids: Vec<u64> = tx.sends().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [3, 4]);
}

#[test]
fn rule_02_lost_feet_go_before_new_ones_and_the_lowest_first() {
    let mut tx = Tx::new(16);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..6);
    tx.written(1);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (1, 2), (1, 3)]);
    tx.down(1);
    assert_eq!(tx.sends(), [], "the other has not asked yet");
    for _ in 0..5 {
        tx.written(2);
    }
    assert_eq!(tx.sends(), [(2, 0), (2, 2), (2, 3), (2, 4), (2, 5)]);
    assert_eq!(tx.sender.counts().resent_feet, 3);
}

#[test]
fn rule_04_a_worker_asks_by_what_the_kernel_takes() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.offer(0..64);
    tx.advance(5);
    assert_eq!(tx.sends(), [(1, 0)], "nothing is known: one foot at a time");
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 1)]);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 2)]);
    tx.advance(20);
    tx.ack(1, 0..2);
    assert_eq!(tx.sends(), [(1, 3)], "it is quick: one more, to bridge the hand-over");
    tx.advance(500);
    assert_eq!(tx.sends(), [], "what the kernel does not take stays here");
}

#[test]
fn rule_04_no_worker_takes_more_than_half_the_window_while_another_could_use_the_rest() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..20);
    for _ in 0..10 {
        tx.written(1);
    }
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (1, 2), (1, 3), (1, 4)]);
    tx.down(2);
    for _ in 0..10 {
        tx.written(1);
    }
    assert_eq!(tx.sends(), [(1, 1), (1, 5), (1, 6), (1, 7)], "alone it may have it all");
}

#[test]
fn rule_05_links_fill_in_the_order_they_were_named() {
    let mut tx = Tx::new(64);
    tx.up(1, 2);
    tx.up(2, 1);
    tx.up(3, 0);
    tx.offer(0..1);
    tx.written(3);
    tx.offer(1..2);
    assert_eq!(tx.sends(), [(3, 0), (3, 1)], "the first link asks, the others wait");
    tx.offer(2..12);
    assert_eq!(tx.sends(), [(2, 2), (1, 3)], "many wait for it: the second, then the third");
}

#[test]
fn rule_05_later_links_stand_by_while_the_first_keeps_up_with_bursts() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 1);
    tx.offer(0..1);
    tx.learn(1, 0, 20);
    for burst in 0..20 {
        let first = 1 + 4 * burst;
        tx.offer(first..first + 4);
        for id in first..first + 4 {
            tx.advance(20);
            tx.written(1);
            tx.ack(1, [id]);
        }
        assert!(tx.sends().iter().all(|(worker, _)| *worker == 1), "burst {burst}");
        tx.advance(100);
    }
}

#[test]
fn rule_05_later_links_help_when_feet_wait_too_long_for_the_first_and_until_it_runs_dry() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 1);
    tx.offer(0..1);
    tx.learn(1, 0, 20);
    tx.offer(1..5);
    assert_eq!(tx.sends(), [(1, 1), (1, 2)]);
    tx.advance(250);
    assert_eq!(tx.sends(), [], "the first is expected to take four feet in 80 ms");
    tx.advance(50);
    assert_eq!(tx.sends(), [(2, 3)], "it does not");
    tx.advance(20);
    tx.written(2);
    tx.ack(2, [3]);
    assert_eq!(tx.sends(), [(2, 4)], "the second goes on at once");
    for _ in 0..2 {
        tx.written(1);
    }
    tx.ack(1, [1, 2]);
    tx.offer(5..6);
    tx.written(1);
    tx.offer(6..10);
    assert!(tx.sends().iter().all(|(worker, _)| *worker == 1), "the first had run dry");
}

/// Worker 1 is quick; worker 2 takes two seconds for a foot.
/// Feet 0 and 1 are there.
fn quick_and_slow(window_feet: u64) -> Tx {
    let mut tx = Tx::new(window_feet);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    assert_eq!(tx.sends(), [(1, 0), (2, 1)]);
    tx.written(1);
    tx.written(2);
    tx.advance(14);
    tx.ack(1, [0]);
    tx.advance(2000);
    tx.ack(2, [1]);
    tx.acked();
    tx
}

#[test]
fn rule_05_a_slow_link_is_passed_over_when_its_foot_would_come_too_late() {
    let mut tx = quick_and_slow(32);
    tx.offer(2..20);
    assert_eq!(tx.sends(), [(1, 2), (1, 3)], "the slow one would hold up a window's worth");
    assert!(!tx.sender.backlog().window_short, "nearly all of it is free");
    tx.down(1);
    tx.written(2);
    assert_eq!(tx.sends()[0], (2, 2), "it is all there is");
}

#[test]
fn rule_05_a_window_is_short_where_it_is_nearly_full_and_only_slow_ones_ask() {
    let mut tx = Tx::new(8);
    for worker in 1..=3 {
        tx.up(worker, 0);
    }
    tx.offer(0..3);
    for worker in 1..=3 {
        tx.written(worker);
    }
    tx.advance(14);
    tx.ack(1, [0]);
    tx.ack(2, [1]);
    tx.advance(2000);
    tx.ack(3, [2]);
    tx.sends();
    tx.offer(3..30);
    assert_eq!(tx.sends(), [(1, 3), (1, 4), (2, 5), (2, 6)]);
    assert!(!tx.sender.backlog().window_short, "a half of it is left, for the quick ones");
    tx.written(1);
    tx.written(2);
    assert_eq!(tx.sends(), [(1, 7), (2, 8)]);
    assert!(tx.sender.backlog().window_short && !tx.sender.backlog().window_blocked);
}

#[test]
fn rule_05_a_slow_link_is_used_as_soon_as_the_quick_one_is_overdue() {
    let mut tx = quick_and_slow(32);
    tx.offer(2..20);
    assert_eq!(tx.sends(), [(1, 2), (1, 3)]);
    tx.advance(200);
    assert_eq!(tx.sends(), [(2, 4)], "whatever it was like before");
}

#[test]
fn rule_05_a_slow_link_is_used_when_the_window_is_wide_enough_to_wait_for_it() {
    let mut tx = quick_and_slow(4096);
    tx.offer(2..20);
    assert_eq!(tx.sends(), [(1, 2), (1, 3), (2, 4)]);
}

#[test]
fn rule_05_a_cold_link_gets_one_foot_to_learn_from() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.learn(1, 0, 10);
    tx.up(2, 1);
    tx.offer(1..20);
    assert_eq!(tx.sends(), [(1, 1), (1, 2), (2, 3)]);
    tx.written(2);
    assert_eq!(tx.sends(), [], "not a second one before the first is there");
    tx.advance(20);
    tx.ack(2, [3]);
    assert_eq!(tx.sends()[0], (2, 4));
}

#[test]
fn rule_05_a_cold_link_gets_one_foot_to_learn_from_however_many_workers_it_has() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.learn(1, 0, 10);
    for worker in 2..=5 {
        tx.up(worker, 1);
    }
    tx.offer(1..20);
    assert_eq!(tx.sends(), [(1, 1), (1, 2), (2, 3)], "workers 3 to 5 share the link with 2");
    tx.advance(20);
    tx.ack(2, [3]);
    assert_eq!(tx.sends()[..2], [(2, 4), (3, 5)]);
}

#[test]
fn rule_05_a_second_copy_says_nothing_of_how_fast_the_first_holder_is() {
    let mut tx = quick_and_slow(4096);
    tx.offer(2..5);
    assert_eq!(tx.sends(), [(1, 2), (1, 3), (2, 4)]);
    for worker in [1, 1, 2] {
        tx.written(worker);
    }
    tx.advance(30);
    tx.ack(1, [2, 3]);
    tx.finish(60);
    assert_eq!(tx.sends(), [(1, 4)], "the second takes its two seconds");
    tx.written(1);
    tx.advance(20);
    tx.ack(1, [4]);

    tx.offer(5..60);
    for _ in 0..6 {
        tx.written(1);
    }
    assert!(tx.sends().iter().all(|(worker, _)| *worker == 1), "the second is as slow as it was");
}

#[test]
fn rule_05_a_link_that_was_slow_is_asked_again_once_in_a_while() {
    let mut tx = quick_and_slow(32);
    tx.offer(2..32);
    tx.sends();
    for _ in 0..12 {
        tx.advance(1000);
        tx.heartbeat(1);
        tx.heartbeat(2);
    }
    tx.written(1);
    let probes = tx.sends().iter().filter(|(worker, _)| *worker == 2).count();
    assert_eq!(probes, 1, "one foot, to see whether it has recovered");
}

#[test]
fn rule_05_equal_slow_workers_do_not_all_wait_for_one_another() {
    let mut tx = Tx::new(64);
    for worker in 1..=4 {
        tx.up(worker, 0);
    }
    tx.offer(0..4);
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (3, 2), (4, 3)]);
    for worker in 1..=4 {
        tx.written(worker);
    }
    tx.advance(2000);
    for worker in 1..=4 {
        tx.ack(worker, [u64::from(worker) - 1]);
    }
    tx.finish(5);
    tx.offer(4..5);
    assert_eq!(tx.sends().len(), 1, "somebody must take the last foot");
}

#[test]
fn rule_05_far_workers_do_not_all_wait_for_one_another() {
    let mut tx = Tx::new(8);
    tx.up_far(1, 0, 400);
    tx.up_far(2, 0, 400);
    tx.offer(0..2);
    tx.written(1);
    tx.written(2);
    tx.advance(410);
    tx.ack(1, [0]);
    tx.ack(2, [1]);
    tx.sends();
    tx.offer(2..3);
    assert_eq!(tx.sends().len(), 1);
}
