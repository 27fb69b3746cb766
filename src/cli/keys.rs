//! Keys on the command line: which file they are in, and never they themselves.
//!
//! Does not read files ([`viamillipede::key`]).

use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use viamillipede::config::{self, Command, Security};
use viamillipede::error::Error;
use viamillipede::key::text::holds_key;
use viamillipede::key::{Found, KeySource};

#[derive(Args)]
pub(super) struct KeyArgs {
    /// The key is in FILE; else it is in the environment, as VIAMILLIPEDE_KEY; else an end that waits
    /// makes one for this session and prints it
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    key_file: Option<PathBuf>,
    /// Neither encryption nor authentication; must be said at both ends
    #[arg(long)]
    plain: bool,
}

/// A run whose key is yet to be looked for; only with it is there a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkeyed {
    command: Command,
    key: KeySource,
}

impl KeyArgs {
    /// Where the key of an end is that `listens` or dials.
    pub(super) fn source(&self, listens: bool) -> KeySource {
        match &self.key_file {
            Some(path) => KeySource::File(path.clone()),
            None if self.plain => KeySource::Plain,
            None => KeySource::Unsaid { listens },
        }
    }

    /// Where the key is of two ends of which nobody has to tell the other.
    pub(super) fn source_of_both(&self) -> KeySource {
        match self.source(true) {
            KeySource::Unsaid { .. } => KeySource::Own,
            said => said,
        }
    }
}

impl Unkeyed {
    pub(super) fn new(command: Command, key: KeySource) -> Unkeyed {
        Unkeyed { command, key }
    }

    /// Where it will be looked for.
    #[cfg(test)]
    pub fn source(&self) -> &KeySource {
        &self.key
    }

    /// Looks for the key: the run, and what was found. Refuses a run whose files are in each other's place.
    pub fn find_key(self) -> Result<(Command, Found), Error> {
        config::files::check(&self.command, self.key.file())?;
        let found = self.key.find()?;
        Ok((self.keyed(found.security.clone()), found))
    }

    fn keyed(mut self, security: Security) -> Command {
        let common = match &mut self.command {
            Command::Tx(tx) => &mut tx.common,
            Command::Rx(rx) => &mut rx.common,
            Command::Loop(both) => &mut both.common,
            Command::Ssh(ssh) => ssh.common_mut(),
        };
        common.security = security;
        self.command
    }
}

/// Refuses arguments of ours that hold a key, without repeating it: every user of this machine can
/// read them, as can whoever reads the shell's history.
pub(super) fn refuse_keys(arguments: &[OsString]) -> Result<(), Error> {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    match ours.map(|argument| argument.as_encoded_bytes()).any(holds_key) {
        false => Ok(()),
        true => Err(Error::usage("arguments", "a key is among them, where others can read it")
            .with_hint("make a new one; say --key-file FILE, or set VIAMILLIPEDE_KEY")),
    }
}
