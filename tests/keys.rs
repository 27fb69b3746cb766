//! Keys as users meet them: made, kept, found, mistyped, and never shown where others look.
//!
//! Does not know how a key protects a stream.

#[cfg(target_os = "linux")]
mod hidden;
mod kept;
mod sources;

use crate::harness::{End, viamillipede};
use std::process::{Command, Output};

/// A key at random, as `keygen` writes it, without the line end.
fn new_key() -> String {
    let output = keyless("keygen").output().expect("the program starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let key = String::from_utf8(output.stdout).expect("a key is text");
    key.strip_suffix('\n').expect("a key is a line").into()
}

/// The program with these arguments, and without what the environment of the tests says of keys.
fn keyless(line: &str) -> Command {
    let mut command = viamillipede(line);
    command.env_remove("VIAMILLIPEDE_KEY").env_remove("JOURNAL_STREAM");
    command
}

/// The same with this key in its environment.
fn keyed(line: &str, key: &str) -> Command {
    let mut command = keyless(line);
    command.env("VIAMILLIPEDE_KEY", key);
    command
}

/// The key under the ready lines of an end that made one.
fn told(end: &End) -> String {
    end.hears(|said| {
        let (ready, rest) = said.split_once("\nviamillipede: key: ")?;
        assert!(
            ready.lines().all(|line| line.starts_with("viamillipede: listening on ")),
            "{said}"
        );
        Some(rest.lines().next()?.into())
    })
}

/// What a program says that ends at once with code 2, once it is seen that it does not repeat `secret`.
fn refused(mut command: Command, secret: &str) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let said = String::from_utf8(stderr).expect("UTF-8 on stderr");
    assert_eq!(status.code(), Some(2), "{command:?}: {said}");
    assert!(stdout.is_empty() && said.starts_with("viamillipede: "), "{said}");
    assert!(said.lines().count() <= 2, "{said}");
    // Not even a part of it.
    let parts: Vec<&str> =
        secret.as_bytes().chunks(12).filter_map(|it| str::from_utf8(it).ok()).collect();
    assert!(!parts.iter().any(|part| part.len() == 12 && said.contains(part)), "{said}");
    said
}
