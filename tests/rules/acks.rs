//! What acks say and what they do: rule 6.
//!
//! Does not look at acks as a sign of life: see `progress`.

use super::rx::Rx;
use super::tx::Tx;
use super::{FOOT, foot};
use viamillipede::foot::FootHeader;
use viamillipede::proto::Failure;
use viamillipede::proto::frame::{Ack, Frame, MAX_ACK_RANGES};
use viamillipede::proto::receiver::{self, MAX_CORRUPT};
use viamillipede::proto::sender;

#[test]
fn rule_06_an_ack_goes_back_where_the_foot_came_from() {
    let mut rx = Rx::new(16);
    rx.up(1);
    rx.up(2);
    rx.says();
    rx.feet(2, [0]);
    rx.feet(1, [2]);
    rx.feet(2, [3, 7]);
    let acks: Vec<(u32, u64, Vec<_>)> =
        rx.acks().into_iter().map(|(worker, ack)| (worker, ack.cumulative, ack.ranges)).collect();
    let expected =
        [(2, 1, vec![]), (1, 1, vec![2..3]), (2, 1, vec![2..4]), (2, 1, vec![2..4, 7..8])];
    assert_eq!(acks, expected);
}

#[test]
fn rule_06_every_heartbeat_tells_everything_on_every_worker() {
    let mut rx = Rx::new(16);
    rx.up(1);
    rx.up(2);
    rx.feet(1, [0, 2]);
    rx.sink_takes(1);
    rx.says();
    rx.advance(1000);
    let acks = rx.acks();
    assert_eq!(acks.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [1, 2]);
    for (_, ack) in acks {
        assert_eq!((ack.cumulative, ack.limit, ack.ranges), (1, 17, vec![2..3]));
        assert_eq!(ack.written_bytes, u64::from(FOOT));
    }
}

#[test]
fn rule_06_an_ack_has_room_for_so_many_ranges_and_keeps_the_lowest() {
    let mut rx = Rx::new(4096);
    rx.up(1);
    rx.feet(1, (0..2000).map(|n| 2 * n + 1));
    let (_, ack) = rx.acks().pop().expect("every foot is answered");
    assert_eq!(ack.ranges.len(), MAX_ACK_RANGES);
    assert_eq!(ack.ranges[0], 1..2);
}

#[test]
fn rule_06_an_opening_of_the_window_is_told_at_once_on_any_live_worker() {
    let mut rx = Rx::new(8);
    rx.up(1);
    rx.up(2);
    rx.feet(2, 0..8);
    rx.says();
    rx.sink_takes(1);
    let [(2, ack)] = &rx.acks()[..] else { panic!("no word of the window") };
    assert_eq!(ack.limit, 9);
    rx.down(2);
    rx.sink_takes(4);
    let (worker, ack) = rx.acks().pop().expect("the other worker is alive");
    assert_eq!((worker, ack.limit), (1, 13));
}

#[test]
fn rule_06_an_opening_of_a_window_that_nobody_waits_for_keeps_quiet() {
    let mut rx = Rx::new(64);
    rx.up(1);
    rx.feet(1, 0..4);
    rx.says();
    rx.sink_takes(4);
    assert!(rx.acks().len() <= 1, "at most that the sink has caught up");
}

#[test]
fn rule_06_acks_count_once_in_any_order_on_any_worker() {
    let mut tx = Tx::new(16);
    tx.up(1, 0);
    tx.up(2, 1);
    tx.offer(0..6);
    for _ in 0..5 {
        tx.written(1);
    }
    tx.sends();
    tx.advance(30);
    let mut states = Vec::new();
    let mut story = Tx::new(16);
    for id in [3, 1, 0, 4] {
        story.ack(9, [id]);
        states.push(story.state());
    }
    let mut tell = |worker: u32, state: usize| {
        tx.frame(worker, Frame::Ack(states[state].clone()));
        tx.acked()
    };
    assert_eq!(tell(2, 1), [1, 3]);
    assert!(tell(1, 0).is_empty(), "an older word");
    assert_eq!(tell(1, 3), [0, 4]);
    assert!(tell(1, 3).is_empty(), "the same word again");
    assert!(tell(2, 2).is_empty(), "an older word on another worker");
    assert_eq!(tx.sender.backlog().unacked_feet, 2, "2 and 5");
}

#[test]
fn rule_06_an_old_ack_takes_no_window_back() {
    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.offer(0..9);
    let old = tx.state();
    for _ in 0..3 {
        tx.written(1);
    }
    tx.ack(1, 0..4);
    tx.frame(1, Frame::Ack(old));
    tx.sends();
    tx.written(1);
    tx.written(1);
    assert!(tx.sends().contains(&(1, 6)), "the newer limit holds");
}

#[test]
fn rule_06_an_old_ack_says_nothing_of_the_sink() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    tx.sink_blocked = true;
    tx.ack(1, [0]);
    let old = Ack { sink_writing: true, ..tx.state() };
    tx.frame(1, Frame::Ack(old.clone()));
    assert!(tx.sender.backlog().sink_blocked && tx.sender.backlog().sink_writing);
    tx.sink_blocked = false;
    tx.ack(1, [1]);
    tx.frame(1, Frame::Ack(old));
    assert!(!tx.sender.backlog().sink_blocked && !tx.sender.backlog().sink_writing);
}

#[test]
fn rule_06_a_sink_that_has_caught_up_is_told_at_once() {
    let mut rx = Rx::new(16);
    rx.up(1);
    rx.feet(1, [0, 1]);
    let (_, ack) = rx.acks().pop().expect("every foot is answered");
    assert!(ack.sink_blocked && !ack.sink_writing, "it has feet, and has begun with none");
    rx.sink_writes(true);
    rx.ping(1, 2);
    let (_, ack) = rx.acks().pop().expect("every ping is answered");
    assert!(ack.sink_writing);
    rx.sink_writes(false);
    rx.sink_takes(2);
    let (_, ack) = rx.acks().pop().expect("or the sender would go on waiting for the sink");
    assert!(!ack.sink_blocked && !ack.sink_writing);
}

#[test]
fn rule_06_a_foot_acked_after_it_was_given_up_is_not_sent_again() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..3);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (1, 2)]);
    tx.down(1);
    tx.ack(2, [0]);
    tx.written(2);
    tx.written(2);
    assert_eq!(tx.sends(), [(2, 2)]);
    assert_eq!(tx.acked(), [0]);
}

#[test]
fn rule_06_duplicates_are_dropped_and_counted_and_another_check_is_fatal() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.feet(1, [0, 1, 3]);
    assert_eq!(rx.writes(), [0, 1]);
    rx.sink_takes(1);
    rx.says();
    rx.feet(1, [0, 1, 3]);
    let dropped = [0, 1, 3].map(|id| receiver::Event::Duplicate { id });
    assert_eq!(rx.events(), dropped);
    assert_eq!(rx.receiver.duplicate_feet(), 3);
    assert_eq!(rx.acks().len(), 3, "the sender waits for an answer to each");

    rx.foot(1, FootHeader { check: [99; 32], ..foot(3) });
    let [receiver::Event::Failed(Failure::Corrupt(_))] = rx.events()[..] else {
        panic!("two feet 3 are one too many")
    };
}

#[test]
fn a_foot_that_fails_its_check_is_sent_again_and_ends_the_stream_in_the_end() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.says();
    for _ in 1..MAX_CORRUPT {
        rx.corrupt(1, 2);
        assert_eq!(rx.says(), [(1, Frame::Nack { id: 2 })]);
    }
    rx.corrupt(1, 2);
    assert!(matches!(rx.events()[..], [receiver::Event::Failed(Failure::Corrupt(_))]));

    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0), (1, 1)]);
    tx.frame(1, Frame::Nack { id: 0 });
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0)]);
    assert_eq!(tx.sender.counts().nacked_feet, 1);
}

#[test]
fn a_bad_copy_of_a_foot_that_is_there_is_no_harm() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.feet(1, [0, 2]);
    rx.sink_takes(1);
    rx.says();
    rx.events();
    for _ in 0..MAX_CORRUPT {
        rx.corrupt(1, 0);
        rx.corrupt(1, 2);
    }
    assert_eq!(rx.events(), []);
    assert!(!rx.says().iter().any(|(_, frame)| matches!(frame, Frame::Nack { .. })));
}

#[test]
fn an_ack_of_a_foot_that_was_not_sent_yet_is_a_lie_even_below_the_highest() {
    for hole in [2, 3] {
        // Feet are packed in any order: 2 is still being packed, 3 is there.
        let mut tx = Tx::new(8);
        tx.up(1, 0);
        tx.offer(0..1);
        tx.offer(4..5);
        tx.offer(1..2);
        tx.written(1);
        tx.written(1);
        assert_eq!(tx.sends(), [(1, 0), (1, 1), (1, 4)]);
        tx.offer(3..4);
        tx.frame(
            1,
            Frame::Ack(Ack {
                cumulative: 0,
                limit: 8,
                ranges: vec![hole..hole + 1],
                ..Ack::default()
            }),
        );
        let events = tx.events();
        assert!(
            events.iter().any(|event| matches!(
                event,
                sender::Event::Close { .. } | sender::Event::Failed(Failure::Corrupt(_))
            )),
            "foot {hole}: {events:?}"
        );
        tx.offer(2..3);
        tx.written(1);
        tx.written(1);
    }
}
