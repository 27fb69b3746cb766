//! The process's own stdin and stdout as the ends of a stream.
//!
//! Neither is ever made non-blocking: that would leak into whoever shares it. Does not know what flows
//! through them.

use crate::error::Error;
use crate::pipe;
use crate::rx::Sink;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, IntoRawFd};

/// Stdin, unbuffered.
pub fn stdin() -> Result<File, Error> {
    let fd = io::stdin().as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|error| Error::io("stdin", error))
}

/// Stdout, unbuffered, whose closing is reported.
#[derive(Debug)]
pub struct Stdout {
    file: File,
}

impl Stdout {
    /// Takes stdout over: nothing else may write to it.
    pub fn open() -> Result<Stdout, Error> {
        let fd = io::stdout().as_fd().try_clone_to_owned();
        let file = File::from(fd.map_err(|error| Error::io("stdout", error))?);
        pipe::widen(&file);
        Ok(Stdout { file })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Stdout {
    fn name(&self) -> String {
        "stdout".to_owned()
    }

    /// Closes every descriptor of ours for it, and reports what the last close says.
    fn close(self: Box<Self>) -> io::Result<()> {
        // Descriptor 1 stays taken, so that no later socket can become "stdout".
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        nix::unistd::dup2_stdout(nowhere)?;
        Ok(nix::unistd::close(self.file.into_raw_fd())?)
    }
}
