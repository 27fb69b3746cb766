//! COMMAND's stdin as a sink.
//!
//! It succeeds when COMMAND has taken all of the stream and exited with 0. How long COMMAND takes, before
//! the end of its input or after it, is its own affair. Does not know what the stream means to it.

use super::{Leash, Program, Side};
use crate::cancel::wait;
use crate::error::Error;
use crate::sink::{Remains, Sink};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::PollFlags;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

/// Something that must be there once the stream has begun.
const STARTED: &str = "a sink is started before it is written to";

/// The stdin of a COMMAND, which is started when the stream begins.
#[derive(Debug)]
pub struct Stdin {
    argv: Vec<OsString>,
    running: Option<Running>,
    /// Whoever clears up holds it from the beginning.
    leash: Arc<OnceLock<Leash>>,
    fail: Sender<Error>,
    failures: Receiver<Error>,
}

/// The stdin of a running COMMAND.
#[derive(Debug)]
struct Running {
    pipe: File,
    program: Program,
}

impl Stdin {
    /// That of this COMMAND, which is not empty.
    pub fn new(argv: Vec<OsString>) -> Stdin {
        // COMMAND fails once.
        let (fail, failures) = bounded(1);
        Stdin { argv, running: None, leash: Arc::default(), fail, failures }
    }
}

impl Running {
    fn write_all(&self, mut bytes: &[u8]) -> Result<(), Error> {
        let failed = |error| Error::io(self.program.name.clone(), error);
        while !bytes.is_empty() {
            if self.program.exited.is_cancelled() {
                return Err(self.program.refusal());
            }
            match (&self.pipe).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait().map_err(failed)?;
                }
                // The guardian reads it too, so both are gone, or soon will be: that is told by who waits.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.program.verdict()?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Waits for room in the pipe, or for COMMAND's end.
    fn wait(&self) -> io::Result<()> {
        let room = (self.pipe.as_fd(), PollFlags::POLLOUT);
        wait(&mut [room, (self.program.exited.as_fd(), PollFlags::POLLIN)], None).map(drop)
    }
}

impl Sink for Stdin {
    fn start(&mut self) -> Result<(), Error> {
        let name = self.argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        let fail = self.fail.clone();
        let on_failure = move |error| drop(fail.try_send(error));
        let (program, pipe) = Program::start(&name, &self.argv, Side::Stdin, on_failure)?;
        // It is started once.
        let _ = self.leash.set(program.leash());
        self.running = Some(Running { pipe, program });
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.running.as_ref().expect(STARTED).write_all(bytes)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let Running { pipe, program } = self.running.expect(STARTED);
        program.commit();
        drop(pipe);
        program.verdict()
    }

    fn failures(&self) -> Receiver<Error> {
        self.failures.clone()
    }

    fn remains(&self) -> Remains {
        let leash = Arc::clone(&self.leash);
        Remains::new(move || {
            if let Some(leash) = leash.get() {
                leash.end();
            }
        })
    }
}
