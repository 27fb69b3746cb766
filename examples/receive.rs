//! Waits for a stream and puts it into a new file, which has its name only once it is whole.
//!
//! ```sh
//! cargo run --example receive -- FILE PORT
//! ```
//!
//! The key is in `VIAMILLIPEDE_KEY`; where there is none, a new one is shown.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use viamillipede::config::{Listen, Output, Rendezvous, Rx};
use viamillipede::error::Error;
use viamillipede::key::{KeySource, Security};
use viamillipede::tx::Delivered;
use viamillipede::{Ports, rx, sink};

/// Receives one stream into the file; `ready` hears where this end waits.
pub fn receive(
    file: &Path,
    listen: &str,
    security: Security,
    ready: &mut dyn FnMut(&[SocketAddr]),
) -> Result<Delivered, Error> {
    let settings = Rx::new(security, Rendezvous::Listen(vec![Listen::parse(listen)?]))?;
    let sink = sink::open(&Output::File { path: file.into(), replaces: false })?;
    rx::run(&settings, sink, Ports::default().announced(ready))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, listen] = &arguments[..] else {
        eprintln!("receive FILE PORT");
        return ExitCode::from(2);
    };
    let received = KeySource::Unsaid { listens: true }.find().and_then(|found| {
        if let (Security::Keyed(key), true) = (&found.security, found.is_new) {
            eprintln!("the other end needs this key: {}", *key.text());
        }
        let mut ready = |all: &[SocketAddr]| eprintln!("waiting at {all:?}");
        receive(Path::new(file), listen, found.security, &mut ready)
    });
    match received {
        Ok(Delivered { bytes, .. }) => {
            eprintln!("{bytes} bytes are in {file}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}
