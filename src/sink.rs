//! Where a stream goes, whatever it is.
//!
//! A sink is opened before the ends have met, and started when they have, so that what goes wrong then is
//! told at both. It is written to and closed on a thread of its own, which may be stuck in the kernel when
//! the run ends: so what must not stay behind then, its [`Remains`], is held apart. Does not know where the
//! stream comes from.

use crate::command;
use crate::config::Output;
use crate::error::Error;
use crate::output;
use crate::stdio::Stdout;
use crossbeam_channel::{Receiver, never};
use std::io::Write;

/// Where a stream goes.
pub trait Sink: Send {
    /// The ends have met: called once, before all else.
    fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Takes all of these bytes; may block as long as it likes.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Closes it; only when this succeeds the stream is delivered.
    fn close(self: Box<Self>) -> Result<(), Error>;

    /// Hears of a failure that nobody asked for, as soon as it comes. For programs: others leave it as it is.
    #[doc(hidden)]
    fn failures(&self) -> Receiver<Error> {
        never()
    }

    /// What stays behind when the stream does not become whole. For files and programs.
    #[doc(hidden)]
    fn remains(&self) -> Remains {
        Remains::none()
    }
}

/// Opens the sink that was asked for.
pub fn open(output: &Output) -> Result<Box<dyn Sink>, Error> {
    Ok(match output {
        Output::Stdout => Box::new(Stdout::open()?),
        Output::File { path, replaces } => output::open(path, *replaces)?,
        Output::Command(argv) => Box::new(command::Stdin::new(argv.clone())),
    })
}

/// A sink that gives all to this writer, and flushes it at the end; errors call it `name`.
///
/// What it was given is the stream only once the run has succeeded, and else a part of it.
pub fn of_writer(name: impl Into<String>, writer: impl Write + Send + 'static) -> Box<dyn Sink> {
    Box::new(Writer { name: name.into(), writer })
}

struct Writer<W> {
    name: String,
    writer: W,
}

impl<W: Write + Send> Sink for Writer<W> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_all(bytes).map_err(|error| Error::io(&self.name, error))
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.writer.flush().map_err(|error| Error::io(&self.name, error))
    }
}

/// What an end leaves behind, taken away when this is dropped: of a sink that has succeeded, nothing.
#[must_use]
#[doc(hidden)]
pub struct Remains(Option<Box<dyn FnOnce() + Send>>);

impl Remains {
    /// Nothing.
    pub fn none() -> Remains {
        Remains(None)
    }

    /// What this takes away. It must do nothing after a sink's success, and not take long.
    pub fn new(clear: impl FnOnce() + Send + 'static) -> Remains {
        Remains(Some(Box::new(clear)))
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if let Some(clear) = self.0.take() {
            clear();
        }
    }
}
