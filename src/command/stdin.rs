//! COMMAND's stdin as a sink.
//!
//! It succeeds when COMMAND has taken all of the stream and exited with 0. How long COMMAND takes, before
//! the end of its input or after it, is its own affair. Does not know what the stream means to it.

use super::{Program, Side};
use crate::cancel::wait;
use crate::error::Error;
use crate::sink::{Remains, Sink};
use crossbeam_channel::{Receiver, bounded};
use nix::poll::PollFlags;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

/// The stdin of a running COMMAND.
#[derive(Debug)]
pub struct Stdin {
    pipe: File,
    program: Program,
    failures: Receiver<Error>,
}

impl Stdin {
    /// Starts COMMAND, which is not empty.
    pub fn open(argv: &[OsString]) -> Result<Stdin, Error> {
        let name = argv.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        let (fail, failures) = bounded(1);
        let on_failure = move |error| drop(fail.try_send(error));
        let (program, pipe) = Program::start(&name, argv, Side::Stdin, on_failure)?;
        Ok(Stdin { pipe, program, failures })
    }

    /// Waits for room in the pipe, or for COMMAND's end.
    fn wait(&self) -> io::Result<()> {
        let room = (self.pipe.as_fd(), PollFlags::POLLOUT);
        wait(&mut [room, (self.program.exited.as_fd(), PollFlags::POLLIN)], None).map(drop)
    }
}

impl Sink for Stdin {
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let failed = |program: &Program, error| Error::io(program.name.clone(), error);
        while !bytes.is_empty() {
            if self.program.exited.is_cancelled() {
                return Err(self.program.refusal());
            }
            match self.pipe.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait().map_err(|error| failed(&self.program, error))?;
                }
                // The guardian reads it too, so both are gone, or soon will be: that is told by who waits.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.program.verdict()?;
                }
                Err(error) => return Err(failed(&self.program, error)),
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let Stdin { pipe, program, .. } = *self;
        program.commit();
        drop(pipe);
        program.verdict()
    }

    fn failures(&self) -> Receiver<Error> {
        self.failures.clone()
    }

    fn remains(&self) -> Remains {
        self.program.leash().into()
    }
}
