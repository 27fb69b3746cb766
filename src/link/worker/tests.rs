//! One connection with a peer that does what it should not.

use super::outbox::MANY_WAITING;
use super::*;
use crate::cancel::Cancel;
use crate::foot::{Codec, FootHeader};
use crate::link::Limit;
use crate::news::News;
use crate::pool::Pool;
use crate::proto::LinkId;
use crate::proto::frame::{Ack, End, Frame, Ping, decode};
use crate::stats::Role as StatsRole;
use crossbeam_channel::{Receiver, bounded};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

/// Every Linux has it, and hardly any has it as its choice.
const CONGESTION: &str = "reno";

/// A sender's worker in the middle of a foot that nobody takes, and the other end of its connection.
fn stuck() -> (Worker, Handle, TcpStream, Receiver<Event>) {
    let (worker, handle, peer, heard) = pair(None);
    send_foot(&handle, 64 << 20); // more than any kernel takes
    (worker, handle, peer, heard)
}

/// A sender's worker with nothing to do, and the other end of its connection.
fn pair(limit: Option<Limit>) -> (Worker, Handle, TcpStream, Receiver<Event>) {
    let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a listener");
    let address = listener.local_addr().expect("it is bound");
    let cancel = Cancel::new().expect("a cancel");
    let until = Instant::now() + Duration::from_secs(60);
    let stream = net::connect(&[address], None, &cancel, until).expect("it listens");
    let (peer, _) = listener.accept().expect("it is connected");
    let channel = Channel::new(stream, None).expect("without TLS nothing can fail");
    let (events, heard) = bounded(4);
    let crew = Crew {
        role: Role::Sender,
        side: None,
        inlet: Arc::new(|_| Box::new(NoFeet)),
        limit,
        congestion: Some(CONGESTION.into()),
        stats: Arc::new(Stats::new(StatsRole::Sender, 1)),
        cancel,
        events,
        next_worker: Arc::default(),
        news: News::unheard(),
    };
    let row = crew.stats.join(WorkerId(0), LinkId(0), address.to_string());
    let outbox = Outbox::new().expect("descriptors");
    let inlet = Box::new(NoFeet);
    let (worker, handle) =
        Worker::new(WorkerId(0), channel, Vec::new(), outbox, inlet, row, crew).expect("a worker");
    (worker, handle, peer, heard)
}

fn send_foot(handle: &Handle, bytes: usize) {
    let header = FootHeader {
        id: 0,
        offset: 0,
        raw_bytes: bytes as u32,
        packed_bytes: bytes as u32,
        codec: Codec::Raw,
        check: [0; 32],
    };
    let buffer = Pool::new(1, bytes).take().expect("the pool is new");
    handle.send_foot(header, Arc::new(Filled::new(buffer, bytes)));
}

/// Waits until the worker is down, whatever it tells before; for this reason.
fn ends(heard: &Receiver<Event>, reason: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if let Event::Down(_, cause) = heard.recv_deadline(until).expect("it ends") {
            return assert_eq!(cause, reason);
        }
    }
    panic!("it goes on and on");
}

#[test]
fn a_connection_that_takes_nothing_can_be_closed_in_the_middle_of_a_foot() {
    let (worker, handle, _peer, heard) = stuck();
    let seen = Arc::clone(&worker.row);
    let serving = thread::spawn(|| worker.run());
    while seen.bytes.now() == 0 {
        thread::yield_now();
    }
    handle.close("it stands still");
    ends(&heard, "it stands still");
    serving.join().expect("the worker has ended");
}

#[test]
fn a_connection_that_takes_nothing_and_never_stops_talking_can_be_closed_too() {
    talked_to(stuck(), "it stands still", |_, handle| handle.close("it stands still"));
}

#[test]
fn a_connection_that_never_stops_talking_ends_with_the_run() {
    talked_to(pair(None), "closed here", |cancel, _| cancel.cancel());
}

#[test]
fn a_connection_that_is_retired_and_never_stops_talking_ends_soon() {
    talked_to(pair(None), "closed here", |_, handle| handle.retire());
}

/// The other end talks and talks, until something is done about it; then the connection is down, for this reason.
fn talked_to(
    (worker, handle, mut peer, heard): (Worker, Handle, TcpStream, Receiver<Event>),
    reason: &str,
    act: impl FnOnce(&Cancel, &Handle),
) {
    peer.set_nonblocking(false).expect("a socket option");
    let cancel = worker.crew.cancel.clone();
    let serving = thread::spawn(|| worker.run());
    let talking = thread::spawn(move || {
        let mut acks = Vec::new();
        for _ in 0..10_000 {
            Frame::Ack(Ack::default()).encode(&mut acks);
        }
        while peer.write_all(&acks).is_ok() {}
    });
    for _ in 0..10_000 {
        assert!(matches!(heard.recv(), Ok(Event::Frame(..))), "it listens");
    }
    act(&cancel, &handle);
    ends(&heard, reason);
    serving.join().expect("the worker has ended");
    talking.join().expect("it is hung up on");
}

#[test]
fn heartbeats_that_wait_behind_a_long_foot_do_not_pile_up() {
    let (worker, handle, _peer, _heard) = stuck();
    let end = End { feet: 1, bytes: 1, digest: None };
    for token in 1..=5_000 {
        let window_blocked = token == 2_000;
        handle.send(Frame::Ping(Ping { token, sent_feet: u64::from(token), window_blocked }));
        handle.send(Frame::End(end));
    }
    assert_eq!(worker.outbox.closed(), None, "it is only slow");
    let mut said = Vec::new();
    worker.outbox.take(&mut said, false);
    let (mut pings, mut place) = (Vec::new(), 0);
    while let Some((frame, length)) = decode(&said[place..]).expect("frames") {
        pings.extend(if let Frame::Ping(ping) = frame { Some(ping) } else { None });
        place += length;
    }
    assert!(pings.len() <= MANY_WAITING && place == said.len(), "{}", pings.len());
    let all = Ping { token: 1, sent_feet: 5_000, window_blocked: true };
    assert_eq!(pings.first(), Some(&all), "the first question, with what any has to say");
}

/// What the other end of a connection reads of it until it ends.
fn all_read(mut peer: TcpStream) -> Vec<u8> {
    peer.set_nonblocking(false).expect("a socket option");
    let mut read = Vec::new();
    peer.read_to_end(&mut read).expect("it ends in due form");
    read
}

fn last_word(reason: &str) -> Abort {
    Abort { code: 6, reason: reason.to_owned() }
}

#[test]
fn a_last_word_does_not_wait_for_the_rest_of_a_foot() {
    let (worker, handle, peer, heard) = stuck();
    let row = Arc::clone(&worker.row);
    let serving = thread::spawn(|| worker.run());
    while row.bytes.now() == 0 {
        thread::yield_now();
    }
    handle.send(Frame::Ping(Ping { token: 1, sent_feet: 1, window_blocked: false }));
    handle.send(Frame::Abort(last_word("exit status 3")));
    handle.finish();
    let read = all_read(peer);
    assert!(read.len() < 64 << 20, "all of the foot");
    assert_eq!(Abort::at_end_of(&read), Some(last_word("exit status 3")));
    ends(&heard, HUNG_UP);
    serving.join().expect("the worker has ended");
}

#[test]
fn a_last_word_that_is_longer_than_the_rest_of_a_foot_comes_behind_it() {
    let (worker, handle, peer, heard) = pair(Some(Limit::new(1000)));
    let stats = Arc::clone(&worker.crew.stats);
    send_foot(&handle, 1000);
    let serving = thread::spawn(|| worker.run());
    while stats.held_workers.now() == 0 {
        thread::yield_now();
    }
    handle.send(Frame::Abort(last_word(&"x".repeat(1000))));
    handle.finish();
    let read = all_read(peer);
    let (_, head) = decode(&read).expect("a frame").expect("a whole one");
    let (word, length) = decode(&read[head + 1000..]).expect("a frame").expect("a whole one");
    assert_eq!(word, Frame::Abort(last_word(&"x".repeat(1000))));
    assert_eq!(head + 1000 + length, read.len());
    ends(&heard, HUNG_UP);
    serving.join().expect("the worker has ended");
}

#[test]
fn what_the_other_end_said_before_it_reset_the_connection_is_heard() {
    let (worker, handle, mut peer, heard) = stuck();
    let mut word = Vec::new();
    Frame::Abort(last_word("disk full")).encode(&mut word);
    peer.write_all(&word).expect("it is connected");
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("a socket option");
    drop(peer);
    wait(&mut [(worker.channel.as_fd(), PollFlags::POLLHUP)], None).expect("it is reset");
    worker.run();
    let told: Vec<Event> = heard.try_iter().collect();
    assert!(matches!(&told[..], [Event::Frame(_, Frame::Abort(_)), Event::Down(..)]), "{told:?}");
    drop(handle);
}

#[test]
fn under_a_limit_a_foot_goes_out_in_slices() {
    let (worker, handle, _peer, heard) = pair(Some(Limit::new(1000)));
    send_foot(&handle, 1 << 20);
    let (row, stats) = (Arc::clone(&worker.row), Arc::clone(&worker.crew.stats));
    let serving = thread::spawn(|| worker.run());
    while row.bytes.now() == 0 || stats.held_workers.now() == 0 {
        thread::yield_now();
    }
    let sent = row.bytes.now();
    assert!((1_000..100_000).contains(&sent), "{sent} bytes");
    assert!(matches!(heard.recv(), Ok(Event::Held(_, true))), "its socket is not what is slow");
    handle.close("that will do");
    ends(&heard, "that will do");
    serving.join().expect("the worker has ended");
    assert_eq!(stats.held_workers.now(), 0);
    assert!(stats.held_us.now() > 0, "it has waited");
}

#[test]
fn a_heartbeat_does_not_wait_for_the_turn_of_a_foot() {
    let limit = Limit::new(1000);
    let (mut worker, handle, mut peer, heard) = pair(Some(limit));
    worker.share.spend(1 << 20); // paid for in a quarter of an hour
    send_foot(&handle, 1 << 20);
    let stats = Arc::clone(&worker.crew.stats);
    let serving = thread::spawn(|| worker.run());
    while stats.held_workers.now() == 0 {
        thread::yield_now();
    }
    let ping = Frame::Ping(Ping { token: 1, sent_feet: 1, window_blocked: false });
    handle.send(ping.clone());
    peer.set_nonblocking(false).expect("a socket option");
    let mut said = [0; 1024];
    let length = peer.read(&mut said).expect("it comes at once");
    assert_eq!(decode(&said[..length]).expect("a frame"), Some((ping, length)), "and nothing else");
    handle.close("that will do");
    ends(&heard, "that will do");
    serving.join().expect("the worker has ended");
}

#[test]
fn a_connection_has_the_congestion_control_that_was_asked_for_and_the_kernel_tells_of_it() {
    let (mut worker, _handle, _peer, _heard) = pair(None);
    let named = socket2::SockRef::from(&worker.channel).tcp_congestion().expect("a name");
    assert_eq!(named.split(|byte| *byte == 0).next(), Some(CONGESTION.as_bytes()));
    assert_eq!(worker.row.tcp(), None);
    worker.look();
    assert!(worker.row.tcp().is_some_and(|tcp| tcp.window_bytes > 0));
}
