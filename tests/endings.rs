//! How things end, with real processes: killed, stopped, interrupted, cut off, lied to.
//!
//! Each story checks the same promises. Exit 0 means that every byte is with the sink; every other end
//! has its code and says one line why; nobody waits longer than patience. `VIAMILLIPEDE_FULL=1` tells
//! the long version. Does not know how the program keeps its promises.

#[cfg(target_os = "linux")]
mod commands;
mod cuts;
mod faults;
mod files;
mod frozen;
mod impostor;
mod killed;
mod links;
mod meeting;
#[cfg(target_os = "linux")]
mod memory;
mod pipes;
pub mod process;
pub mod relay;
#[cfg(target_os = "linux")]
mod siege;
mod signals;
mod sources;
mod starved;
pub mod strangers;
pub mod stream;
#[cfg(target_os = "linux")]
mod vanished;
#[cfg(target_os = "linux")]
mod waiting;

use std::thread;
use std::time::Duration;

/// Patience where it is to run out.
pub const SHORT: u64 = 2;
/// Patience where it is not: an end that waits for it fails its deadline.
pub const LONG: u64 = 300;
/// How long anything may take beyond patience; generous, for a machine that does other things too.
pub const MARGIN: Duration = Duration::from_secs(30);

/// As many as a usual run has time for, or all of them.
pub fn sample(usual: u64, full: u64) -> u64 {
    if std::env::var_os("VIAMILLIPEDE_FULL").is_some() { full } else { usual }
}

/// Runs the stories side by side: they mostly wait.
pub fn at_once(stories: Vec<Box<dyn FnOnce() + Send>>) {
    thread::scope(|scope| {
        for story in stories {
            scope.spawn(story);
        }
    });
}

/// A number that looks random, always the same for the same seed.
pub fn scatter(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
