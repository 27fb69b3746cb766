//! Connections through the ssh session itself, one at a time, between packets of what the two ends say
//! about each other.
//!
//! A connection is a socket whose other end somebody has: threads copy between it and the pipes to ssh. The
//! near end opens connections, the far end leads each to its own port. What is said over them is none of
//! the tunnel's business.

use super::packet::{self, MAX_CHUNK_BYTES, Packet, WORDS};
use socket2::Socket;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// One end of the ssh session. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tunnel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Towards the other end, until we have hung up; held while one packet is written, which may take long.
    out: Mutex<Option<File>>,
    current: Mutex<Current>,
}

/// The newest connection.
#[derive(Debug, Default)]
struct Current {
    /// Its number; the first is 1.
    number: u32,
    socket: Option<Arc<Socket>>,
    /// There will be no others.
    is_over: bool,
}

impl Tunnel {
    /// A tunnel that sends through `out`.
    pub fn new(out: File) -> Tunnel {
        Tunnel(Arc::new(Shared { out: Mutex::new(Some(out)), current: Mutex::default() }))
    }

    /// Tells the other end something; may block.
    pub fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.send(WORDS, bytes)
    }

    /// Says goodbye, which is to say nothing, and closes the way to the other end; may block.
    pub fn hang_up(&self) {
        let _ = self.say(&[]);
        *self.out() = None;
    }

    /// Opens a connection in the place of the one before; the other end of the socket is ours.
    pub fn open(&self) -> io::Result<Socket> {
        let (theirs, ours) = UnixStream::pair()?;
        let number = {
            let mut current = self.current();
            if current.is_over {
                return Err(io::Error::new(ErrorKind::BrokenPipe, "the ssh session has ended"));
            }
            let number = current.number + 1;
            current.replace(number, Arc::new(ours.into()));
            number
        };
        self.copy_out(number)?;
        Ok(theirs.into())
    }

    /// Passes on what came in: for the connection, or to a new one that `connect` makes.
    pub fn deliver(&self, packet: &Packet, connect: impl FnOnce() -> io::Result<Socket>) {
        let socket = match self.find(packet, connect) {
            Ok(Some(socket)) => socket,
            Ok(None) => return, // of a connection that was given up
            Err(_) => {
                // Who opened it sees it closed, and opens another.
                let _ = self.send(packet.conversation, &[]);
                return;
            }
        };
        if packet.bytes.is_empty() {
            let _ = socket.shutdown(Shutdown::Write);
        } else if (&*socket).write_all(&packet.bytes).is_err() {
            // Nobody is there any more: that is told in the other direction.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Whether there will be no connections any more.
    pub fn is_over(&self) -> bool {
        self.current().is_over
    }

    /// Closes the connection; there will be no others.
    pub fn end(&self) {
        let mut current = self.current();
        current.is_over = true;
        if let Some(socket) = current.socket.take() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn find(
        &self,
        packet: &Packet,
        connect: impl FnOnce() -> io::Result<Socket>,
    ) -> io::Result<Option<Arc<Socket>>> {
        let mut current = self.current();
        if packet.conversation > current.number {
            // Even if it fails: what still comes of this one has nowhere to go.
            current.number = packet.conversation;
            current.replace(packet.conversation, Arc::new(connect()?));
            drop(current);
            self.copy_out(packet.conversation)?;
            current = self.current();
        }
        Ok(current.socket.clone().filter(|_| packet.conversation == current.number))
    }

    /// Copies what the connection says to the other end, on a thread of its own.
    fn copy_out(&self, number: u32) -> io::Result<()> {
        let Some(socket) = self.current().socket.clone() else { return Ok(()) };
        let tunnel = self.clone();
        let copy = move || {
            let mut chunk = vec![0; MAX_CHUNK_BYTES];
            loop {
                let bytes = match (&*socket).read(&mut chunk) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    result => result.unwrap_or(0),
                };
                // Without bytes it says that the connection is closed.
                if tunnel.send(number, &chunk[..bytes]).is_err() || bytes == 0 {
                    return;
                }
            }
        };
        thread::Builder::new().name("tunnel".into()).spawn(copy).map(drop)
    }

    fn send(&self, conversation: u32, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out();
        let out = out.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        packet::send(out, conversation, bytes)
    }

    fn out(&self) -> MutexGuard<'_, Option<File>> {
        self.0.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn replace(&mut self, number: u32, socket: Arc<Socket>) {
        self.number = number;
        if let Some(older) = self.socket.replace(socket) {
            let _ = older.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    /// A tunnel whose other end answers each connection as `serve` does.
    fn tunnel(serve: fn(Socket)) -> Tunnel {
        let (here, there) = UnixStream::pair().expect("descriptors");
        carry(there, move || {
            let (theirs, ours) = UnixStream::pair()?;
            thread::spawn(move || serve(theirs.into()));
            Ok(ours.into())
        });
        carry(here, || Err(ErrorKind::Unsupported.into()))
    }

    /// One end of the tunnel, with the thread that reads.
    fn carry(
        stream: UnixStream,
        connect: impl Fn() -> io::Result<Socket> + Send + 'static,
    ) -> Tunnel {
        let mut from = stream.try_clone().expect("a descriptor");
        let tunnel = Tunnel::new(File::from(OwnedFd::from(stream)));
        let inner = tunnel.clone();
        thread::spawn(move || {
            while let Ok(Some(packet)) = packet::receive(&mut from, 0) {
                inner.deliver(&packet, &connect);
            }
        });
        tunnel
    }

    fn say_and_hear(tunnel: &Tunnel, text: &[u8]) -> Vec<u8> {
        let socket = tunnel.open().expect("it has not ended");
        (&socket).write_all(text).expect("somebody reads");
        socket.shutdown(Shutdown::Write).expect("it is open");
        let mut heard = Vec::new();
        (&socket).read_to_end(&mut heard).expect("it is answered");
        heard
    }

    #[test]
    fn a_connection_carries_both_ways_and_is_followed_by_another() {
        let near = tunnel(|socket| {
            let mut heard = Vec::new();
            (&socket).read_to_end(&mut heard).expect("it comes");
            heard.reverse();
            (&socket).write_all(&heard).expect("it goes");
        });
        assert_eq!(say_and_hear(&near, b"abc"), b"cba");
        let long: Vec<u8> = (0..1_000_000u32).map(|it| it as u8).collect();
        let back = say_and_hear(&near, &long);
        assert!(back.iter().eq(long.iter().rev()));
    }

    #[test]
    fn a_connection_that_the_far_end_drops_is_closed_here() {
        let near = tunnel(drop);
        assert_eq!(say_and_hear(&near, b"").len(), 0);
        near.end();
        assert!(near.open().is_err());
    }
}
