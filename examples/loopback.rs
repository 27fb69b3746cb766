//! Both ends in this process, from memory to memory: how a program that embeds the library may test itself.
//!
//! ```sh
//! cargo run --example loopback
//! ```

use std::io::{self, Cursor, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use viamillipede::config::{Loop, Packing};
use viamillipede::error::Error;
use viamillipede::source::Source;
use viamillipede::{Ports, both, sink};

/// A writer whose bytes can be had when it is gone: the run takes one clone, and drops it when it likes.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Carries the bytes over 127.0.0.1, compressed, and under a key that is made for it; returns what came out.
pub fn carry(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let mut settings = Loop::new()?;
    settings.packaging.packing = Packing::Zstd(3);
    settings.common.verify = true;

    let source = Source::of_reader("memory", Cursor::new(bytes));
    let memory = Memory::default();
    let sink = sink::of_writer("memory", memory.clone());
    both::run(&settings, source, sink, Ports::default())?;
    Ok(std::mem::take(&mut *memory.0.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn main() -> ExitCode {
    let bytes = b"foot after foot ".repeat(1 << 20);
    match carry(bytes.clone()) {
        Ok(came_out) if came_out == bytes => {
            eprintln!("{} bytes went in and came out", bytes.len());
            ExitCode::SUCCESS
        }
        Ok(_) => unreachable!("a run that succeeds has delivered the stream"),
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}
