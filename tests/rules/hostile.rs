//! What an end does with a peer that holds the key and lies: it closes or fails, and stays standing.
//!
//! Overflow checks are on in tests, so arithmetic on a peer's numbers would panic here.

use super::rx::Rx;
use super::tx::Tx;
use super::{FOOT, end, foot};
use viamillipede::foot::FootHeader;
use viamillipede::proto::Failure;
use viamillipede::proto::frame::{Abort, Ack, Done, End, Frame, Ping};
use viamillipede::proto::{receiver, sender};

/// Numbers that arithmetic trips over.
const NUMBERS: [u64; 8] = [0, 1, 2, 7, 1 << 32, i64::MAX as u64, u64::MAX - 1, u64::MAX];

/// A sender in the midst of things: two workers with rates, feet in flight, feet waiting.
fn busy_tx() -> Tx {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.up(2, 1);
    tx.offer(0..2);
    tx.written(1);
    tx.written(2);
    tx.advance(30);
    tx.ack(1, [0]);
    tx.ack(2, [1]);
    tx.offer(2..20);
    tx.events();
    tx
}

/// It must go on working, or have said that it does not.
fn shake_tx(mut tx: Tx, what: &Frame) {
    for id in 20..30 {
        tx.offer(id..id + 1);
        for worker in [1, 2] {
            tx.written(worker);
        }
        tx.advance(300);
    }
    tx.down(1);
    tx.up(3, 0);
    tx.finish(30);
    tx.advance(60_000);
    assert!(tx.over, "{what:?} keeps it going for ever");
}

#[test]
fn no_number_in_an_ack_upsets_the_sender() {
    let mut frames = Vec::new();
    for a in NUMBERS {
        for b in NUMBERS {
            for c in NUMBERS {
                let ranges = vec![b..c, c..a];
                frames.push(Ack { cumulative: a, limit: b, ranges: Vec::new(), ..Ack::default() });
                frames.push(Ack { cumulative: a, limit: b, ranges, ..Ack::default() });
                frames.push(Ack { cumulative: 2, limit: c, received_bytes: a, ..Ack::default() });
                frames.push(Ack {
                    cumulative: 2,
                    limit: 10,
                    connection_bytes: a,
                    written_bytes: b,
                    echo: c as u32,
                    ..Ack::default()
                });
            }
        }
    }
    for ack in frames {
        let frame = Frame::Ack(ack);
        let mut tx = busy_tx();
        tx.frame(1, frame.clone());
        shake_tx(tx, &frame);
    }
}

#[test]
fn no_other_frame_upsets_the_sender() {
    let mut frames = vec![Frame::DoneAck, Frame::Foot(foot(1))];
    for a in NUMBERS {
        frames.push(Frame::Nack { id: a });
        frames.push(Frame::Done(Done { bytes: a, digest: None }));
        frames.push(Frame::End(End { feet: a, bytes: a, digest: None }));
        frames.push(Frame::Ping(Ping { token: a as u32, sent_feet: a, window_blocked: true }));
    }
    for frame in frames {
        let mut tx = busy_tx();
        tx.frame(2, frame.clone());
        let harmless = matches!(frame, Frame::Nack { id: 0..=7 });
        assert!(harmless || !tx.events().is_empty(), "{frame:?} is taken without a word");
        shake_tx(tx, &frame);
    }
}

#[test]
fn acks_of_what_was_never_sent_close_the_connection_and_change_nothing() {
    for ack in [
        Ack { cumulative: 19, limit: 30, ..Ack::default() },
        Ack { cumulative: 2, limit: 30, ranges: vec![3..4, 18..19], ..Ack::default() },
        Ack { cumulative: u64::MAX, limit: u64::MAX, ranges: vec![2..3], ..Ack::default() },
        Ack { cumulative: 2, limit: 1, ..Ack::default() },
        Ack { cumulative: 2, limit: 30, written_bytes: 20 * u64::from(FOOT) + 1, ..Ack::default() },
    ] {
        let mut tx = busy_tx();
        let before = tx.sender.backlog();
        tx.sends();
        tx.frame(1, Frame::Ack(ack.clone()));
        let events = tx.events();
        assert!(matches!(events[..], [sender::Event::Close { .. }]), "{ack:?}: {events:?}");
        assert_eq!(tx.sender.backlog(), before);
        assert_eq!(tx.sends(), []);
    }
}

#[test]
fn a_receiver_that_refuses_a_foot_for_ever_is_not_sent_it_for_ever() {
    let mut tx = busy_tx();
    let mut sent = 0;
    while tx.events().is_empty() {
        let (worker, id) = tx.sends().pop().expect("what is refused is sent again");
        tx.written(worker);
        tx.frame(worker, Frame::Nack { id });
        sent += 1;
        assert!(sent < 100, "for ever");
    }
}

#[test]
fn a_receiver_that_has_all_feet_but_the_first_makes_the_sender_remember_only_so_many() {
    const ONCE: u64 = 512;
    let mut tx = Tx::new(ONCE);
    tx.up(1, 0);
    let mut sent = 0;
    for begin in (0..2 << 17).step_by(ONCE as usize) {
        tx.offer(begin..begin + ONCE);
        for _ in 0..ONCE {
            sent += tx.sends().len() as u64;
            tx.written(1);
        }
        if sent < begin {
            break;
        }
        let ranges = vec![1..sent];
        tx.frame(1, Frame::Ack(Ack { limit: u64::MAX, ranges, ..Ack::default() }));
    }
    assert_eq!(sent, 1 << 17);
}

#[test]
fn an_abort_ends_the_sender_with_its_reason() {
    let mut tx = busy_tx();
    let abort = Abort { code: 255, reason: "\u{0}\u{7}".to_owned() };
    tx.frame(1, Frame::Abort(abort.clone()));
    assert_eq!(tx.events(), [sender::Event::Failed(Failure::Aborted(abort))]);
}

/// A receiver in the midst of things: feet 0 and 1 with the sink, foot 3 waiting for foot 2.
fn busy_rx() -> Rx {
    let mut rx = Rx::new(8);
    rx.up(1);
    rx.up(2);
    rx.feet(1, [0, 1, 3]);
    rx.sink_takes(1);
    rx.events();
    rx.says();
    rx
}

fn shake_rx(mut rx: Rx, what: &str) {
    rx.feet(2, [2, 4, 1]);
    rx.advance(500);
    rx.ping(2, 5);
    rx.sink_takes(1);
    rx.down(1);
    rx.up(3);
    rx.advance(60_000);
    assert!(rx.over, "{what} keeps it going for ever");
}

#[test]
fn no_frame_upsets_the_receiver() {
    let mut frames = vec![Frame::DoneAck, Frame::Ack(Ack::default()), Frame::Foot(foot(2))];
    for a in NUMBERS {
        frames.push(Frame::Nack { id: a });
        frames.push(Frame::Done(Done { bytes: a, digest: None }));
        frames.push(Frame::Ping(Ping { token: a as u32, sent_feet: a, window_blocked: true }));
        frames.extend(NUMBERS.map(|b| Frame::End(End { feet: a, bytes: b, digest: None })));
    }
    for frame in frames {
        let mut rx = busy_rx();
        rx.frame(2, frame.clone());
        let harmless = match &frame {
            Frame::Ping(_) => true,
            Frame::End(end) => end.feet >= 4,
            _ => false,
        };
        assert!(harmless || !rx.events().is_empty(), "{frame:?} is taken without a word");
        shake_rx(rx, &format!("{frame:?}"));
    }
}

#[test]
fn no_foot_upsets_the_receiver() {
    for id in NUMBERS {
        for offset in NUMBERS {
            let mut rx = busy_rx();
            rx.foot(2, FootHeader { id, offset, ..foot(0) });
            rx.corrupt(2, id);
            shake_rx(rx, &format!("foot {id} at {offset}"));
        }
    }
}

#[test]
fn a_foot_with_a_lying_offset_fails_the_stream_before_it_reaches_the_sink() {
    let mut rx = busy_rx();
    rx.foot(1, FootHeader { offset: foot(7).offset, ..foot(2) });
    assert!(matches!(rx.events()[..], [receiver::Event::Failed(Failure::Corrupt(_))]));
}

#[test]
fn an_end_below_what_was_seen_closes_the_connection() {
    let mut rx = busy_rx();
    rx.end(1, 3);
    assert!(matches!(rx.events()[..], [receiver::Event::Close { .. }]));
    rx.end(2, 4);
    assert_eq!(rx.events(), [], "the lie has left nothing behind");
}

#[test]
fn two_different_ends_fail_the_stream() {
    let mut rx = busy_rx();
    rx.end(1, 9);
    rx.end(2, 9);
    assert_eq!(rx.events(), []);
    rx.end(2, 8);
    assert!(matches!(rx.events()[..], [receiver::Event::Failed(Failure::Corrupt(_))]));
}

#[test]
fn an_end_that_counts_other_bytes_fails_the_stream() {
    let mut rx = busy_rx();
    rx.frame(1, Frame::End(End { bytes: 1, ..end(4) }));
    rx.feet(1, [2]);
    rx.sink_takes(3);
    let events = rx.events();
    assert!(matches!(events.last(), Some(receiver::Event::Failed(Failure::Corrupt(_)))));
}

#[test]
fn a_foot_beyond_the_end_never_reaches_the_sink() {
    let mut rx = busy_rx();
    rx.end(1, 4);
    rx.feet(1, [2]);
    rx.sink_takes(3);
    rx.events();
    rx.feet(2, [4]);
    assert!(matches!(rx.events()[..], [receiver::Event::Close { .. }]), "the sink is closing");
    rx.sink_closes();
    assert!(rx.receiver.is_delivered());
}

#[test]
fn an_end_that_was_never_said_cannot_be_acknowledged() {
    let mut rx = busy_rx();
    rx.frame(1, Frame::DoneAck);
    assert!(matches!(rx.events()[..], [receiver::Event::Close { .. }]));
}
