//! What we and the guardian say to each other, over a socket that nobody else has.
//!
//! We hand over the pipe's ends, and later say [`COMMIT`], or close the socket. The guardian's words all
//! have one length. Does not know what follows from a word.

use nix::sys::signal;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Says that the stream is whole.
pub(super) const COMMIT: u8 = b'c';
/// Goes along with descriptors, which cannot go alone.
const ENDS: u8 = b'e';
/// Most descriptors that are handed over.
const MOST_ENDS: usize = 2;

/// What the guardian says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The program runs, in the process group of this number.
    Started(i32),
    /// It could not be started: the number of the system's error.
    NotStarted(i32),
    /// It has ended.
    Exited(Status),
    /// It has ended well, the stream is whole, and this many bytes of it were not read.
    Unread(u64),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Code(i32),
    Signal(i32),
}

const WORD_BYTES: usize = 9;

impl Word {
    pub(super) fn say(self, to: &UnixStream) -> io::Result<()> {
        let of = |number: i32| u64::from(number.cast_unsigned());
        let (kind, value) = match self {
            Word::Started(pid) => (b's', of(pid)),
            Word::NotStarted(number) => (b'n', of(number)),
            Word::Exited(Status::Code(code)) => (b'x', of(code)),
            Word::Exited(Status::Signal(signal)) => (b'k', of(signal)),
            Word::Unread(bytes) => (b'u', bytes),
        };
        let mut word = [kind; WORD_BYTES];
        word[1..].copy_from_slice(&value.to_le_bytes());
        { to }.write_all(&word)
    }

    /// Waits for the next word; none when the guardian is gone.
    pub(super) fn hear(from: &UnixStream) -> io::Result<Option<Word>> {
        let mut word = [0; WORD_BYTES];
        match { from }.read_exact(&mut word) {
            Ok(()) => {}
            // The second where it has not read all that was said to it.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
        let [kind, value @ ..] = word;
        let value = u64::from_le_bytes(value);
        let number = (value as u32).cast_signed();
        Ok(match kind {
            b's' => Some(Word::Started(number)),
            b'n' => Some(Word::NotStarted(number)),
            b'x' => Some(Word::Exited(Status::Code(number))),
            b'k' => Some(Word::Exited(Status::Signal(number))),
            b'u' => Some(Word::Unread(value)),
            _ => None,
        })
    }
}

impl Status {
    pub(super) fn is_success(self) -> bool {
        self == Status::Code(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Status::Code(code) => write!(f, "exit status {code}"),
            Status::Signal(number) => match signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// Gives copies of descriptors to the guardian.
pub(super) fn hand_over(to: &UnixStream, ends: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_ENDS))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    assert!(along.push(SendAncillaryMessage::ScmRights(ends)), "there is room for all of them");
    sendmsg(to, &[IoSlice::new(&[ENDS])], &mut along, SendFlags::empty())?;
    Ok(())
}

/// Takes the descriptors that [`hand_over`] gave; none when nobody gives any more.
pub(super) fn take_over(from: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_ENDS))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    recvmsg(from, &mut [IoSliceMut::new(&mut [0])], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    let mut ends = Vec::new();
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            ends.extend(rights);
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_arrives() {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        let words = [
            Word::Started(i32::MAX),
            Word::NotStarted(2),
            Word::Exited(Status::Code(255)),
            Word::Exited(Status::Signal(9)),
            Word::Unread(1 << 40),
        ];
        for word in words {
            word.say(&theirs).expect("there is room");
            assert_eq!(Word::hear(&ours).expect("it was said"), Some(word));
        }
        drop(theirs);
        assert_eq!(Word::hear(&ours).expect("an end is no error"), None);
    }

    #[test]
    fn a_status_is_told_in_words() {
        assert_eq!(Status::Code(3).to_string(), "exit status 3");
        assert_eq!(Status::Signal(9).to_string(), "killed by SIGKILL");
        assert_eq!(Status::Signal(60).to_string(), "killed by signal 60");
    }

    #[test]
    fn descriptors_are_handed_over() {
        let (ours, theirs) = UnixStream::pair().expect("descriptors");
        let (mut reader, writer) = io::pipe().expect("descriptors");
        hand_over(&ours, &[std::os::fd::AsFd::as_fd(&writer)]).expect("there is room");
        drop(writer);
        let ends = take_over(&theirs).expect("it was given");
        let [end] = <[OwnedFd; 1]>::try_from(ends).expect("one was given");
        std::fs::File::from(end).write_all(b"x").expect("a pipe has room");
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("text");
        assert_eq!(read, "x");
    }
}
