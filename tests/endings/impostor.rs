//! A receiver that lies: the real sender never panics, never believes it, and never outlasts patience.

use super::process::End;
use super::relay::Relay;
use super::stream::feed;
use super::{LONG, MARGIN, SHORT, at_once, scatter};
use crate::harness;
use crossbeam_channel::unbounded;
use nix::sys::signal::Signal::SIGINT;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use viamillipede::proto::frame::{Abort, Ack, Done, Frame, Ping, decode};
use viamillipede::proto::hello::{Answer, Hello, Refusal, RefusalKind, Welcome, Wish, settle};

/// Three feet.
const TOTAL: u64 = 3 << 20;
const ENDLESS: u64 = 1 << 40;

#[test]
fn a_lying_receiver_is_never_believed() {
    at_once(vec![
        Box::new(|| lied_to(4, |call| call.say(&scatter_bytes(4096)))),
        Box::new(|| lied_to(4, |call| call.say(b"HTTP/1.1 200 OK\r\n\r\n"))),
        Box::new(|| lied_to(4, |call| drop(call.stream.shutdown(std::net::Shutdown::Both)))),
        Box::new(|| lied_to(4, |call| call.answer(&call.greater_welcome()))),
        Box::new(|| lied_to(3, |call| call.answer(&refusal(RefusalKind::Version, "\x1b[2J\nno")))),
        Box::new(|| lied_to(7, |call| call.answer(&refusal(RefusalKind::Busy, "later")))),
        Box::new(|| lied_to(4, |call| call.welcome())), // and silence
        Box::new(|| {
            lied_to(4, |call| {
                call.welcome();
                call.say(&scatter_bytes(100_000));
            });
        }),
        Box::new(|| lied_to(4, |call| call.repeat(|_| vec![ack(1000, 2000)]))),
        Box::new(|| lied_to(4, |call| call.repeat(|_| vec![ack(u64::MAX, u64::MAX)]))),
        Box::new(|| lied_to(4, |call| call.repeat(|_| vec![ack(0, u64::MAX)]))),
        Box::new(|| {
            let ranges = vec![5..6, u64::MAX - 2..u64::MAX - 1];
            let frame = Frame::Ack(Ack { limit: u64::MAX, ranges, ..Ack::default() });
            lied_to(4, move |call| call.repeat(|_| vec![frame.clone()]));
        }),
        Box::new(|| {
            // It refuses all feet again and again.
            lied_to(5, |call| {
                call.repeat(|heard| match heard {
                    Frame::Foot(foot) => vec![Frame::Nack { id: foot.id }],
                    _ => vec![ack(0, 100), Frame::Nack { id: 0 }],
                });
            });
        }),
        Box::new(|| lied_to(4, |call| call.repeat(|_| vec![Frame::Nack { id: u64::MAX }]))),
        Box::new(|| {
            // Done, and the stream has not ended.
            let script = |call: &mut Call| call.repeat(|_| vec![Frame::Done(done(0))]);
            lied_to_with(4, "", ENDLESS, script);
        }),
        Box::new(|| lied_to(4, |call| call.repeat(|_| vec![ping()]))),
        Box::new(|| {
            // It takes all, and lies about the length.
            lied_to(5, |call| {
                call.repeat(|heard| match heard {
                    Frame::Foot(foot) => vec![ack(foot.id + 1, 100)],
                    Frame::End(_) => vec![Frame::Done(done(TOTAL - 1))],
                    _ => vec![ack(0, 100)],
                });
            });
        }),
        Box::new(|| {
            lied_to_with(5, "--verify", TOTAL, |call| {
                call.repeat(|heard| match heard {
                    Frame::Foot(foot) => vec![ack(foot.id + 1, 100)],
                    Frame::End(_) => {
                        vec![Frame::Done(Done { digest: Some([1; 32]), ..done(TOTAL) })]
                    }
                    _ => vec![ack(0, 100)],
                });
            });
        }),
        Box::new(|| {
            // Done, and it has had one foot of three.
            lied_to(4, |call| {
                call.repeat(|heard| match heard {
                    Frame::End(_) => vec![Frame::Done(done(TOTAL))],
                    _ => vec![ack(0, 1)],
                });
            });
        }),
        Box::new(|| {
            // Done, and no word of the digest.
            lied_to_with(5, "--verify", TOTAL, |call| {
                call.repeat(|heard| match heard {
                    Frame::End(_) => vec![Frame::Done(done(TOTAL))],
                    _ => vec![ack(0, 100)],
                });
            });
        }),
        Box::new(|| {
            let reason = "a\nb\x1b[2J".to_owned();
            let frame = Frame::Abort(Abort { code: 255, reason });
            lied_to(4, move |call| call.repeat(|_| vec![frame.clone()]));
        }),
    ]);
}

/// Its hello was out: whoever has heard that has met it, and would wait for it.
#[test]
fn an_end_that_is_interrupted_before_it_is_welcome_says_so_when_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let mut tx = End::start(&format!("tx 127.0.0.1:{port} --workers 1 --patience {LONG}"));
    let (stream, _) = listener.accept().expect("it dials");
    let mut call = Call::answered(stream).expect("it says hello");
    tx.signal(SIGINT);
    call.welcome();
    let word = std::iter::from_fn(|| call.frame()).last();
    assert!(matches!(word, Some(Frame::Abort(Abort { code: 130, .. }))), "{word:?}");
    drop(call);
    tx.ended(0).expect("it ends at once").failed(130, "SIGINT");
}

fn ack(cumulative: u64, limit: u64) -> Frame {
    Frame::Ack(Ack { cumulative, limit, ..Ack::default() })
}

fn done(bytes: u64) -> Done {
    Done { bytes, digest: None }
}

fn ping() -> Frame {
    Frame::Ping(Ping { token: 1, sent_feet: 0, window_blocked: false })
}

fn refusal(reason: RefusalKind, detail: &str) -> Answer {
    Answer::Refuse(Refusal::new(reason, detail))
}

fn scatter_bytes(words: u64) -> Vec<u8> {
    (0..words).flat_map(|n| scatter(n).to_le_bytes()).collect()
}

fn lied_to(code: i32, script: impl Fn(&mut Call) + Send + Sync + 'static) {
    lied_to_with(code, "", TOTAL, script);
}

/// Starts a sender that dials an impostor; `script` is what that does on each connection.
fn lied_to_with(
    code: i32,
    flags: &str,
    bytes: u64,
    script: impl Fn(&mut Call) + Send + Sync + 'static,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let script = std::sync::Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = std::sync::Arc::clone(&script);
            thread::spawn(move || {
                if let Some(mut call) = Call::answered(stream) {
                    script(&mut call);
                    call.hear_out();
                }
            });
        }
    });
    let mut tx = End::start(&format!("tx 127.0.0.1:{port} --patience {SHORT} {flags}"));
    feed(tx.stdin(), bytes);
    tx.ended(SHORT).expect("it ends").failed(code, "");
}

/// One connection of the sender, whose hello was heard.
struct Call {
    stream: TcpStream,
    hello: Hello,
    heard: Vec<u8>,
}

impl Call {
    fn answered(mut stream: TcpStream) -> Option<Call> {
        let mut heard = Vec::new();
        loop {
            if let Some((hello, bytes)) = Hello::decode(&heard).expect("the sender does not lie") {
                heard.drain(..bytes);
                return Some(Call { stream, hello, heard });
            }
            more(&mut stream, &mut heard)?;
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        // The sender may have hung up.
        let _ = self.stream.write_all(bytes);
    }

    fn answer(&mut self, answer: &Answer) {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        self.say(&bytes);
    }

    fn welcome(&mut self) {
        self.answer(&Answer::Welcome(self.polite()));
    }

    fn polite(&self) -> Welcome {
        let ours = Wish { workers: 64, ..self.hello.wish() };
        let settled = settle(self.hello.wish(), ours).expect("it fits");
        Welcome { version: 1, incarnation: [3; 16], settled }
    }

    /// A welcome to more than was asked for.
    fn greater_welcome(&self) -> Answer {
        let mut welcome = self.polite();
        welcome.settled.foot_bytes *= 8;
        welcome.settled.workers = 1000;
        Answer::Welcome(welcome)
    }

    /// Welcomes, and answers each frame as `reply` says, for as long as the sender listens.
    fn repeat(&mut self, reply: impl Fn(&Frame) -> Vec<Frame>) {
        self.welcome();
        while let Some(frame) = self.frame() {
            let mut bytes = Vec::new();
            for frame in reply(&frame) {
                frame.encode(&mut bytes);
            }
            self.say(&bytes);
        }
    }

    /// The next frame; its payload is forgotten.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, head)) = decode(&self.heard).expect("the sender does not lie") {
                let payload = match &frame {
                    Frame::Foot(foot) => foot.packed_bytes as usize,
                    _ => 0,
                };
                if self.heard.len() >= head + payload {
                    self.heard.drain(..head + payload);
                    return Some(frame);
                }
            }
            more(&mut self.stream, &mut self.heard)?;
        }
    }

    fn hear_out(&mut self) {
        while more(&mut self.stream, &mut self.heard).is_some() {
            self.heard.clear();
        }
    }
}

fn more(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 64 << 10];
    let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
    heard.extend_from_slice(&chunk[..read]);
    Some(())
}

/// One of two ways leads to somebody who says that the session has fewer places than it has.
#[test]
fn a_stranger_cannot_say_how_many_connections_the_session_has() {
    let rx = harness::End::start("rx --plain -v 127.0.0.1:0");
    let relay = Relay::start(rx.ready().port());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let (lied, lies) = unbounded();
    thread::spawn(move || {
        for mut call in listener.incoming().map_while(Result::ok).filter_map(Call::answered) {
            call.answer(&refusal(RefusalKind::Workers, "so few"));
            let _ = lied.send(call.hello);
        }
    });
    let line = format!("tx --plain --workers 8 127.0.0.1:{} 127.0.0.1:{port}", relay.port);
    let mut pair = [harness::End::start(&line), rx];
    let up = |count| {
        pair[1].hears(|said| (said.matches("connection is up").count() >= count).then_some(()));
    };
    up(4);
    for _ in 0..8 {
        lies.recv_timeout(MARGIN).expect("it is dialled again and again");
    }
    relay.cut_all();
    up(8);
    assert_eq!(pair.each_mut().map(harness::End::code), [0, 0]);
}
