//! How a transmitter makes and packs feet, as it is typed.
//!
//! Does not pack.

use super::ssh::refuse_said;
use super::values::{parse_foot_size, parse_level};
use clap::Args;
use viamillipede::config::bytes::parse_bytes;
use viamillipede::config::{DEFAULT_FOOT_BYTES, Packaging, Packing};
use viamillipede::error::Error;

/// Over these options in the help.
pub(super) const PACKING: &str = "Packing";

#[derive(Args)]
#[command(next_help_heading = PACKING)]
pub(super) struct PackingArgs {
    /// Compress with zstd, levels -7 to 19; the next argument is LEVEL only if it is an integer
    #[arg(short = 'z', long, value_name = "LEVEL", value_parser = parse_level)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "3")]
    zstd: Option<i32>,
    /// Compress with lz4
    #[arg(long, conflicts_with = "zstd")]
    lz4: bool,
    /// Compress not at all or with zstd, each foot by what holds the stream up now
    #[arg(long, conflicts_with_all = ["zstd", "lz4"])]
    adapt: bool,
    /// The work block: a power of two, 64KiB to 16MiB [default: 1MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_foot_size)]
    foot_size: Option<u32>,
    /// Expected size of the stream, for percent and ETA only
    #[arg(short, long, value_name = "BYTES", value_parser = parse_bytes)]
    size: Option<u64>,
}

impl PackingArgs {
    /// A receiver does not pack, unless it starts the transmitter too.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        let said = [
            ("--zstd", self.zstd.is_some()),
            ("--lz4", self.lz4),
            ("--adapt", self.adapt),
            ("--foot-size", self.foot_size.is_some()),
            ("--size", self.size.is_some()),
        ];
        refuse_said(&said, "without --ssh the transmitter is told")
    }
}

/// How it is to be packed; not at all where nothing was said.
pub(super) fn packaging(args: &PackingArgs) -> Packaging {
    let packing = match args.zstd {
        Some(level) => Packing::Zstd(level),
        None if args.lz4 => Packing::Lz4,
        None if args.adapt => Packing::Adapt,
        None => Packing::None,
    };
    let foot_bytes = args.foot_size.unwrap_or(DEFAULT_FOOT_BYTES);
    Packaging { packing, foot_bytes, size: args.size }
}
