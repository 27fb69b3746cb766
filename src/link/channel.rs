//! What a connection is read and written through: a socket, or TLS over it.
//!
//! Never blocks. Any stream socket will do. Does not know what is said.

use crate::tls::session::{Read as Heard, Session};
use crate::tls::{Side, TlsError};
use socket2::Socket;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};

/// A connection, for one thread.
pub struct Channel {
    socket: Socket,
    session: Option<Box<Session>>,
    sent_bytes: u64,
    received_bytes: u64,
    /// TLS has said that nothing more comes.
    is_finished: bool,
}

impl Channel {
    /// A channel over this non-blocking stream socket; without a side, what is said is not protected.
    pub fn new(socket: Socket, side: Option<&Side>) -> io::Result<Channel> {
        let session = side.map(Session::new).transpose()?.map(Box::new);
        Ok(Channel { socket, session, sent_bytes: 0, received_bytes: 0, is_finished: false })
    }

    /// There are up to so many like this one, which share what memory they take.
    pub fn share(&mut self, connections: u16) {
        if let Some(session) = &mut self.session {
            session.share(connections);
        }
    }

    /// Goes on with the handshake, if there is one; `WouldBlock` until it is done.
    pub fn open(&mut self) -> io::Result<()> {
        while let Some(session) = &mut self.session {
            let opened = session.open();
            // A last word of the handshake, or why there is none.
            let flushed = self.flush();
            if opened? {
                return Ok(());
            }
            flushed?;
            if self.hear()? == 0 {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed in the handshake"));
            }
        }
        Ok(())
    }

    /// Reads into `first`, and what follows it into `rest`; 0 is the end. Inside TLS that is an end which
    /// the other end has declared; any other is an error.
    pub fn read(&mut self, first: &mut [u8], rest: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(session) = &mut self.session else {
                let mut places = [IoSliceMut::new(first), IoSliceMut::new(rest)];
                let read = (&self.socket).read_vectored(&mut places)?;
                self.received_bytes += read as u64;
                return Ok(read);
            };
            let heard = session.read(first, rest);
            // That there is no room is no error: it is tried again, and before anything else is written. Of any other
            // what was heard before, and what the session has against the other end, says more.
            let flushed = self.flush();
            match heard? {
                Heard::Bytes(bytes) => return Ok(bytes),
                Heard::Over => return Ok(0),
                Heard::Starved => match (self.hear(), flushed) {
                    (Ok(0), _) => return Err(TlsError::Cut.into()),
                    (Ok(_), _) => {}
                    (Err(_), Err(error)) if error.kind() != ErrorKind::WouldBlock => {
                        return Err(error);
                    }
                    (Err(error), _) => return Err(error),
                },
            }
        }
    }

    /// Writes of `first`, and then of `rest`, and says how much it took; that has gone to the kernel
    /// once the channel [is flushed](Channel::is_flushed).
    pub fn write(&mut self, first: &[u8], rest: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(session) = &mut self.session else {
            let written = match (first, rest) {
                (_, []) => (&self.socket).write(first)?,
                ([], _) => (&self.socket).write(rest)?,
                _ => (&self.socket).write_vectored(&[IoSlice::new(first), IoSlice::new(rest)])?,
            };
            self.sent_bytes += written as u64;
            return Ok(written);
        };
        let mut taken = session.write(first)?;
        if taken == first.len() {
            taken += session.write(rest)?;
        }
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(taken),
            flushed => flushed.map(|()| taken),
        }
    }

    /// Writes all of a short message; an error where the kernel has no room for it, as a new
    /// connection has.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut said = 0;
        while said < bytes.len() {
            said += self.write(&bytes[said..], &[])?;
        }
        self.flush()
    }

    /// Gives the kernel what it has not taken yet; `WouldBlock` if it does not take it all.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while !session.unsent().is_empty() {
            match (&self.socket).write(session.unsent()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    session.sent(sent);
                    self.sent_bytes += sent as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the kernel has all that was written.
    pub fn is_flushed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.unsent().is_empty())
    }

    /// Ends the way out, which TLS says, too; `WouldBlock` until the kernel has all of that, and then it is to be
    /// called again.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.session
            && !std::mem::replace(&mut self.is_finished, true)
        {
            session.finish()?;
        }
        self.flush()?;
        self.socket.shutdown(Shutdown::Write)
    }

    /// Goes on without TLS, where the other end does not speak it: what was heard of it.
    pub fn without_tls(&mut self) -> Vec<u8> {
        self.session.take().map(|session| session.into_heard()).unwrap_or_default()
    }

    /// Bytes that went to the kernel so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Bytes that went to the kernel or will: nothing can take them back.
    pub fn committed_bytes(&self) -> u64 {
        let unsent = self.session.as_ref().map_or(0, |session| session.unsent().len());
        self.sent_bytes + unsent as u64
    }

    /// Bytes that came from the kernel so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// One large read of ciphertext; 0 is the end.
    fn hear(&mut self) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return Ok(0) };
        let room = session.room()?;
        let read = loop {
            match (&self.socket).read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received_bytes += read as u64;
        session.heard(read)?;
        Ok(read)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the other end speaks our protocol, and without TLS.
pub fn is_plain(error: &io::Error) -> bool {
    matches!(TlsError::within(error), Some(TlsError::Plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use socket2::{Domain, Type};

    /// Both ends of a connection, inside TLS.
    fn pair() -> [Channel; 2] {
        let key = Key::generate().expect("random numbers");
        let sides = [Side::dialling(&key), Side::listening(&key)];
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("sockets");
        let mut sides = sides.into_iter().map(|side| side.expect("a side"));
        let mut ends = [near, far].map(|socket| {
            socket.set_nonblocking(true).expect("a socket option");
            Channel::new(socket, sides.next().as_ref()).expect("a channel")
        });
        while ends.each_mut().map(|end| end.open().is_ok()) != [true; 2] {}
        ends
    }

    fn is_full<T>(result: &io::Result<T>) -> bool {
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn an_end_that_the_kernel_has_no_room_for_is_said_when_it_has() {
        let [mut near, mut far] = pair();
        let mut sent = 0;
        loop {
            match near.write(&[7; 1 << 16], &[]) {
                Ok(written) => sent += written,
                full => break assert!(is_full(&full), "{full:?}"),
            }
        }
        let finished = near.finish();
        assert!(is_full(&finished), "{finished:?}");
        let (mut read, mut room) = (0, vec![0; 1 << 16]);
        loop {
            match far.read(&mut room, &mut []) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                starved => {
                    assert!(is_full(&starved), "{starved:?}");
                    let finished = near.finish();
                    assert!(finished.is_ok() || is_full(&finished), "{finished:?}");
                }
            }
        }
        assert_eq!(read, sent);
    }

    #[test]
    fn what_was_said_before_the_end_is_heard_though_nothing_can_be_written() {
        let [mut near, mut far] = pair();
        while near.write(&[7; 1 << 16], &[]).is_ok() {}
        far.say(b"why").expect("there is room");
        drop(far);
        near.write(&[7], &[]).expect_err("nobody is there");
        let mut heard = [0; 16];
        assert_eq!(near.read(&mut heard, &mut []).expect("it was said"), 3);
        assert_eq!(&heard[..3], b"why");
        assert!(near.read(&mut heard, &mut []).is_err(), "and that was all");
    }
}
