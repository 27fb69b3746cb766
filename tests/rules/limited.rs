//! A rate that all connections share: what it holds back is neither slow nor dead, and nobody else's.
//!
//! Does not look at how the rate is shared: that is told beside `proto::bucket`.

use super::tx::Tx;
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::Frame;
use viamillipede::proto::sender::Event;

fn closed(worker: u32, reason: &'static str) -> Event {
    Event::Close { worker: WorkerId(worker), reason }
}

/// Seconds go by, in which foot after foot goes over worker 2, and worker 1 only answers.
fn carry_over_the_other(tx: &mut Tx, seconds: u64) {
    for _ in 0..seconds {
        tx.advance(1000);
        tx.heartbeat(1);
        let ids: Vec<u64> =
            tx.sends().into_iter().filter(|(worker, _)| *worker == 2).map(|(_, id)| id).collect();
        for _ in &ids {
            tx.written(2);
        }
        tx.ack(2, ids);
    }
}

/// Worker 1 has a foot that does not move, worker 2 carries on.
fn starving() -> Tx {
    let mut tx = Tx::new(200);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.up(2, 0);
    tx.offer(1..150);
    tx
}

#[test]
fn rule_08_a_connection_that_waits_for_its_turn_does_not_stand_still() {
    let mut tx = starving();
    tx.held(1, true);
    carry_over_the_other(&mut tx, 60);
    let events = tx.events();
    assert!(events.iter().all(|event| matches!(event, Event::Acked { .. })), "{events:?}");

    tx.held(1, false);
    carry_over_the_other(&mut tx, 59);
    assert!(!tx.events().contains(&closed(1, "it stands still")), "it had no chance yet");
    carry_over_the_other(&mut tx, 3);
    assert!(tx.events().contains(&closed(1, "it stands still")), "its own way does not move");
}

#[test]
fn rule_08_a_connection_that_is_held_and_silent_is_dead_all_the_same() {
    let mut tx = starving();
    tx.held(1, true);
    tx.says();
    for _ in 0..6 {
        tx.advance(1000);
        tx.heartbeat(2);
    }
    assert!(tx.events().contains(&closed(1, "nothing was heard from it")));
}

/// A ping that waits behind a foot under the limit is answered minutes later: that is no round trip, and
/// must not make the sender patient with a connection that dies.
#[test]
fn rule_08_what_waited_for_its_turn_is_no_round_trip() {
    let mut tx = starving();
    let pings = tx.says();
    let Some((1, Frame::Ping(ping))) = pings.first() else { panic!("{pings:?}") };
    tx.held(1, true);
    carry_over_the_other(&mut tx, 60);
    tx.frame(1, Frame::Ack(viamillipede::proto::frame::Ack { echo: ping.token, ..tx.state() }));
    carry_over_the_other(&mut tx, 12);
    for _ in 0..6 {
        tx.advance(1000);
        tx.heartbeat(2);
    }
    assert!(tx.events().contains(&closed(1, "nothing was heard from it")));
}

#[test]
fn rule_05_later_links_do_not_carry_what_a_rate_holds_back_on_the_first() {
    for is_held in [true, false] {
        let mut tx = Tx::new(64);
        tx.up(1, 0);
        tx.offer(0..1);
        tx.learn(1, 0, 20);
        tx.up(2, 1);
        tx.held(1, is_held);
        tx.offer(1..40);
        tx.advance(300);
        tx.heartbeat(1);
        let on_second = tx.sends().iter().filter(|(worker, _)| *worker == 2).count();
        assert_eq!(on_second > 0, !is_held, "held: {is_held}: {on_second} feet");
    }
}

#[test]
fn rule_05_a_link_that_helped_stops_when_a_rate_is_all_that_holds_the_first() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.learn(1, 0, 20);
    tx.up(2, 1);
    tx.offer(1..40);
    tx.advance(300);
    assert!(tx.sends().iter().any(|(worker, _)| *worker == 2), "the first cannot take all");
    tx.held(1, true);
    for _ in 0..4 {
        tx.written(2);
    }
    assert_eq!(tx.sends(), [], "the rate is the same on either");
    tx.written(1);
    tx.written(1);
    assert!(matches!(tx.sends()[..], [(1, _)]), "the first goes on");
}

#[test]
fn rule_03_no_second_copy_of_what_waits_for_its_turn() {
    for is_held in [true, false] {
        let mut tx = Tx::new(8);
        tx.up(1, 0);
        tx.offer(0..1);
        tx.up(2, 0);
        tx.offer(1..2);
        tx.written(2);
        tx.advance(20);
        tx.ack(2, [1]);
        tx.held(1, is_held);
        tx.finish(2);
        tx.sends();
        for _ in 0..8 {
            tx.advance(1000);
            tx.heartbeat(1);
            tx.heartbeat(2);
        }
        assert_eq!(tx.sends().is_empty(), is_held, "held: {is_held}");
    }
}
