//! Values of options, and what is wrong with them.
//!
//! Does not know which options take them.

use std::time::Duration;
use viamillipede::config::bytes::{format_bytes, parse_bytes};
use viamillipede::config::{self, MAX_FOOT_BYTES, MIN_FOOT_BYTES};

/// How long to wait; none is for ever. (clap would read an `Option<Option<_>>` its own way.)
#[derive(Clone, Copy)]
pub(super) struct Patience(pub(super) Option<Duration>);

pub(super) fn parse_level(text: &str) -> Result<i32, String> {
    let level = text.parse().ok().filter(|level| config::ZSTD_LEVELS.contains(level));
    level.ok_or_else(|| "not a level from -7 to 19".into())
}

pub(super) fn parse_foot_size(text: &str) -> Result<u32, String> {
    let foot = u32::try_from(parse_bytes(text)?).ok();
    let limits = MIN_FOOT_BYTES..=MAX_FOOT_BYTES;
    let foot = foot.filter(|foot| foot.is_power_of_two() && limits.contains(foot));
    foot.ok_or_else(|| {
        let (least, most) =
            (format_bytes(MIN_FOOT_BYTES.into()), format_bytes(MAX_FOOT_BYTES.into()));
        format!("not a power of two from {least} to {most}")
    })
}

pub(super) fn parse_name(text: &str) -> Result<String, String> {
    match text.len() {
        0..=config::MAX_NAME_BYTES => Ok(text.into()),
        length => Err(format!("{length} bytes, more than {}", config::MAX_NAME_BYTES)),
    }
}

pub(super) fn parse_patience(text: &str) -> Result<Patience, String> {
    // More would not fit into the clocks of every system; no one waits for thirty years. With less, the other end's
    // heartbeats would come too late.
    let is_sound = |seconds: &f64| *seconds == 0.0 || (0.01..=1e9).contains(seconds);
    let seconds = text.parse().ok().filter(is_sound);
    let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let patience = patience.ok_or("not a number of seconds from 0.01 to 1000000000, nor 0")?;
    Ok(Patience(Some(patience).filter(|patience| !patience.is_zero())))
}
