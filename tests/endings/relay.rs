//! A TCP relay between two ends: what can happen to a connection happens here when told, and it may read
//! along, frame by frame.
//!
//! Knows the frames' bounds only. Does not know what either end makes of what it does.

use super::{MARGIN, scatter};
use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use viamillipede::proto::frame::{Frame, decode};
use viamillipede::proto::hello::{Answer, Hello};

/// How soon a thread that waits for its socket notices what is to become of it.
const GLANCE: Duration = Duration::from_millis(10);
/// Bits flip in so many bytes at most once.
const FLIP_CHUNK: u64 = 64 << 10;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Bytes vanish, and nobody is told.
    Swallow,
    /// Bytes stay where they are.
    Stall,
    /// It ends in due form, wherever the stream is.
    End,
    /// The end that was dialled sees an end; the one that dialled sees and hears nothing more.
    HalfOpen,
    Reset,
}

const WAYS: [Way; 6] = [Way::Open, Way::Swallow, Way::Stall, Way::End, Way::HalfOpen, Way::Reset];

/// Receive buffer of a throttled relay's sockets, in bytes.
const NARROW: usize = 64 << 10;

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Drop,
    /// It is lost, and every connection with it.
    Cut,
}

/// Judges each frame; the payload of a foot may be changed.
pub type Judge = dyn Fn(&Frame, &mut [u8]) -> Fate + Send + Sync;

pub struct Relay {
    pub port: u16,
    wires: Arc<Wires>,
    hellos: Receiver<Hello>,
}

struct Wires {
    /// The connections that are up, or stalled, or believed to be.
    lines: Mutex<Vec<Arc<Line>>>,
    /// What becomes of new ones.
    weather: Line,
    /// Bytes a second that each direction of each connection passes; 0 is as fast as it can.
    rate: AtomicU64,
    /// One of so many [`FLIP_CHUNK`]s has a bit flipped; 0 is none.
    flip_one_in: AtomicU64,
    flips: AtomicU64,
    /// Wires there were so far: each flips other bits.
    seeds: AtomicU64,
    /// Bytes that the dialling end sent and that went on.
    passed: AtomicU64,
    /// Those that vanished.
    swallowed: AtomicU64,
    judge: Option<Box<Judge>>,
    hellos: Sender<Hello>,
}

/// One connection, through the relay.
#[derive(Default)]
struct Line {
    /// The place of its [`Way`] in [`WAYS`].
    way: AtomicU8,
    /// Bytes of the dialling end that went on.
    passed: AtomicU64,
}

impl Line {
    fn way(&self) -> Way {
        WAYS[usize::from(self.way.load(SeqCst))]
    }

    fn set(&self, way: Way) {
        self.way.store(way as u8, SeqCst);
    }
}

impl Relay {
    /// Passes bytes on as they come.
    pub fn start(to: u16) -> Relay {
        Relay::new(to, None)
    }

    /// Passes frames on as `judge` says.
    pub fn judging(
        to: u16,
        judge: impl Fn(&Frame, &mut [u8]) -> Fate + Send + Sync + 'static,
    ) -> Relay {
        Relay::new(to, Some(Box::new(judge)))
    }

    fn new(to: u16, judge: Option<Box<Judge>>) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (out, hellos) = unbounded();
        let wires = Arc::new(Wires {
            lines: Mutex::default(),
            weather: Line::default(),
            rate: AtomicU64::new(0),
            flip_one_in: AtomicU64::new(0),
            flips: AtomicU64::new(0),
            seeds: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            judge,
            hellos: out,
        });
        let shared = Arc::clone(&wires);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Where nobody listens any more, the caller sees its connection closed.
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                shared.join(near, far);
            }
        });
        Relay { port, wires, hellos }
    }

    /// Lets each connection pass so many bytes a second each way, and hold little on the way; for
    /// connections to come.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.wires.rate.store(bytes_per_second, SeqCst);
    }

    /// Flips a bit in one of so many chunks of 64 KiB.
    pub fn flip_one_in(&self, chunks: u64) {
        self.wires.flip_one_in.store(chunks, SeqCst);
    }

    /// Bits that were flipped so far.
    pub fn flips(&self) -> u64 {
        self.wires.flips.load(SeqCst)
    }

    /// Bytes of the dialling end that went through so far.
    pub fn passed_bytes(&self) -> u64 {
        self.wires.passed.load(SeqCst)
    }

    /// Bytes of the dialling end that vanished so far.
    pub fn swallowed_bytes(&self) -> u64 {
        self.wires.swallowed.load(SeqCst)
    }

    /// Lets this become of one of the connections that are open; says whether there was one.
    pub fn one(&self, choice: u64, way: Way) -> bool {
        let lines = self.wires.lines.lock().expect("no panics under it");
        let open: Vec<_> = lines.iter().filter(|line| line.way() == Way::Open).collect();
        let chosen = open.get(choice as usize % open.len().max(1));
        chosen.is_some_and(|line| {
            line.set(way);
            true
        })
    }

    /// Lets this become of the connection that has carried most: the one that is preferred.
    pub fn busiest(&self, way: Way) {
        let lines = self.wires.lines.lock().expect("no panics under it");
        let open = lines.iter().filter(|line| line.way() == Way::Open);
        let busiest = open.max_by_key(|line| line.passed.load(SeqCst));
        busiest.expect("a connection is open").set(way);
    }

    /// Lets this become of all connections that there are.
    pub fn all(&self, way: Way) {
        self.wires.all(way);
    }

    /// Lets this become of all connections that there are, and of those to come.
    pub fn weather(&self, way: Way) {
        self.wires.weather.set(way);
        self.wires.all(way);
    }

    /// Resets one of the connections that are open; says whether there was one.
    pub fn cut_one(&self, choice: u64) -> bool {
        self.one(choice, Way::Reset)
    }

    pub fn cut_all(&self) {
        self.wires.all(Way::Reset);
    }

    /// The next hello that passed through (only where frames are judged).
    pub fn hello(&self) -> Hello {
        self.hellos.recv_timeout(MARGIN).expect("a hello comes through")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.weather(Way::Reset);
    }
}

impl Wires {
    fn all(&self, way: Way) {
        for line in self.lines.lock().expect("no panics under it").iter() {
            // What has vanished does not come back.
            if matches!(line.way(), Way::Open | Way::Stall) || way == Way::Reset {
                line.set(way);
            }
        }
    }

    fn join(self: &Arc<Wires>, near: TcpStream, far: TcpStream) {
        let line = Arc::new(Line::default());
        line.set(self.weather.way());
        let mut lines = self.lines.lock().expect("no panics under it");
        lines.retain(|line| Arc::strong_count(line) > 1);
        lines.push(Arc::clone(&line));
        drop(lines);
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(GLANCE)).expect("a socket option");
            stream.set_write_timeout(Some(GLANCE)).expect("a socket option");
            stream.set_nodelay(true).expect("a socket option");
            if self.rate.load(SeqCst) > 0 {
                SockRef::from(stream).set_recv_buffer_size(NARROW).expect("a socket option");
            }
        }
        let (near, far) = (Arc::new(near), Arc::new(far));
        for (from, to, speaks_first) in
            [(Arc::clone(&near), Arc::clone(&far), true), (far, near, false)]
        {
            let (wires, line) = (Arc::clone(self), Arc::clone(&line));
            let seed = self.seeds.fetch_add(1, SeqCst);
            let wire = Wire { from, to, line, speaks_first, greeted: false, seed, offset: 0 };
            thread::spawn(move || wire.run(&wires));
        }
    }
}

/// One direction of one connection.
struct Wire {
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    line: Arc<Line>,
    speaks_first: bool,
    greeted: bool,
    seed: u64,
    offset: u64,
}

impl Wire {
    fn run(mut self, wires: &Wires) {
        let (mut held, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match self.line.way() {
                Way::Open | Way::Swallow => {}
                Way::Stall => {
                    thread::sleep(GLANCE); // the stall itself
                    continue;
                }
                Way::End => {
                    let _ = self.to.shutdown(Shutdown::Write);
                    return;
                }
                Way::HalfOpen if self.speaks_first => {
                    let _ = self.to.shutdown(Shutdown::Both);
                }
                Way::HalfOpen => return,
                Way::Reset => break,
            }
            let rate = wires.rate.load(SeqCst);
            let most = if rate == 0 { chunk.len() } else { (rate / 50) as usize + 1 };
            let most = most.min(chunk.len());
            let read = match (&*self.from).read(&mut chunk[..most]) {
                Ok(0) => {
                    if self.line.way() == Way::Open {
                        let _ = self.to.shutdown(Shutdown::Write);
                    }
                    return;
                }
                Ok(read) => read,
                Err(error) if is_glance(&error) => continue,
                Err(_) if self.line.way() == Way::Open => break,
                Err(_) => return,
            };
            if self.line.way() != Way::Open && self.line.way() != Way::Stall {
                if self.speaks_first {
                    wires.swallowed.fetch_add(read as u64, SeqCst);
                }
                continue;
            }
            self.flip(wires, &mut chunk[..read]);
            held.extend_from_slice(&chunk[..read]);
            while let Some(bytes) = self.part(wires, &mut held) {
                self.pass(&held[..bytes]);
                if self.speaks_first {
                    wires.passed.fetch_add(bytes as u64, SeqCst);
                    self.line.passed.fetch_add(bytes as u64, SeqCst);
                }
                held.drain(..bytes);
            }
            if rate > 0 {
                // The throttle itself.
                thread::sleep(Duration::from_secs_f64(read as f64 / rate as f64));
            }
        }
        // Closing with data on the way and no time to linger is a reset.
        self.line.set(Way::Reset);
        for stream in [&self.from, &self.to] {
            let _ = SockRef::from(&**stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Flips a bit here and there.
    fn flip(&mut self, wires: &Wires, bytes: &mut [u8]) {
        let (begin, end) = (self.offset, self.offset + bytes.len() as u64);
        self.offset = end;
        let one_in = wires.flip_one_in.load(SeqCst);
        if one_in == 0 || bytes.is_empty() {
            return;
        }
        for n in begin / FLIP_CHUNK..=(end - 1) / FLIP_CHUNK {
            let luck = scatter(n ^ self.seed << 32);
            let place = n * FLIP_CHUNK + scatter(luck) % FLIP_CHUNK;
            if luck.is_multiple_of(one_in) && (begin..end).contains(&place) {
                bytes[(place - begin) as usize] ^= 1 << (luck >> 61);
                wires.flips.fetch_add(1, SeqCst);
            }
        }
    }

    /// How many bytes may go on now.
    fn part(&mut self, wires: &Wires, held: &mut Vec<u8>) -> Option<usize> {
        let Some(judge) = &wires.judge else { return Some(held.len()).filter(|bytes| *bytes > 0) };
        if !self.greeted {
            let bytes = if self.speaks_first {
                let (hello, bytes) = Hello::decode(held).ok()??;
                let _ = wires.hellos.send(hello);
                bytes
            } else {
                Answer::decode(held).ok()??.1
            };
            self.greeted = true;
            return Some(bytes);
        }
        loop {
            let (frame, head) = decode(held).ok()??;
            let payload = match &frame {
                Frame::Foot(header) => header.packed_bytes as usize,
                _ => 0,
            };
            let whole = held.get_mut(..head + payload)?;
            match judge(&frame, &mut whole[head..]) {
                Fate::Pass => return Some(head + payload),
                Fate::Drop => drop(held.drain(..head + payload)),
                Fate::Cut => {
                    wires.all(Way::Reset);
                    self.line.set(Way::Reset);
                    return None;
                }
            }
        }
    }

    /// Bytes are held back while the connection stalls, and lost when anything worse becomes of it.
    fn pass(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.line.way() {
                Way::Open => match (&*self.to).write(bytes) {
                    Ok(written) => bytes = &bytes[written..],
                    Err(error) if is_glance(&error) => {}
                    Err(_) => self.line.set(Way::Reset),
                },
                Way::Stall => thread::sleep(GLANCE), // the stall itself
                _ => return,
            }
        }
    }
}

fn is_glance(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
