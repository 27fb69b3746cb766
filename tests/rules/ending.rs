//! How a stream ends: rule 7.
//!
//! Does not say when an end gives up on a stream under way: see `progress`.

use super::pair::{Line, Pair};
use super::rx::Rx;
use super::tx::Tx;
use super::{FOOT, PATIENCE, end, foot, ms};
use viamillipede::proto::frame::{Abort, Done, End, Frame};
use viamillipede::proto::sender::{Backlog, Input};
use viamillipede::proto::{Failure, LinkId, WorkerId, receiver, sender};

fn done(feet: u64) -> Done {
    Done { bytes: feet * u64::from(FOOT), digest: None }
}

fn dones(says: &[(u32, Frame)]) -> Vec<u32> {
    let is_done = |(_, frame): &&(u32, Frame)| matches!(frame, Frame::Done(_));
    says.iter().filter(is_done).map(|(worker, _)| *worker).collect()
}

/// A receiver whose sink has succeeded with two feet; worker 1 has been told.
fn delivered() -> Rx {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.feet(1, [0, 1]);
    rx.end(1, 2);
    rx.sink_takes(2);
    rx.sink_closes();
    rx.events();
    assert_eq!(dones(&rx.says()), [1]);
    rx
}

#[test]
fn rule_07_done_only_after_the_sink_has_succeeded() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.end(1, 2);
    rx.feet(1, [1, 0]);
    assert_eq!(rx.writes(), [0, 1]);
    rx.advance(1500);
    rx.sink_takes(1);
    assert_eq!(rx.events(), [], "one foot is not with the sink yet");
    rx.sink_takes(1);
    assert_eq!(rx.events(), [receiver::Event::CloseSink(end(2))]);
    rx.ping(1, 2);
    rx.advance(5 * PATIENCE.as_millis() as u64 / 4);
    let says = rx.says();
    assert_eq!(dones(&says), [0; 0], "the sink is still closing");
    assert!(matches!(&says.last(), Some((1, Frame::Ack(ack))) if ack.sink_blocked));

    rx.sink_closes();
    assert_eq!(rx.says(), [(1, Frame::Done(done(2)))]);
}

#[test]
fn rule_07_a_sink_that_succeeds_when_the_sender_has_given_up_is_told_to_it() {
    let mut rx = Rx::new(4);
    rx.up(1);
    rx.end(1, 1);
    rx.feet(1, [0]);
    rx.sink_takes(1);
    let abort = Abort { code: 4, reason: "interrupted".to_owned() };
    rx.frame(1, Frame::Abort(abort.clone()));
    assert!(rx.events().contains(&receiver::Event::Failed(Failure::Aborted(abort))));
    rx.says();
    rx.sink_closes();
    assert_eq!(rx.says(), [(1, Frame::Done(done(1)))]);
}

#[test]
fn rule_07_done_is_repeated_until_it_is_answered() {
    let mut rx = delivered();
    rx.advance(3000);
    assert_eq!(dones(&rx.says()), [1, 1, 1], "at every heartbeat");
    rx.down(1);
    rx.up(2);
    assert_eq!(rx.says(), [(2, Frame::Done(done(2)))], "to every rejoin, at once");
    rx.end(2, 2);
    rx.ping(2, 2);
    assert_eq!(dones(&rx.says()), [2]);
    rx.events();
    rx.frame(2, Frame::DoneAck);
    assert_eq!(rx.events(), [receiver::Event::Finished]);
    rx.advance(60_000);
    assert_eq!(rx.says(), [], "all is said");
}

#[test]
fn rule_07_a_receiver_that_has_delivered_succeeds_even_when_nobody_answers() {
    let mut rx = delivered();
    rx.down(1);
    rx.advance(PATIENCE.as_millis() as u64 - 1);
    assert_eq!(rx.events(), []);
    rx.advance(1);
    assert_eq!(rx.events(), [receiver::Event::Finished]);
}

#[test]
fn rule_07_nothing_undoes_a_delivery() {
    let abort = Frame::Abort(Abort { code: 4, reason: "interrupted".to_owned() });
    let mut rx = delivered();
    rx.frame(1, abort);
    assert_eq!(rx.events(), [receiver::Event::Finished]);

    let mut rx = delivered();
    rx.end(1, 3);
    rx.foot(1, foot(2));
    rx.feet(1, [0]);
    let undone = |event: &receiver::Event| {
        matches!(event, receiver::Event::Failed(_) | receiver::Event::Write(_))
    };
    assert!(!rx.events().iter().any(undone));
    rx.frame(1, Frame::DoneAck);
    assert!(rx.events().contains(&receiver::Event::Finished));
}

#[test]
fn rule_07_the_sender_says_the_end_until_it_is_done_and_answers_on_every_worker() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    tx.finish(2);
    tx.up(2, 0);
    let ends = |says: Vec<(u32, Frame)>| -> Vec<u32> {
        let is_end = |(_, frame): &(u32, Frame)| *frame == Frame::End(end(2));
        says.into_iter().filter(is_end).map(|(worker, _)| worker).collect()
    };
    assert_eq!(ends(tx.says()), [1, 2], "at once, and to whoever comes");
    tx.advance(1000);
    assert_eq!(ends(tx.says()), [1, 2], "and at every heartbeat");
    tx.ack(1, 0..2);
    assert_eq!(tx.acked(), [0, 1], "acked is not delivered");
    tx.frame(2, Frame::Done(done(2)));
    assert_eq!(tx.events(), [sender::Event::Delivered(done(2))]);
    assert_eq!(tx.says(), [(1, Frame::DoneAck), (2, Frame::DoneAck)]);
    tx.frame(1, Frame::Done(done(2)));
    assert_eq!(tx.events(), [], "once is enough");
}

#[test]
fn rule_07_all_is_sent_once_a_copy_of_each_foot_has_gone_out_whole() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.finish(2);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0), (1, 1)], "both are with a worker");
    let sent = |tx: &Tx| (tx.sender.backlog().sent_feet, tx.sender.has_sent_all());
    assert_eq!(sent(&tx), (1, false), "foot 1 has not left us");
    tx.down(1);
    tx.up(2, 0);
    tx.written(2);
    assert_eq!(tx.sends(), [(2, 0), (2, 1)]);
    assert_eq!(sent(&tx), (1, false), "foot 0 is out twice, and counts once");
    tx.written(2);
    assert_eq!(sent(&tx), (2, true));
    tx.ack(2, 0..2);
    tx.written(2);
    assert_eq!(sent(&tx), (2, true));
}

#[test]
fn rule_07_a_stream_of_which_a_part_never_went_out_is_lost_and_no_unknown_outcome() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.finish(1);
    assert_eq!(tx.sends(), [(1, 0)]);
    tx.down(1);
    tx.advance(PATIENCE.as_millis() as u64);
    assert_eq!(tx.events(), [sender::Event::Failed(Failure::PeerLost)]);
}

#[test]
fn rule_07_done_acks_the_feet_whose_acks_were_lost() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    tx.finish(2);
    tx.ack(1, [1]);
    assert_eq!(tx.acked(), [1]);
    assert_eq!(tx.sender.backlog().unacked_feet, 1, "foot 0, though it is below one that is");
    tx.down(1);
    assert_eq!(tx.sender.backlog().unsent_feet, 1, "foot 0 is to go again");
    // Who comes carries no feet before its first ack, and the receiver is done already.
    let up = Input::Up { worker: WorkerId(2), link: LinkId(0), rtt: ms(10) };
    tx.sender.handle(tx.now, up);
    tx.frame(2, Frame::Done(done(2)));
    let acked = sender::Event::Acked { id: 0 };
    assert_eq!(tx.events(), [acked, sender::Event::Delivered(done(2))]);
    let Backlog { sent_feet, unacked_feet, unsent_feet, unsent_bytes, .. } = tx.sender.backlog();
    assert_eq!(sent_feet, 2, "each counted once");
    let Backlog { written_bytes, cumulative, .. } = tx.sender.backlog();
    assert_eq!((unacked_feet, unsent_feet, unsent_bytes), (0, 0, 0), "nothing waits");
    assert_eq!((written_bytes, cumulative), (done(2).bytes, 2));
}

#[test]
fn rule_07_a_done_that_does_not_fit_is_not_believed() {
    let digest = |byte: u8| Some([byte; 32]);
    let finished = || {
        let mut tx = Tx::new(8);
        tx.up(1, 0);
        tx.offer(0..1);
        tx.written(1);
        tx.sender.finish(End { digest: digest(7), ..end(1) });
        tx.ack(1, [0]);
        tx.acked();
        tx
    };
    for wrong in [
        Done { digest: digest(7), ..done(2) },
        Done { digest: digest(8), ..done(1) },
        Done { digest: None, ..done(1) },
    ] {
        let mut tx = finished();
        tx.frame(1, Frame::Done(wrong));
        assert!(matches!(tx.events()[..], [sender::Event::Failed(Failure::Corrupt(_))]));
    }
    let mut tx = finished();
    let right = Done { digest: digest(7), ..done(1) };
    tx.frame(1, Frame::Done(right));
    assert_eq!(tx.events(), [sender::Event::Delivered(right)]);
}

#[test]
fn rule_07_a_done_before_all_was_sent_is_a_lie() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.frame(1, Frame::Done(done(0)));
    assert!(matches!(tx.events()[..], [sender::Event::Close { .. }]), "no end was said");
    tx.offer(0..2);
    tx.finish(2);
    assert_eq!(tx.sends(), [(1, 0)]);
    tx.frame(1, Frame::Done(done(2)));
    assert!(matches!(tx.events()[..], [sender::Event::Close { .. }]), "foot 1 is still here");
}

#[test]
fn rule_07_the_sender_learns_the_outcome_after_a_cut() {
    let mut pair = Pair::new(FOOT, 8);
    pair.up(1, Line::Rate(10_000_000));
    for id in 0..5 {
        pair.offer(foot(id));
    }
    pair.finish(end(5));
    pair.sink_works = false;
    pair.advance(PATIENCE);
    assert!(pair.goes_on(), "all is there, the sink sleeps");
    pair.line(1, Line::Dead);
    pair.sink_works = true;
    pair.advance(PATIENCE / 4);
    assert_eq!(pair.sunk, 5);
    assert!(pair.receiver.is_delivered() && pair.sender_end.is_none(), "only one end knows");
    pair.up(3, Line::Rate(10_000_000));
    pair.advance(PATIENCE / 20);
    assert!(matches!(pair.sender_end, Some((_, sender::Event::Delivered(_)))));
    assert!(matches!(pair.receiver_end, Some((_, receiver::Event::Finished))));
}

#[test]
fn rule_07_the_only_disagreement_is_an_outcome_unknown() {
    let mut pair = Pair::new(FOOT, 8);
    pair.up(1, Line::Rate(10_000_000));
    for id in 0..5 {
        pair.offer(foot(id));
    }
    pair.finish(end(5));
    pair.sink_works = false;
    pair.advance(PATIENCE / 10);
    pair.cut(1);
    pair.sink_works = true;
    pair.advance(PATIENCE * 2);
    assert_eq!(
        pair.sender_end.map(|(_, event)| event),
        Some(sender::Event::Failed(Failure::OutcomeUnknown))
    );
    assert_eq!(pair.receiver_end.map(|(_, event)| event), Some(receiver::Event::Finished));
}

#[test]
fn rule_07_a_stream_cut_before_its_end_fails_at_both_ends() {
    let mut pair = Pair::new(FOOT, 8);
    pair.up(1, Line::Rate(10_000_000));
    for id in 0..5 {
        pair.offer(foot(id));
    }
    pair.advance(PATIENCE / 10);
    pair.cut(1);
    pair.finish(end(5));
    pair.advance(PATIENCE * 2);
    assert!(matches!(pair.sender_end, Some((_, sender::Event::Failed(_)))));
    let lost = receiver::Event::Failed(Failure::PeerLost);
    assert_eq!(pair.receiver_end.map(|(_, event)| event), Some(lost));
}

#[test]
fn rule_07_an_empty_stream_is_a_stream() {
    let mut pair = Pair::new(FOOT, 8);
    pair.up(1, Line::Rate(10_000_000));
    pair.finish(end(0));
    pair.advance(PATIENCE / 20);
    assert!(matches!(pair.sender_end, Some((_, sender::Event::Delivered(_)))));
    assert!(matches!(pair.receiver_end, Some((_, receiver::Event::Finished))));
}
