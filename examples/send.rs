//! Sends a file to where the other example, or `viamillipede rx`, waits.
//!
//! ```sh
//! VIAMILLIPEDE_KEY=vmkey1_… cargo run --example send -- FILE HOST:PORT
//! ```

use std::env;
use std::path::Path;
use std::process::ExitCode;
use viamillipede::config::{Dest, Input, Rendezvous, Tx, Workers};
use viamillipede::error::Error;
use viamillipede::key::{KeySource, Security};
use viamillipede::source::Source;
use viamillipede::tx::Delivered;
use viamillipede::{Ports, tx};

/// Sends the file; when this returns, the other end has all of it, verified and written.
pub fn send(file: &Path, address: &str, security: Security) -> Result<Delivered, Error> {
    // Several of these would be several ways to the same receiver.
    let dests = vec![Dest::parse(address)?];
    let mut settings = Tx::new(security, Rendezvous::dial(dests, Workers::default())?)?;
    settings.common.verify = true;

    let source = Source::open(&Input::File(file.into()))?;
    tx::run(&settings, source, Ports::default())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, address] = &arguments[..] else {
        eprintln!("send FILE HOST:PORT");
        return ExitCode::from(2);
    };
    // From the environment, as the program takes it.
    let key = KeySource::Unsaid { listens: false }.find();
    match key.and_then(|key| send(Path::new(file), address, key.security)) {
        Ok(Delivered { bytes, .. }) => {
            eprintln!("{bytes} bytes are delivered");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}
