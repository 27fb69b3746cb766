//! Keys as a protection: between strangers and a stream, with real processes.
//!
//! Ends that have not the same key, or only one of them any, never come together and say why; whoever
//! is on the way reads nothing, and changes nothing but the time it takes. Does not know how TLS does it.

pub mod between;
mod hostile;
pub mod intruder;
mod meddled;
mod mistaken;
mod secret;

use crate::endings::process::{End, Ended};
use std::process::{Command, Stdio};

/// Another key than everybody else's.
pub fn other_key() -> String {
    let keygen = Command::new(crate::harness::PROGRAM).arg("keygen").stdin(Stdio::null()).output();
    String::from_utf8(keygen.expect("the program starts").stdout).expect("a key is text")
}

/// How an end ended that was given all the time it may need.
fn ended(end: &mut End) -> Ended {
    end.ended(crate::endings::SHORT).expect("it ends")
}
