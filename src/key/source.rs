//! Where an end looks for the key: what the arguments say, then the environment; an end that waits
//! makes one for this session if there is none.
//!
//! Knows who may be shown a new key. Does not know how it is shown, nor what it protects.

use super::{Key, Security, file};
use crate::error::Error;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The key in the environment. It must not pass into the environment of children.
pub const KEY_VARIABLE: &str = "VIAMILLIPEDE_KEY";

/// What the arguments say of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// There is none, and it is not looked for: `--plain`.
    Plain,
    /// It is in this file.
    File(PathBuf),
    /// This process has both ends, or starts the other: it is new, and nobody else will ever have it.
    Own,
    /// Nothing.
    Unsaid {
        /// Whether this end waits for the other, and so may make one.
        listens: bool,
    },
}

/// How a session is protected, once the key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How it is.
    pub security: Security,
    /// The key was made just now: the user has to be told, or nobody else will ever have it.
    pub is_new: bool,
}

impl KeySource {
    /// The file that it is in.
    pub fn file(&self) -> Option<&Path> {
        match self {
            KeySource::File(path) => Some(path),
            KeySource::Plain | KeySource::Own | KeySource::Unsaid { .. } => None,
        }
    }

    /// Looks there, once. A key that is missing, is none, or could only be shown in the system's journal
    /// is a usage error.
    pub fn find(&self) -> Result<Found, Error> {
        let listens = match self {
            KeySource::Plain => return Ok(Found { security: Security::Plain, is_new: false }),
            KeySource::Own => return Ok(given(Key::generate()?)),
            KeySource::File(path) => return Ok(given(file::read(path)?)),
            KeySource::Unsaid { listens } => *listens,
        };
        match (from_environment(env::var_os(KEY_VARIABLE))?, listens) {
            (Some(key), _) => Ok(given(key)),
            (None, true) => one_time(),
            (None, false) => Err(needed("an end that dials needs the other's")),
        }
    }
}

fn given(key: Key) -> Found {
    Found { security: Security::Keyed(key), is_new: false }
}

fn needed(why: &str) -> Error {
    let hint = format!("say --key-file FILE, set {KEY_VARIABLE}, or say --plain at both ends");
    Error::usage("no key", why).with_hint(hint)
}

/// The key in a variable of this value; an empty one counts as not set, as a script leaves it that
/// has none.
fn from_environment(value: Option<OsString>) -> Result<Option<Key>, Error> {
    let value = Zeroizing::new(value.map(OsString::into_vec).unwrap_or_default());
    if value.is_empty() {
        return Ok(None);
    }
    let key = Key::parse(&value);
    key.map(Some).map_err(|error| Error::usage(KEY_VARIABLE, error.to_string()))
}

/// A new key, unless showing it means to keep it where others read.
fn one_time() -> Result<Found, Error> {
    if env::var_os("JOURNAL_STREAM").is_some_and(|named| is_stderr(&named)) {
        return Err(needed("a new one would be shown in the system journal"));
    }
    Ok(Found { security: Security::Keyed(Key::generate()?), is_new: true })
}

/// Whether `device:inode` is what stderr leads to.
fn is_stderr(named: &OsStr) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let stderr = stderr.and_then(|stderr| stderr.metadata());
    stderr.is_ok_and(|stderr| *named == *format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none_and_a_wrong_one_is_not_repeated() {
        assert_eq!(from_environment(None).expect("none"), None);
        assert_eq!(from_environment(Some("".into())).expect("none"), None);
        let key = Key::generate().expect("there are random numbers");
        let text = OsString::from(key.text().as_str());
        assert_eq!(from_environment(Some(text)).expect("a key"), Some(key));
        let error = from_environment(Some("vmkey1_secret".into())).expect_err("too short");
        assert_eq!(error.exit_code(), 2);
        assert_eq!(error.to_string(), "VIAMILLIPEDE_KEY: too short: 13 characters instead of 63");
        assert_eq!(from_environment(Some(" ".into())).expect_err("no key").exit_code(), 2);
    }

    #[test]
    fn plain_is_plain_whatever_else_there_is() {
        let found = KeySource::Plain.find().expect("nothing is looked for");
        assert_eq!(found, Found { security: Security::Plain, is_new: false });
    }
}
