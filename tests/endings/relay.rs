//! A TCP relay between two ends: it resets connections when told, and may read along, frame by frame.
//!
//! Knows the frames' bounds only. Does not know what either end makes of what it does.

use super::MARGIN;
use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use viamillipede::proto::frame::{Frame, decode};
use viamillipede::proto::hello::{Answer, Hello};

/// How soon a thread that waits for its socket notices that it is to reset it.
const GLANCE: Duration = Duration::from_millis(10);

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
    /// One flag for each connection that was up: once set, it is reset.
    cut: Mutex<Vec<Arc<AtomicBool>>>,
    judge: Option<Box<Judge>>,
    hellos: Sender<Hello>,
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
        let wires = Arc::new(Wires { cut: Mutex::default(), judge, hellos: out });
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

    /// Resets one of the connections that are up; says whether there was one.
    pub fn cut_one(&self, choice: u64) -> bool {
        let mut cut = self.wires.cut.lock().expect("no panics under it");
        cut.retain(|flag| !flag.load(SeqCst));
        let chosen = cut.get(choice as usize % cut.len().max(1));
        chosen.is_some_and(|flag| !flag.swap(true, SeqCst))
    }

    pub fn cut_all(&self) {
        self.wires.cut_all();
    }

    /// The next hello that passed through (only where frames are judged).
    pub fn hello(&self) -> Hello {
        self.hellos.recv_timeout(MARGIN).expect("a hello comes through")
    }
}

impl Wires {
    fn cut_all(&self) {
        for flag in self.cut.lock().expect("no panics under it").drain(..) {
            flag.store(true, SeqCst);
        }
    }

    fn join(self: &Arc<Wires>, near: TcpStream, far: TcpStream) {
        let flag = Arc::new(AtomicBool::new(false));
        self.cut.lock().expect("no panics under it").push(Arc::clone(&flag));
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(GLANCE)).expect("a socket option");
            stream.set_write_timeout(Some(GLANCE)).expect("a socket option");
            stream.set_nodelay(true).expect("a socket option");
        }
        let (near, far) = (Arc::new(near), Arc::new(far));
        for (from, to, speaks_first) in
            [(Arc::clone(&near), Arc::clone(&far), true), (far, near, false)]
        {
            let (wires, cut) = (Arc::clone(self), Arc::clone(&flag));
            thread::spawn(move || {
                let wire = Wire { from, to, cut, speaks_first, greeted: false };
                wire.run(&wires);
            });
        }
    }
}

/// One direction of one connection.
struct Wire {
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    cut: Arc<AtomicBool>,
    speaks_first: bool,
    greeted: bool,
}

impl Wire {
    fn run(mut self, wires: &Wires) {
        let (mut held, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        while !self.cut.load(SeqCst) {
            match (&*self.from).read(&mut chunk) {
                Ok(0) => {
                    let _ = self.to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) => held.extend_from_slice(&chunk[..read]),
                Err(error) if is_glance(&error) => continue,
                Err(_) => break,
            }
            while let Some(bytes) = self.part(wires, &mut held) {
                self.pass(&held[..bytes]);
                held.drain(..bytes);
            }
        }
        // Closing with data on the way and no time to linger is a reset.
        self.cut.store(true, SeqCst);
        for stream in [&self.from, &self.to] {
            let _ = SockRef::from(&**stream).set_linger(Some(Duration::ZERO));
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
                    wires.cut_all();
                    self.cut.store(true, SeqCst);
                    return None;
                }
            }
        }
    }

    fn pass(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.cut.load(SeqCst) {
            match (&*self.to).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_glance(&error) => {}
                Err(_) => self.cut.store(true, SeqCst),
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
