//! What may be said to `prbs`.
//!
//! Does not know how the stream is made ([`viamillipede::prbs`]).

use super::Request;
use clap::Args;
use viamillipede::config::bytes::parse_bytes;
use viamillipede::prbs::Prbs;

#[derive(Args)]
pub(super) struct PrbsArgs {
    /// Verify the stream on stdin instead of writing it to stdout; the first wrong byte is told
    #[arg(long)]
    check: bool,
    /// Which of the streams
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Its length; without it the stream has no end, and one of any length is right
    #[arg(short, long, value_name = "BYTES", value_parser = parse_bytes)]
    size: Option<u64>,
}

impl PrbsArgs {
    pub(super) fn request(self) -> Request {
        let PrbsArgs { check, seed, size } = self;
        Request::Prbs { check, stream: Prbs { seed, size } }
    }
}
