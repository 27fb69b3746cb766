//! Connections that are not needed any more: they end, and nothing is lost or sent again.

use super::pair::{Line, Pair};
use super::rx::Rx;
use super::tx::Tx;
use super::{FOOT, end, foot};
use std::time::Duration;
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::Frame;
use viamillipede::proto::receiver;
use viamillipede::proto::sender::{self, Input};

const RATE: u64 = 1_000_000;

fn retire(tx: &mut Tx, worker: u32) {
    tx.frame(worker, Frame::Retire);
}

#[test]
fn a_connection_that_is_not_needed_gets_no_more_feet_and_goes_when_nothing_is_on_it() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    assert_eq!(tx.sends(), [(1, 0), (2, 1)]);
    tx.says();
    retire(&mut tx, 2);
    tx.written(1);
    tx.written(2);
    tx.offer(2..8);
    let sends = tx.sends();
    assert!(!sends.is_empty() && sends.iter().all(|(worker, _)| *worker == 1), "{sends:?}");
    assert_eq!(tx.events(), []);

    tx.ack(2, [1]);
    let worker = WorkerId(2);
    let said = [sender::Event::Acked { id: 1 }, sender::Event::Retired { worker }];
    assert_eq!(tx.events(), said);
    assert_eq!(tx.says(), [(2, Frame::Retire)], "so that the receiver knows");
    // It is gone, whatever still comes.
    tx.heartbeat(2);
    tx.down(2);
    tx.advance(3_000);
    assert!(tx.says().iter().all(|(worker, _)| *worker == 1));
    assert_eq!(tx.sender.counts().resent_feet, 0);
}

#[test]
fn one_that_carries_nothing_goes_at_once() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.says();
    retire(&mut tx, 1);
    assert_eq!(tx.events(), [sender::Event::Retired { worker: WorkerId(1) }]);
    tx.offer(0..1);
    assert_eq!(tx.sends(), [(2, 0)]);
    // What is not up cannot go.
    tx.sender.handle(tx.now, Input::Retire { worker: WorkerId(9) });
    tx.sender.handle(tx.now, Input::Retire { worker: WorkerId(1) });
    assert_eq!(tx.sender.poll_event(), None);
}

#[test]
fn its_feet_go_elsewhere_if_it_is_lost_after_all() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    assert_eq!(tx.sends(), [(1, 0), (2, 1)]);
    retire(&mut tx, 2);
    tx.written(1);
    tx.down(2);
    assert_eq!(tx.sends(), [(1, 1)]);
    assert_eq!(tx.events(), []);
}

#[test]
fn a_foot_that_failed_its_check_is_not_waited_for() {
    let mut tx = Tx::new(64);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    tx.sends();
    retire(&mut tx, 2);
    tx.written(1);
    tx.frame(2, Frame::Nack { id: 1 });
    assert_eq!(tx.events(), [sender::Event::Retired { worker: WorkerId(2) }]);
    assert_eq!(tx.sends(), [(1, 1)], "it goes again, elsewhere");
}

#[test]
fn a_receiver_asks_the_sender_for_it() {
    let mut rx = Rx::new(8);
    rx.up(1);
    rx.says();
    rx.receiver.handle(rx.now, receiver::Input::Retire { worker: WorkerId(2) });
    rx.receiver.handle(rx.now, receiver::Input::Retire { worker: WorkerId(1) });
    assert_eq!(rx.receiver.poll_transmit(), Some((WorkerId(1), Frame::Retire)));
    assert_eq!(rx.receiver.poll_transmit(), None, "what is not up cannot go");
    assert_eq!(rx.events(), []);
    rx.frame(1, Frame::Retire);
    assert_eq!(rx.events(), [receiver::Event::Retired { worker: WorkerId(1) }]);
}

/// Connections come and go all the time, told by either end, and each foot is sent once.
#[test]
fn nothing_is_lost_or_sent_again() {
    let feet = 200;
    let mut pair = Pair::new(FOOT, 32);
    for worker in 0..4 {
        pair.up_on(0, worker, Line::Rate(RATE));
    }
    for id in 0..feet {
        pair.offer(foot(id));
    }
    let mut newest = 3;
    while pair.goes_on() {
        match newest % 2 {
            0 => pair.retire(newest - 3),
            _ => pair.retire_there(newest - 3),
        }
        newest += 1;
        pair.up_on(0, newest, Line::Rate(RATE));
        pair.advance(Duration::from_millis(130));
        if newest == 12 {
            pair.finish(end(feet));
        }
    }
    let sender_end = pair.sender_end.map(|(_, end)| end);
    assert!(matches!(sender_end, Some(sender::Event::Delivered(_))), "{sender_end:?}");
    assert_eq!(pair.closed, 0);
    assert!(pair.retired.len() >= 8, "{:?}", pair.retired);
    let counts = pair.sender.counts();
    assert_eq!((counts.resent_feet, counts.reinjected_feet), (0, 0));
    assert_eq!(pair.receiver.duplicate_feet(), 0);
}
