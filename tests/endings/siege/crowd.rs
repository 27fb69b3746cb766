//! Strangers who call, 200 in a second: those who say nothing, nonsense, or what others have said elsewhere; those
//! with another key; and whole programs that were started with the wrong one, or without.
//!
//! Checks that each is sent away. Does not know of the transfer on which they call.

use super::Way;
use crate::endings::process::{End, Guard};
use crate::endings::{LONG, MARGIN, scatter};
use crate::tls::between::Between;
use crate::tls::intruder::Intruder;
use crate::tls::other_key;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use viamillipede::proto::hello::{Hello, HelloKind, SessionId};

/// Time between two strangers.
const PAUSE: Duration = Duration::from_millis(5);
/// Time between two who are whole programs.
const LONG_PAUSE: Duration = Duration::from_millis(150);
/// Those who have come before all others: more than may be there at once.
const FIRST: u64 = 300;
/// As much as anybody sees of a handshake that was cut off.
const BEGINNING: usize = 30;

/// What strangers come with.
#[derive(Clone, Copy)]
enum Kind {
    Garbage,
    Http,
    /// All that an end has said on a connection of another session, with the same key or without any.
    Replay,
    /// A hello of ours without TLS.
    Plain(HelloKind),
    /// The whole handshake, with another key.
    OtherKey,
    /// Nothing, and they stay.
    Silence,
    /// The beginning of a handshake, and they stay.
    HalfHello,
    /// The first message of a handshake with the right key, which somebody else has said, and they stay.
    Hello,
}

const KINDS: [Kind; 9] = [
    Kind::Garbage,
    Kind::Http,
    Kind::Replay,
    Kind::Plain(HelloKind::New),
    Kind::Plain(HelloKind::Join),
    Kind::OtherKey,
    Kind::Silence,
    Kind::HalfHello,
    Kind::Hello,
];

/// All strangers of one end that listens.
pub struct Crowd {
    port: u16,
    guard: Guard,
    dials: &'static str,
    /// What an end that dials says first on one of its connections, without a key.
    hello: Hello,
    plain: Vec<u8>,
    /// The same with a key.
    tls: Vec<u8>,
    intruder: Intruder,
}

impl Crowd {
    /// Those who will call on the end that listens at this port, of a session of this kind.
    pub fn gather(guard: Guard, way: Way, port: u16) -> Crowd {
        let [plain, tls] = [Guard::Plain, Guard::Key].map(|guard| recorded(guard, way));
        let hello = Hello::decode(&plain).ok().flatten().expect("it begins with a hello").0;
        Crowd { port, guard, dials: way.dials(), hello, plain, tls, intruder: Intruder::new() }
    }

    /// Calls until all is over; how many did.
    pub fn call(&self, is_over: &AtomicBool) -> u64 {
        thread::scope(|calls| {
            let mut staying: Vec<TcpStream> = (0..FIRST).map(|number| self.dial(number)).collect();
            let (begun, mut count) = (Instant::now(), 0);
            while !is_over.load(SeqCst) {
                let kind = KINDS[count as usize % KINDS.len()];
                let mut stream = self.dial(count);
                if let Kind::OtherKey = kind {
                    calls.spawn(move || self.intrude(stream));
                } else {
                    // It may be turned away before it has said all.
                    let _ = stream.write_all(&self.words(kind, count));
                    if matches!(kind, Kind::Silence | Kind::HalfHello | Kind::Hello) {
                        staying.push(stream);
                    }
                }
                count += 1;
                // The rate itself.
                thread::sleep((PAUSE * count as u32).saturating_sub(begun.elapsed()));
            }
            FIRST + count
        })
    }

    /// Starts ends that do not fit, one after the other, until all is over; how many there were.
    pub fn mistake(&self, is_over: &AtomicBool) -> u64 {
        let mut count = 0;
        // At least one of each kind.
        while count < 2 || !is_over.load(SeqCst) {
            let line =
                format!("{} 127.0.0.1:{},bind=127.0.0.5 --patience {LONG}", self.dials, self.port);
            let (mut end, cause) = match (self.guard, count % 2) {
                (Guard::Key, 0) => (End::holding(&other_key(), &line), "it has another key"),
                (Guard::Key, _) => (End::start(&line), "the listening end has a key"),
                (Guard::Plain, 0) => {
                    (End::holding(&other_key(), &line), "the listening end is --plain")
                }
                (Guard::Plain, _) => (End::start(&format!("{line} --name other")), "it is named"),
            };
            end.ended_within(MARGIN).expect("it is told at once").failed(3, cause);
            count += 1;
            thread::sleep(LONG_PAUSE); // the rate itself
        }
        count
    }

    /// A connection from one of a few addresses.
    fn dial(&self, number: u64) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        let host = 2 + (number % 3) as u8;
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
        socket.bind(&SockAddr::from(from)).expect("all of 127/8 is ours");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        socket.connect(&SockAddr::from(to)).expect("it listens");
        TcpStream::from(socket)
    }

    /// Whoever has another key is told nothing, however far he goes.
    fn intrude(&self, stream: TcpStream) {
        stream.set_read_timeout(Some(MARGIN)).expect("a socket option");
        let mut words = Vec::new();
        self.hello.encode(&mut words);
        let (heard, ended) = self.intruder.call(stream, &words);
        assert!(heard.is_empty() && ended.is_err(), "{heard:?} {ended:?}");
    }

    fn words(&self, kind: Kind, number: u64) -> Vec<u8> {
        match kind {
            Kind::Garbage => (0..4000).flat_map(|n| scatter(n).to_le_bytes()).collect(),
            Kind::Http => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            Kind::Replay if self.guard == Guard::Key => self.tls.clone(),
            Kind::Replay => self.plain.clone(),
            Kind::Plain(kind) => {
                let session = SessionId(u128::from(scatter(number)).to_le_bytes());
                let mut words = Vec::new();
                Hello { kind, session, ..self.hello.clone() }.encode(&mut words);
                words
            }
            Kind::HalfHello => self.tls[..BEGINNING].to_vec(),
            Kind::Hello => first_record(&self.tls).to_vec(),
            Kind::Silence | Kind::OtherKey => Vec::new(),
        }
    }
}

/// All that the dialling end of a short session has said on its one connection.
fn recorded(guard: Guard, way: Way) -> Vec<u8> {
    let settings = format!("--patience {LONG}");
    let mut listener = End::guarded(guard, &format!("{} 127.0.0.1:0 {settings}", way.listens()));
    let between = Between::listening(listener.port());
    let line = format!("{} 127.0.0.1:{} {settings} --workers 1", way.dials(), between.port);
    let mut dialler = End::guarded(guard, &line);
    // One of them sends, and it is over soon; the other reads nothing.
    drop([listener.stdin(), dialler.stdin()]);
    for end in [&mut dialler, &mut listener] {
        end.ended(LONG).expect("no hang").delivered();
    }
    between.said(0, true)
}

fn first_record(heard: &[u8]) -> &[u8] {
    let length = u16::from_be_bytes([heard[3], heard[4]]);
    &heard[..5 + usize::from(length)]
}
