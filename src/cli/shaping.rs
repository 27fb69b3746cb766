//! What the connections of a transmitter keep to, as it is typed.
//!
//! Does not know how they do.

use super::ssh::refuse_said;
use clap::Args;
use viamillipede::config::{Rate, Shaping};
use viamillipede::error::Error;

#[derive(Args)]
#[command(next_help_heading = super::CONNECTIONS)]
pub(super) struct ShapingArgs {
    /// Write at most this many bytes a second to all connections together, with all that encryption
    /// adds; also in bits, as 200Mbit; @FILE is read again every second
    #[arg(long, visible_alias = "bwlimit", value_name = "BYTES", value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// TCP's congestion control for each connection, such as bbr [default: the system's]
    #[arg(long, value_name = "NAME")]
    congestion: Option<String>,
}

impl ShapingArgs {
    /// A receiver does not shape, unless it starts the transmitter too.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        let said = [("--rate", self.rate.is_some()), ("--congestion", self.congestion.is_some())];
        refuse_said(&said, "without --ssh the transmitter is told")
    }

    /// The same as [`Self::read`], for connections of a transmitter elsewhere.
    pub(super) fn read_for_far_end(self, workers: u16) -> Result<Shaping, Error> {
        if let Some(Rate::File(path)) = &self.rate {
            let cause = "the transmitter on HOST cannot read this file";
            let hint = "say the rate itself, such as --rate 20MB";
            return Err(Error::usage(format!("--rate @{}", path.display()), cause).with_hint(hint));
        }
        self.read(Some(workers))
    }

    /// What so many connections keep to; how many is not known where this end listens.
    pub(super) fn read(self, workers: Option<u16>) -> Result<Shaping, Error> {
        let ShapingArgs { rate, congestion } = self;
        if let (Some(rate), Some(workers)) = (&rate, workers) {
            rate.now_for(workers)?;
        }
        Ok(Shaping { rate, congestion })
    }
}
