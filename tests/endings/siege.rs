//! A crowd of strangers all through a transfer: 200 a second who say nothing, nonsense, or what others have
//! said elsewhere. The stream is exact, and the receiver keeps to its memory and descriptors.
//!
//! How much longer it takes is for `benches/strangers` to say.

use super::process::{End, Guard};
use super::relay::{Fate, Relay};
use super::stream::put;
use super::{LONG, MARGIN, sample, scatter};
use crate::harness::{highest_kib, most_kib};
use crate::tls::between::Between;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use viamillipede::proto::frame::{Frame, Ping};
use viamillipede::proto::hello::{Hello, HelloKind, SessionId};

/// Bytes that the source has in a second.
const RATE: u64 = 40_000_000;
/// Time between two strangers.
const PAUSE: Duration = Duration::from_millis(5);
const WINDOW_MIB: u64 = 64;
/// Callers that there may be at once, with room for the connections of the session and all else.
const MOST_DESCRIPTORS: usize = 256 + 64;

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_transfer() {
    besieged(Guard::Plain);
}

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_transfer_with_a_key() {
    besieged(Guard::Key);
}

fn besieged(guard: Guard) {
    let total = sample(40_000_000, 120_000_000);
    let recorded = match guard {
        Guard::Plain => recorded(),
        Guard::Key => Recorded { handshake: recorded_handshake(), ..recorded() },
    };
    let window = format!("--window {WINDOW_MIB}MiB --patience {LONG}");
    let mut rx = End::telling(guard, &format!("rx 127.0.0.1:0 {window}"));
    let port = rx.port();
    let relay = Relay::start(port);
    let mut tx = End::guarded(guard, &format!("tx 127.0.0.1:{} {window}", relay.port));
    let (mut source, drain) = (tx.stdin(), rx.drain());
    assert!(put(&mut source, 0, 1 << 20) && drain.has_seen(1 << 20, MARGIN));

    let (is_over, silent) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (strangers, most_descriptors) = thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(SeqCst) {
                if let Some(stream) = call(port, count, &recorded) {
                    silent.lock().expect("no panics under it").push(stream);
                }
                count += 1;
                thread::sleep(PAUSE); // the rate itself
            }
            count
        });
        let (begun, mut place, mut most) = (Instant::now(), 1 << 20, 0);
        let mut cuts = vec![total * 2 / 3, total / 3];
        while place < total {
            let bytes = (total - place).min(RATE / 100);
            assert!(put(&mut source, place, bytes));
            place += bytes;
            if cuts.pop_if(|at| *at <= place).is_some() {
                relay.cut_all(); // who comes back has to get through
            }
            most = most.max(rx.descriptors());
            let due = Duration::from_secs_f64(place as f64 / RATE as f64);
            thread::sleep(due.saturating_sub(begun.elapsed())); // the rate itself
        }
        assert!(drain.has_seen(total, MARGIN));
        is_over.store(true, SeqCst);
        (crowd.join().expect("it does not panic"), most)
    });
    let peak = highest_kib(rx.pid());
    eprintln!(
        "{guard:?}: {strangers} strangers, {most_descriptors} descriptors, {peak} KiB at most"
    );
    drop(source);
    tx.ended(LONG).expect("no hang").delivered();
    let rx = rx.ended(LONG).expect("no hang");
    assert_eq!((rx.code, drain.finish()), (0, total), "{rx:?}");
    assert!(peak <= most_kib(WINDOW_MIB), "{peak} KiB resident");
    assert!(most_descriptors <= MOST_DESCRIPTORS, "{most_descriptors} descriptors");
    assert!(rx.said.matches("refused ").count() < 4, "a line in ten seconds: {rx:?}");
}

/// What the senders of other sessions have said first on one of their connections.
struct Recorded {
    hello: Hello,
    /// The hello, and a little more.
    plain: Vec<u8>,
    /// The same of one with the right key: all that it said. Of one without a key a piece of the hello.
    handshake: Vec<u8>,
}

fn recorded_handshake() -> Vec<u8> {
    let mut rx = End::guarded(Guard::Key, &format!("rx 127.0.0.1:0 --patience {LONG}"));
    let between = Between::listening(rx.port());
    let line = format!("tx 127.0.0.1:{} --patience {LONG} --workers 1", between.port);
    let mut tx = End::guarded(Guard::Key, &line);
    drop((tx.stdin(), rx.drain()));
    tx.ended(LONG).expect("no hang").delivered();
    between.said(0, true)
}

fn recorded() -> Recorded {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let relay = Relay::judging(rx.port(), |_, _| Fate::Pass);
    let mut tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG}", relay.port));
    let mut words = Vec::new();
    let hello = relay.hello();
    hello.encode(&mut words);
    Frame::Ping(Ping { token: 1, sent_feet: 0, window_blocked: false }).encode(&mut words);
    drop((tx.stdin(), rx.drain()));
    Recorded { hello, handshake: words[..30].to_vec(), plain: words }
}

/// One stranger, from one of a few addresses: it says something and goes, or stays and says no more.
fn call(port: u16, number: u64, recorded: &Recorded) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    let host = 2 + (number % 3) as u8;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&SockAddr::from(from)).expect("all of 127/8 is ours");
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(&SockAddr::from(to)).expect("it listens");
    let mut stream = TcpStream::from(socket);
    let words = match number % 7 {
        0 => (0..4000).flat_map(|n| scatter(n).to_le_bytes()).collect(),
        1 => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        2 => recorded.plain.clone(),
        3 | 4 => {
            let kind = if number.is_multiple_of(2) { HelloKind::Join } else { HelloKind::New };
            let session = SessionId(u128::from(scatter(number)).to_le_bytes());
            let mut words = Vec::new();
            Hello { kind, session, ..recorded.hello.clone() }.encode(&mut words);
            words
        }
        5 => recorded.handshake.clone(),
        _ => Vec::new(),
    };
    // It may be turned away before it has said all.
    let _ = stream.write_all(&words);
    (number % 7 > 4).then_some(stream)
}
