//! Strangers at the port of a receiver that waits or works: they are turned away, and the stream goes
//! on, exact and within its memory.

use super::process::{End, Pair};
use super::relay::{Fate, Relay};
use super::stream::put;
use super::{LONG, MARGIN, SHORT, at_once, scatter};
use crate::harness::{highest_kib, until_quiet};
use nix::sys::signal::Signal;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;
use viamillipede::digest::Checks;
use viamillipede::foot::{Codec, FootHeader};
use viamillipede::proto::frame::{Ack, Done, End as StreamEnd, Frame, Ping};
use viamillipede::proto::hello::{Answer, Hello, HelloKind, RefusalKind, Role, SessionId};
use viamillipede::proto::liveness::Pace;

const PART: u64 = 24 << 20;
const WINDOW: u64 = 16 << 20;

#[test]
fn strangers_are_turned_away_before_and_during_a_transfer() {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG} --window {WINDOW}"));
    let port = rx.port();
    let silent = bother(port);
    let relay = Relay::judging(port, |_, _| Fate::Pass);
    let tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG}", relay.port));
    let mut pair = Pair { tx, rx, port };
    let mut source = pair.tx.stdin();
    let drain = pair.rx.drain();
    assert!(put(&mut source, 0, PART) && drain.has_seen(PART / 2, MARGIN));
    let still_silent = bother(port);
    assert!(put(&mut source, PART, PART));
    let hello = Hello { kind: HelloKind::Join, worker: 3, ..relay.hello() };
    for words in lies() {
        assert!(is_hung_up_on(&hello, port, &words));
    }
    flood(&hello, port);
    assert!(put(&mut source, 2 * PART, PART) && drain.has_seen(2 * PART, MARGIN));
    let peak = highest_kib(pair.rx.pid()) << 10;
    drop(source);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    assert_eq!(drain.finish(), 3 * PART);
    assert!(peak <= WINDOW + WINDOW / 4 + (96 << 20), "{peak} bytes resident");
    drop((silent, still_silent));
}

/// Everything that a stranger may say who knows nothing; returns connections that say nothing.
fn bother(port: u16) -> Vec<TcpStream> {
    let silent: Vec<TcpStream> = (0..300).map(|_| dial(port)).collect();
    let mut hello = Vec::new();
    stranger(1..=1).encode(&mut hello);
    let garbage: Vec<u8> = (0..20_000).flat_map(|n| scatter(n).to_le_bytes()).collect();
    // A length beyond any hello: the length is at 14.
    let long = [&hello[..14], &[0xff, 0xff], &hello[16..]].concat();
    let other_body = [&hello[..hello.len() - 1], &[1]].concat();
    at_once(vec![
        Box::new(move || is_answered(port, &garbage, None)),
        Box::new(move || is_answered(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None)),
        Box::new(move || {
            let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
            is_answered(port, hello, Some(RefusalKind::Plain));
        }),
        Box::new(move || is_answered(port, &long, None)),
        Box::new(move || is_answered(port, &other_body, None)),
        Box::new(move || {
            let mut future = Vec::new();
            stranger(7..=9).encode(&mut future);
            is_answered(port, &future, Some(RefusalKind::Version));
        }),
        Box::new(move || {
            let mut other = Vec::new();
            Hello { name: "other".into(), ..stranger(1..=1) }.encode(&mut other);
            is_answered(port, &other, Some(RefusalKind::Name));
        }),
        Box::new(move || {
            // Cut off at every length.
            for bytes in 0..hello.len() {
                let _ = dial(port).write_all(&hello[..bytes]);
            }
        }),
    ]);
    silent
}

#[test]
fn one_that_is_gone_before_its_welcome_does_not_hold_the_door() {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let port = rx.port();
    // Stopped, it finds the hello and the reset at once.
    rx.signal(Signal::SIGSTOP);
    let mut stream = dial(port);
    let mut hello = Vec::new();
    stranger(1..=1).encode(&mut hello);
    stream.write_all(&hello).expect("the kernel takes it");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
    drop(stream);
    rx.signal(Signal::SIGCONT);
    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {SHORT}"));
    Pair { tx, rx, port }.deliver(1 << 20);
}

/// The first caller is welcome, and then there are no descriptors for its worker: the next one finds
/// the door open.
#[cfg(target_os = "linux")]
#[test]
fn one_that_could_not_be_served_does_not_hold_the_door() {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let port = rx.port();
    limit_descriptors(&rx, rx.descriptors_and(2)); // a socket, and less than a worker needs
    let mut first = dial(port);
    let mut hello = Vec::new();
    stranger(1..=1).encode(&mut hello);
    first.write_all(&hello).expect("it listens");
    let mut answer = Vec::new();
    let hung_up = first.read_to_end(&mut answer);
    assert!(hung_up.map_or_else(|error| !is_late(&error), |_| true), "it is not served");
    assert!(answer.is_empty(), "and not told that it is welcome");
    drop(first);
    limit_descriptors(&rx, 1000);
    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {SHORT}"));
    Pair { tx, rx, port }.deliver(1 << 20);
}

/// Strangers take all descriptors that there are: the receiver rests, and those of them go who are in the
/// way of its sender.
#[cfg(target_os = "linux")]
#[test]
fn strangers_cannot_use_up_the_descriptors() {
    const LIMIT: usize = 40;
    let mut rx = End::limited(&format!("-n {LIMIT}"), &format!("rx 127.0.0.1:0 --patience {LONG}"));
    let port = rx.port();
    let crowd: Vec<TcpStream> = (0..3 * LIMIT).map(|_| dial(port)).collect();
    until_quiet(&[rx.pid()], 5);
    assert!(rx.descriptors() <= LIMIT);
    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {SHORT}"));
    let mut pair = Pair { tx, rx, port };
    let (mut source, drain) = (pair.tx.stdin(), pair.rx.drain());
    assert!(put(&mut source, 0, PART) && drain.has_seen(PART / 2, MARGIN));
    let second: Vec<TcpStream> = (0..3 * LIMIT).map(|_| dial(port)).collect();
    assert!(put(&mut source, PART, PART));
    drop(source);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    assert_eq!(drain.finish(), 2 * PART);
    drop((crowd, second));
}

#[cfg(target_os = "linux")]
fn limit_descriptors(end: &End, most: usize) {
    let mut prlimit = std::process::Command::new("prlimit");
    prlimit.args(["--pid", &end.pid().to_string(), &format!("--nofile={most}:")]);
    assert!(prlimit.status().expect("util-linux is there").success());
}

/// One who knows the session sends a good foot long before its turn: that costs him his connection, and
/// the stream nothing.
#[test]
fn a_foot_that_comes_before_it_was_allowed_is_not_in_the_way_of_the_right_one() {
    const FOOT: u32 = 1 << 20;
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG} --window 64MiB"));
    let port = rx.port();
    let relay = Relay::judging(port, |_, _| Fate::Pass);
    let tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG}", relay.port));
    let hello = Hello { kind: HelloKind::Join, worker: 3, ..relay.hello() };
    let offset = 40 * u64::from(FOOT);
    let payload = vec![7; FOOT as usize];
    let check = Checks { foot_bytes: FOOT, verify: false }.foot(offset, &payload).check;
    let header = FootHeader {
        id: 40,
        offset,
        raw_bytes: FOOT,
        packed_bytes: FOOT,
        codec: Codec::Raw,
        check,
    };
    let mut words = Vec::new();
    Frame::Foot(header).encode(&mut words);
    words.extend_from_slice(&payload);
    assert!(is_hung_up_on(&hello, port, &words));
    Pair { tx, rx, port }.deliver(64 << 20);
}

/// What somebody says who would send, in one of these versions.
pub fn stranger(versions: RangeInclusive<u16>) -> Hello {
    Hello {
        versions,
        kind: HelloKind::New,
        session: SessionId([0xee; 16]),
        role: Role::Sender,
        worker: 0,
        link: 0,
        workers: 4,
        foot_bytes: 1 << 20,
        window_bytes: 64 << 20,
        verify: false,
        pace: Pace::default(),
        name: String::new(),
    }
}

fn dial(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    stream.set_read_timeout(Some(MARGIN)).expect("a socket option");
    stream
}

/// Says these bytes and reads until hung up on: there is this refusal in the answer, or no answer.
fn is_answered(port: u16, words: &[u8], refusal: Option<RefusalKind>) {
    loop {
        let mut stream = dial(port);
        // It may hang up before it has heard all.
        let _ = stream.write_all(words);
        let mut answer = Vec::new();
        let hung_up = stream.read_to_end(&mut answer);
        let is_over = hung_up.map_or_else(|error| !is_late(&error), |_| true);
        assert!(is_over, "still listened to: {:?}", &words[..words.len().min(40)]);
        match (refusal, Answer::decode(&answer)) {
            (None, _) => return assert!(answer.is_empty()),
            (Some(reason), Ok(Some((Answer::Refuse(refused), _)))) => {
                return assert_eq!(refused.reason, reason);
            }
            // So many call that this one had to go.
            (Some(_), Ok(None)) if answer.is_empty() => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// What nobody may say, even one who knows the session.
fn lies() -> Vec<Vec<u8>> {
    let foot = FootHeader {
        id: 0,
        offset: 0,
        raw_bytes: 1 << 20,
        packed_bytes: 1 << 20,
        codec: Codec::Raw,
        check: [7; 32],
    };
    let mut lies: Vec<Vec<u8>> = [
        Frame::Foot(FootHeader { id: 1 << 40, offset: 1 << 60, ..foot }),
        Frame::Foot(FootHeader { id: u64::MAX, ..foot }),
        Frame::Foot(FootHeader { raw_bytes: 2 << 20, packed_bytes: 2 << 20, ..foot }),
        Frame::Foot(FootHeader { raw_bytes: u32::MAX, packed_bytes: u32::MAX, ..foot }),
        Frame::Foot(FootHeader { packed_bytes: 2 << 20, codec: Codec::Zstd, ..foot }),
        Frame::Foot(FootHeader { raw_bytes: 0, packed_bytes: 0, ..foot }),
        Frame::Foot(FootHeader { offset: 5, ..foot }),
        Frame::Foot(FootHeader { offset: u64::MAX - 5, ..foot }),
        Frame::End(StreamEnd { feet: 0, bytes: 0, digest: None }),
        Frame::Ack(Ack::default()),
        Frame::Nack { id: 0 },
        Frame::Done(Done { bytes: 0, digest: None }),
        Frame::DoneAck,
    ]
    .iter()
    .map(|frame| {
        let mut words = Vec::new();
        frame.encode(&mut words);
        words
    })
    .collect();
    lies.push((0..10_000).flat_map(|n| scatter(n).to_le_bytes()).collect());
    lies
}

/// Joins the session, says these words, and reads until hung up on.
fn is_hung_up_on(hello: &Hello, port: u16, words: &[u8]) -> bool {
    let mut stream = joined(hello, port);
    let _ = stream.write_all(words);
    stream.read_to_end(&mut Vec::new()).map_or_else(|error| !is_late(&error), |_| true)
}

/// Joins the session and pings without reading the answers, until hung up on or replaced.
fn flood(hello: &Hello, port: u16) {
    let mut stream = joined(hello, port);
    let mut pings = Vec::new();
    for token in 1..=2000 {
        Frame::Ping(Ping { token, sent_feet: 0, window_blocked: false }).encode(&mut pings);
    }
    for _ in 0..100 {
        if stream.write_all(&pings).is_err() {
            return;
        }
    }
}

fn joined(hello: &Hello, port: u16) -> TcpStream {
    let mut stream = dial(port);
    let mut words = Vec::new();
    hello.encode(&mut words);
    stream.write_all(&words).expect("it listens");
    stream
}
