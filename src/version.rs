//! What this program is, for reports of bugs: its version, and what it was built with.
//!
//! Only what is known for certain: zstd tells its version, the other libraries do not, and those in
//! `Cargo.lock` need not be those of this build. Does not know who asks.

use crate::proto::hello::VERSIONS;
use crate::{codec, tls};
use std::env::consts::{ARCH, OS};
use std::sync::LazyLock;

/// The version of the program.
const SHORT: &str = env!("CARGO_PKG_VERSION");

static LONG: LazyLock<String> = LazyLock::new(|| {
    let (first, last) = (VERSIONS.start(), VERSIONS.end());
    let protocol = if first == last { first.to_string() } else { format!("{first} to {last}") };
    let zstd = codec::zstd_version();
    let tls = tls::describe();
    format!(
        "{SHORT}\n\
         protocol: {protocol}\n\
         compression: zstd {zstd}, lz4 (lz4_flex)\n\
         encryption: {tls}\n\
         platform: {OS} {ARCH}{LIBRARY}{BUILD}"
    )
});

/// The C library, where there are several.
const LIBRARY: &str = if cfg!(target_env = "gnu") {
    " gnu"
} else if cfg!(target_env = "musl") {
    " musl"
} else {
    ""
};

/// A build that is slow and has more checks says so.
const BUILD: &str = if cfg!(debug_assertions) { ", debug build" } else { "" };

/// The version, and under it a line `what: which` for each thing that two ends may differ in: the protocol,
/// compression, encryption, the platform. Without a last line end.
pub fn long() -> &'static str {
    &LONG
}
