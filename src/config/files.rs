//! The files of a run, of which none that is written may be another: one would be written in the other's place.
//!
//! Does not know what is in them, nor whether they can be opened.

use super::{Command, Input, Output, Rate};
use crate::error::Error;
use crate::files::{are_same, part, target};
use std::path::{Path, PathBuf};

/// Refuses a run of which two files, the key's among them, are the same: a usage error that names both.
pub fn check(command: &Command, key: Option<&Path>) -> Result<(), Error> {
    let files = files(command, key);
    let pairs = files.iter().enumerate().flat_map(|(at, one)| {
        let others = files.iter().skip(at + 1);
        others.map(move |other| (one, other))
    });
    for ((one, path, is_read), (other, its, its_read)) in pairs {
        // (--output is read to its end, as --input, before it is replaced.)
        let may_be = *is_read && *its_read || (*one, *other) == ("--input", "--output");
        if !may_be && are_same(path, its) {
            let cause = format!("the same file as {one} {}", path.display());
            return Err(Error::usage(format!("{other} {}", its.display()), cause));
        }
    }
    Ok(())
}

/// All of them, each with what it was asked for by, and whether it is only read.
fn files(command: &Command, key: Option<&Path>) -> Vec<(&'static str, PathBuf, bool)> {
    let (input, output) = command.ends();
    let mut files = Vec::new();
    let mut add = |option, path: &Path| {
        let is_read = matches!(option, "--input" | "--rate" | "--key-file");
        files.push((option, path.to_owned(), is_read));
    };
    if let Some(Input::File(path)) = input {
        add("--input", path);
    }
    if let Some(Output::File { path, .. }) = output {
        add("--output", path);
        if let Ok(target) = target(path) {
            add("--output's", &part(&target));
        }
    }
    if let Some(Rate::File(path)) = command.shaping().and_then(|shaping| shaping.rate.as_ref()) {
        add("--rate", path);
    }
    if let Some(path) = key {
        add("--key-file", path);
    }
    let records = &command.common().records;
    if let Some(path) = records.stats.as_deref().filter(|path| path.as_os_str() != "-") {
        add("--stats", path);
    }
    if let Some(path) = &records.metrics {
        add("--metrics", path);
    }
    files
}
