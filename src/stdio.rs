//! The process's own stdin and stdout as the ends of a stream.
//!
//! Neither is ever made non-blocking: that would leak into whoever shares it. Does not know what flows
//! through them.

use crate::cancel::{Cancel, wait};
use crate::error::Error;
use crate::pipe;
use crate::sink::Sink;
use crossbeam_channel::{Receiver, bounded};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::PollFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::Builder;
use std::time::Duration;

static STDIN_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Looks whether stdin and stdout are closed, before Rust's runtime opens `/dev/null` in the place of
/// those that are: a stream would vanish in it, or come out of it empty, and both ends exit 0.
extern "C" fn look() {
    STDIN_CLOSED.store(fcntl(io::stdin().as_fd(), FcntlArg::F_GETFD).is_err(), Relaxed);
    STDOUT_CLOSED.store(fcntl(io::stdout().as_fd(), FcntlArg::F_GETFD).is_err(), Relaxed);
}

/// Has the system's loader call [`look`], which is the only time that is early enough.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[expect(
    unsafe_code,
    reason = "after the runtime's start nobody can tell a closed descriptor from /dev/null"
)]
static LOOK: extern "C" fn() = look;

/// Stdin, unbuffered.
pub fn stdin() -> Result<File, Error> {
    if STDIN_CLOSED.load(Relaxed) {
        return Err(Error::io("stdin", closed()));
    }
    let fd = io::stdin().as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|error| Error::io("stdin", error))
}

/// Takes both over for what is not a stream: from now on descriptor 0 leads nowhere and 1 to stderr, for us
/// and for the programs that we start.
pub fn take_over() -> Result<(File, File), Error> {
    let failed = |error| Error::io("stdin and stdout", error);
    let from = stdin()?;
    is_open().map_err(failed)?;
    let to = io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(failed)?;
    let nowhere = File::open("/dev/null").map_err(|error| Error::io("/dev/null", error))?;
    nix::unistd::dup2_stdin(nowhere).map_err(|error| failed(error.into()))?;
    nix::unistd::dup2_stdout(io::stderr()).map_err(|error| failed(error.into()))?;
    pipe::widen(&from);
    pipe::widen(&to);
    Ok((from, to))
}

/// What goes to descriptors 1 and 2, ours and those of the programs that we start, is passed on to stderr from here; and
/// to nobody once nobody is there: a program must not die of what it says.
#[derive(Debug)]
pub struct Relay {
    stderr: File,
    over: Cancel,
    /// Disconnected when all was passed on.
    passed_on: Receiver<()>,
}

impl Relay {
    /// Most bytes passed on at once.
    const CHUNK: usize = 64 << 10;

    /// From now on.
    pub fn start() -> Result<Relay, Error> {
        let failed = |error| Error::io("stderr", error);
        let (from, to) = io::pipe().map_err(failed)?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?);
        let copy_of_stderr = stderr.try_clone().map_err(failed)?;
        let over = Cancel::new().map_err(failed)?;
        let (passing, passed_on) = bounded::<()>(0);
        let cancel = over.clone();
        let pass = move || {
            pass_on(OwnedFd::from(from).into(), copy_of_stderr, &cancel);
            drop(passing);
        };
        Builder::new().name("stderr".into()).spawn(pass).map_err(failed)?;
        nix::unistd::dup2_stdout(&to).map_err(|error| failed(error.into()))?;
        nix::unistd::dup2_stderr(&to).map_err(|error| failed(error.into()))?;
        Ok(Relay { stderr, over, passed_on })
    }

    /// Passes on what was said so far, for at most `time`. Programs that are still there are not heard any more.
    pub fn finish(self, time: Duration) {
        // What we have to say from now on is not for a thread that ends.
        let _ = nix::unistd::dup2_stdout(&self.stderr);
        let _ = nix::unistd::dup2_stderr(&self.stderr);
        self.over.cancel();
        let _ = self.passed_on.recv_timeout(time);
    }
}

/// Copies until the end; or, once it is over, until there is nothing more.
fn pass_on(mut from: File, mut to: File, over: &Cancel) {
    let (mut chunk, mut is_heard) = (vec![0; Relay::CHUNK], true);
    loop {
        let mut wanted = [from.as_fd(), over.as_fd()].map(|fd| (fd, PollFlags::POLLIN));
        match wait(&mut wanted, None) {
            Ok([said, _]) if !said.is_empty() => {}
            _ => return,
        }
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(bytes) => is_heard = is_heard && to.write_all(&chunk[..bytes]).is_ok(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Told to the other end like any failure of the sink, so not when stdout is opened but when it is used.
fn is_open() -> io::Result<()> {
    if STDOUT_CLOSED.load(Relaxed) { Err(closed()) } else { Ok(()) }
}

fn closed() -> io::Error {
    io::Error::other("closed")
}

/// Stdout, unbuffered, whose closing is reported.
#[derive(Debug)]
pub struct Stdout {
    file: File,
}

impl Stdout {
    /// Takes stdout over: descriptor 1 leads nowhere from now on, so that nothing else can get into the
    /// stream, no later socket can become "stdout", and closing ours is the last close.
    pub fn open() -> Result<Stdout, Error> {
        let fd = io::stdout().as_fd().try_clone_to_owned();
        let file = File::from(fd.map_err(|error| Error::io("stdout", error))?);
        let nowhere = OpenOptions::new().write(true).open("/dev/null");
        let nowhere = nowhere.map_err(|error| Error::io("/dev/null", error))?;
        nix::unistd::dup2_stdout(nowhere).map_err(|error| Error::io("stdout", error.into()))?;
        pipe::widen(&file);
        Ok(Stdout { file })
    }
}

impl Sink for Stdout {
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        is_open().map_err(failed)?;
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody who shares it has made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let room = (self.file.as_fd(), PollFlags::POLLOUT);
                    wait(&mut [room], None).map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Reports what the close says: some file systems tell of a full disk only then.
    fn close(self: Box<Self>) -> Result<(), Error> {
        is_open().map_err(failed)?;
        nix::unistd::close(self.file.into_raw_fd()).map_err(|error| failed(error.into()))
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("stdout", error)
}
