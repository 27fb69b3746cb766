//! What the figures come to.

use super::*;
use crate::net::TcpInfo;

#[test]
fn a_sender_sees_what_holds_it_up() {
    let stats = Stats::new(Role::Sender, 2);
    assert_eq!(stats.bottleneck(), Bottleneck::Network);
    stats.waiting_for_source.set(true);
    assert_eq!(stats.bottleneck(), Bottleneck::Source);
    stats.unsent_feet.set(1);
    assert_eq!(stats.bottleneck(), Bottleneck::Network);
    stats.sink_blocked.set(true);
    assert_eq!(stats.bottleneck(), Bottleneck::Network, "it has feet, and is quick");
    stats.window_blocked.set(true);
    assert_eq!(stats.bottleneck(), Bottleneck::Sink, "the window is full of what it has");
    stats.sink_blocked.set(false);
    assert_eq!(stats.bottleneck(), Bottleneck::Window);
    stats.held_workers.set(1);
    assert_eq!(stats.bottleneck(), Bottleneck::Rate);
    stats.packing_feet.set(2);
    assert_eq!(stats.bottleneck(), Bottleneck::Rate, "each is with a thread");
    stats.packing_feet.set(3);
    assert_eq!(stats.bottleneck(), Bottleneck::Compression);
    stats.unsent_feet.set(3);
    assert_eq!(stats.bottleneck(), Bottleneck::Rate, "packing is ahead");
    stats.sink_writing.set(true);
    assert_eq!(stats.bottleneck(), Bottleneck::Sink);
}

#[test]
fn a_sender_whose_feet_are_all_on_their_way_needs_a_larger_window() {
    let stats = Stats::new(Role::Sender, 2);
    stats.window_feet.set(100);
    stats.unacked_feet.set(97);
    assert_eq!(stats.bottleneck(), Bottleneck::Network);
    stats.unacked_feet.set(98);
    assert_eq!(stats.bottleneck(), Bottleneck::Window);
    stats.unsent_feet.set(1);
    assert_eq!(stats.bottleneck(), Bottleneck::Network, "one could go, and does not");
}

#[test]
fn a_link_keeps_what_its_connections_have_done() {
    let stats = Stats::new(Role::Sender, 1);
    let info = |milliseconds, retransmits| TcpInfo {
        rtt: Duration::from_millis(milliseconds),
        window_bytes: 1000,
        retransmits,
        busy: Duration::from_secs(1),
        ..TcpInfo::default()
    };
    for (worker, told) in [(1, Some(info(30, 5))), (2, Some(info(20, 1))), (3, None)] {
        stats.join(WorkerId(worker), LinkId(0), "192.0.2.1:5000".into()).set_tcp(told);
    }
    let both = TcpInfo { window_bytes: 2000, busy: Duration::from_secs(2), ..info(20, 6) };
    assert_eq!(stats.links()[&LinkId(0)].tcp, both);
    stats.leave(WorkerId(2));
    let left = TcpInfo { busy: Duration::from_secs(2), ..info(30, 6) };
    assert_eq!(stats.links()[&LinkId(0)].tcp, left);
}

#[test]
fn a_link_knows_when_it_last_lost_a_connection() {
    let stats = Stats::new(Role::Receiver, 1);
    stats.join(WorkerId(1), LinkId(0), "192.0.2.1:5000".into());
    stats.join(WorkerId(2), LinkId(1), "192.0.2.2:5000".into());
    stats.leave(WorkerId(1));
    assert_eq!(
        stats.links()[&LinkId(0)].lost,
        None,
        "one that was not needed any more is not lost"
    );
    let before = Instant::now();
    stats.lose(LinkId(0));
    let links = stats.links();
    assert!(links[&LinkId(0)].lost.is_some_and(|lost| lost >= before));
    assert_eq!((links[&LinkId(1)].lost, stats.lost_connections.now()), (None, 1));
}

#[test]
fn a_receiver_sees_what_holds_it_up() {
    let stats = Stats::new(Role::Receiver, 2);
    assert_eq!(stats.bottleneck(), Bottleneck::NetworkOrSender);
    stats.unpacking_feet.add(2);
    assert_eq!(stats.bottleneck(), Bottleneck::Decompression);
    stats.sink_blocked.set(true);
    assert_ne!(stats.bottleneck(), Bottleneck::Sink, "it has feet, and is quick");
    stats.sink_writing.set(true);
    assert_eq!(stats.bottleneck(), Bottleneck::Sink);
}

#[test]
fn a_sender_waits_for_connections_only_where_nothing_else_holds_it_up() {
    let stats = Stats::new(Role::Sender, 2);
    assert!(!stats.waits_for_connections(), "there is nothing to send");
    stats.unsent_feet.set(1);
    assert!(stats.waits_for_connections());
    stats.window_blocked.set(true);
    assert!(!stats.waits_for_connections(), "the window, or a slow sink behind it");
    stats.window_blocked.set(false);
    stats.window_short.set(true);
    assert!(stats.waits_for_connections(), "more of the quick ones would help");
    stats.sink_blocked.set(true);
    assert!(!stats.waits_for_connections());
}

#[test]
fn a_receiver_waits_for_connections_while_it_could_take_more() {
    let stats = Stats::new(Role::Receiver, 2);
    assert!(stats.waits_for_connections());
    stats.unpacking_feet.add(2);
    assert!(!stats.waits_for_connections());
    stats.unpacking_feet.subtract(1);
    stats.sink_blocked.set(true);
    assert!(!stats.waits_for_connections());
}

#[test]
fn workers_come_and_go() {
    let stats = Stats::new(Role::Sender, 1);
    let row = stats.join(WorkerId(7), LinkId(0), "192.0.2.1:5000".into());
    assert_eq!(row.state(), WorkerState::Joining);
    row.bytes.add(5);
    row.set_state(WorkerState::Stalled);
    let (worker, seen) = stats.workers().remove(0);
    assert_eq!((worker, seen.bytes.now(), seen.state()), (WorkerId(7), 5, WorkerState::Stalled));
    assert_eq!((stats.links()[&LinkId(0)].bytes, stats.links()[&LinkId(0)].live), (5, 1));
    stats.leave(WorkerId(7));
    assert_eq!((stats.live_workers(), row.bytes.now()), (0, 5));
    assert_eq!((stats.links()[&LinkId(0)].bytes, stats.links()[&LinkId(0)].live), (5, 0));
}

#[test]
fn what_is_set_once_stays() {
    let stats = Stats::new(Role::Sender, 1);
    assert_eq!(stats.elapsed(), None);
    stats.start();
    assert!(stats.elapsed().is_some());
    stats.expect_bytes(5);
    stats.expect_bytes(6);
    assert_eq!(stats.snapshot().expected_bytes, Some(5));
}
