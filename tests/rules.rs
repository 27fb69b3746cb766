//! The rules of the protocol, one story each: the real [`Sender`] and [`Receiver`], driven by hand
//! under a clock that only the stories move.
//!
//! A story is told to [`tx::Tx`] (a sender whose other end is played), to [`rx::Rx`] (a receiver
//! whose other end is played), or to [`pair::Pair`] (both, with lines between them). Rules 9 and 11 are
//! told in `wire`, rule 10 beside its code in `proto::flush`. Random sequences are not told here:
//! see `sim`.
//!
//! [`Sender`]: viamillipede::proto::sender::Sender
//! [`Receiver`]: viamillipede::proto::receiver::Receiver

#![expect(clippy::single_range_in_vec_init, reason = "acks carry lists of ranges, often of one")]

mod acks;
mod ending;
mod hostile;
mod limited;
mod pair;
mod progress;
mod reinjection;
mod retiring;
mod rx;
mod scheduling;
mod tx;

use std::time::Duration;
use viamillipede::foot::{Codec, FootHeader, MIN_FOOT_BYTES};
use viamillipede::proto::frame::End;

/// All feet of the stories are of this size, and full.
const FOOT: u32 = MIN_FOOT_BYTES;
const PATIENCE: Duration = Duration::from_secs(20);

fn foot(id: u64) -> FootHeader {
    FootHeader {
        id,
        offset: id * u64::from(FOOT),
        raw_bytes: FOOT,
        packed_bytes: FOOT,
        codec: Codec::Raw,
        check: [id as u8; 32],
    }
}

/// The end of a stream of so many full feet.
fn end(feet: u64) -> End {
    End { feet, bytes: feet * u64::from(FOOT), digest: None }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
