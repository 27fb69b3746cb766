//! Settings with all that has a default, for programs that embed this library: the defaults of the command
//! line.
//!
//! Does not know what each setting means ([`super`]).

use super::{
    Common, DEFAULT_FOOT_BYTES, DEFAULT_PATIENCE, Input, Loop, MIN_FOOT_BYTES, Output, Packaging,
    Packing, ProgressMode, Records, Rendezvous, Rx, Security, Shaping, Tx, Verbosity, Workers,
    min_window_feet, window_bytes,
};
use crate::error::Error;
use crate::key::Key;

impl Tx {
    /// Transmits to whoever is met there.
    ///
    /// # Errors
    ///
    /// This machine has too little memory for a window.
    pub fn new(security: Security, rendezvous: Rendezvous) -> Result<Tx, Error> {
        let packaging = Packaging::default();
        let common = common(security, rendezvous.least_feet(), packaging.foot_bytes)?;
        let (input, shaping) = (Input::Stdin, Shaping::default());
        Ok(Tx { common, input, packaging, shaping, rendezvous })
    }
}

impl Rx {
    /// Receives from whoever is met there.
    ///
    /// # Errors
    ///
    /// This machine has too little memory for a window.
    pub fn new(security: Security, rendezvous: Rendezvous) -> Result<Rx, Error> {
        let common = common(security, rendezvous.least_feet(), MIN_FOOT_BYTES)?;
        Ok(Rx { common, output: Output::Stdout, rendezvous })
    }
}

impl Loop {
    /// Carries from here to here, under a key that is made for it.
    ///
    /// # Errors
    ///
    /// This machine has too little memory for a window, or no random numbers.
    pub fn new() -> Result<Loop, Error> {
        let (workers, packaging) = (Workers::default(), Packaging::default());
        let security = Security::Keyed(Key::generate()?);
        let common = common(security, min_window_feet(workers.at_first()), packaging.foot_bytes)?;
        let (input, output, shaping) = (Input::Stdin, Output::Stdout, Shaping::default());
        Ok(Loop { common, input, output, packaging, shaping, workers })
    }
}

impl Default for Packaging {
    /// No compression, the usual foot, a stream of any length.
    fn default() -> Packaging {
        Packaging { packing: Packing::None, foot_bytes: DEFAULT_FOOT_BYTES, size: None }
    }
}

fn common(security: Security, least_feet: u64, foot_bytes: u32) -> Result<Common, Error> {
    Ok(Common {
        window_bytes: window_bytes(None, least_feet, foot_bytes)?,
        verify: false,
        security,
        name: String::new(),
        patience: Some(DEFAULT_PATIENCE),
        progress: ProgressMode::Auto,
        verbosity: Verbosity::Normal,
        records: Records::default(),
    })
}
