//! Second copies of feet that others wait for: rule 3.
//!
//! Does not look at feet that are sent for the first time: see `scheduling`.

use super::FOOT;
use super::tx::Tx;
use viamillipede::proto::frame::{Ack, Frame};

/// Worker 1 sits on foot 0; worker 2 has brought feet 1 and 2, and is bringing 3; foot 4 waits outside
/// the window of four.
fn blocked_by_foot_0() -> Tx {
    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..5);
    tx.written(2);
    tx.advance(20);
    tx.ack(2, [1, 2]);
    assert_eq!(tx.sends(), [(1, 0), (2, 1), (2, 2), (2, 3)]);
    tx.written(2);
    tx.advance(20);
    tx
}

#[test]
fn rule_03_a_second_copy_only_of_the_oldest_and_never_a_third() {
    let mut tx = Tx::new(4);
    tx.up(1, 0);
    tx.offer(0..2);
    tx.written(1);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 0), (1, 1)]);
    tx.up(2, 0);
    tx.offer(2..4);
    tx.written(2);
    assert_eq!(tx.sends(), [(2, 2), (2, 3)], "new feet first");
    tx.up(3, 0);
    tx.up(4, 0);
    tx.advance(30);
    assert_eq!(tx.sends(), [], "the window is not what blocks: there is no more to send");
    tx.offer(4..5);
    tx.advance(3000);
    let copies = tx.sends();
    assert!(matches!(copies[..], [(2..=4, 0)]), "one copy of the oldest, and no more: {copies:?}");
    tx.advance(500);
    assert_eq!(tx.sends(), [], "never a third");
    assert_eq!(tx.sender.counts().reinjected_feet, 1);
    tx.ack(copies[0].0, [0]);
    assert_eq!(tx.acked(), [0], "one ack settles both copies");
    let sends = tx.sends();
    assert!(sends.contains(&(sends[0].0, 4)) && sends.iter().all(|&(_, id)| id == 4));
}

/// The receiver reads past a copy that comes while another is being checked, and says nothing of it.
#[test]
fn rule_03_neither_copy_of_a_foot_that_failed_its_check_is_waited_for() {
    let mut tx = blocked_by_foot_0();
    tx.ack(2, [3]);
    tx.written(2);
    tx.advance(3000);
    assert_eq!(tx.sends(), [(2, 0)], "the second copy");
    tx.written(2);
    tx.frame(1, Frame::Nack { id: 0 });
    assert_eq!(tx.sends(), [(2, 0)], "once more, as if it had never been sent");
    assert_eq!(tx.sender.counts().nacked_feet, 1);
    tx.frame(1, Frame::Nack { id: 0 });
    assert_eq!(tx.sends(), [], "it has no copy any more");
    tx.written(2);
    tx.ack(2, [0]);
    assert_eq!(tx.acked(), [1, 2, 3, 0]);
}

#[test]
fn rule_03_no_second_copy_before_the_stream_s_end_while_nothing_waits() {
    let mut tx = Tx::new(8);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    tx.written(2);
    assert_eq!(tx.sends(), [(1, 0), (2, 1)]);
    tx.advance(20);
    tx.ack(2, [1]);
    tx.advance(3000);
    assert_eq!(tx.sends(), [], "a source that pauses is no hurry");
    tx.finish(2);
    assert_eq!(tx.sends(), [(2, 0)], "the stream's end waits for it");
}

#[test]
fn rule_03_no_second_copy_while_the_sink_is_what_blocks() {
    let mut tx = blocked_by_foot_0();
    tx.sink_blocked = true;
    tx.ack(2, [3]);
    tx.written(2);
    tx.advance(500);
    assert_eq!(tx.sends(), []);
    tx.sink_blocked = false;
    tx.heartbeat(2);
    assert_eq!(tx.sends(), [(2, 0)]);
}

#[test]
fn rule_03_a_second_copy_only_where_it_would_arrive_sooner() {
    let mut tx = Tx::new(16);
    tx.up(1, 0);
    tx.offer(0..1);
    tx.learn(1, 0, 20);
    tx.offer(1..2);
    assert_eq!(tx.sends(), [(1, 1)], "the first link is quick and free");
    tx.up(2, 0);
    tx.offer(2..3);
    assert_eq!(tx.sends(), [(1, 2)]);
    tx.offer(3..4);
    assert_eq!(tx.sends(), [(2, 3)], "one foot to learn from");
    tx.written(1);
    tx.written(1);
    tx.written(2);
    tx.advance(30);
    tx.ack(1, [1, 2]);
    tx.advance(1000);
    tx.ack(2, [3]);

    tx.offer(4..5);
    tx.finish(5);
    tx.written(1);
    assert_eq!(tx.sends(), [(1, 4)]);
    tx.advance(200);
    assert_eq!(tx.sends(), [], "the second would take a second: the first is sooner");
    tx.advance(3000);
    assert_eq!(tx.sends(), [(2, 4)], "what is late already is not trusted for ever");
}

#[test]
fn rule_03_no_second_copy_on_the_same_thin_link_when_it_pauses() {
    let mut tx = Tx::new(16);
    tx.up(1, 0);
    tx.up(2, 0);
    tx.offer(0..2);
    tx.finish(2);
    tx.written(1);
    tx.written(2);
    assert_eq!(tx.sends(), [(1, 0), (2, 1)]);
    let foot = u64::from(FOOT);
    // A second's worth each; the second worker is done after 20 of them.
    let brings = |tx: &mut Tx, worker, connection_bytes| {
        let ack = Ack { connection_bytes, received_bytes: connection_bytes, ..tx.state() };
        tx.frame(worker, Frame::Ack(ack));
    };
    for second in 1..20 {
        tx.advance(1_000);
        brings(&mut tx, 1, foot * second / 30);
        brings(&mut tx, 2, foot * second / 20);
    }
    tx.advance(1_000);
    tx.ack(2, [1]);
    for _ in 0..7 {
        tx.advance(1_000); // a packet was lost, and what follows it waits
        brings(&mut tx, 1, foot * 19 / 30);
    }
    assert_eq!(tx.sends(), [], "the other one is on the link that pauses");
    brings(&mut tx, 1, foot * 28 / 30);
    tx.advance(1_000);
    assert_eq!(tx.sends(), []);
}

#[test]
fn rule_03_the_copy_that_outlives_its_first_holder_may_get_a_second_one_again() {
    let mut tx = blocked_by_foot_0();
    tx.ack(2, [3]);
    assert_eq!(tx.sends(), [], "it is not idle yet");
    tx.written(2);
    tx.advance(200);
    assert_eq!(tx.sends(), [(2, 0)]);
    tx.down(1);
    assert_eq!(tx.sends(), [], "one copy is left");
    tx.up(3, 0);
    tx.advance(3000);
    assert_eq!(tx.sends(), [(3, 0)]);
}
