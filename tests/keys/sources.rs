//! Where a key may come from, and which of several wins.

use super::{keyed, keyless, new_key, refused, told};
use crate::harness::{End, PROGRAM};
use crate::transfers::stream::{Pair, Stream};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SIZE: u64 = (1 << 20) + 1;

/// A key in a file as it has to be kept.
fn key_file(folder: &Path, key: &str) -> PathBuf {
    let path = folder.join("key");
    fs::write(&path, format!("{key}\n")).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    path
}

/// Both ends deliver, and neither says the key.
fn delivers(tx: End, rx: End, key: &str) {
    let mut pair = Pair { tx, rx };
    pair.carry(Stream::new(41, SIZE));
    for end in [&pair.tx, &pair.rx] {
        assert!(!end.said().contains(key), "{}", end.said());
    }
}

#[test]
fn a_key_is_taken_from_a_file_or_from_the_environment() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), new_key());
    let file = key_file(folder.path(), &key);
    let file = file.display();
    let rx = End::run(keyless(&format!("rx --key-file {file} 127.0.0.1:0")));
    let tx = End::run(keyed(&format!("tx {}", rx.ready()), &key));
    delivers(tx, rx, &key);
    let tx = End::run(keyed("tx --listen 127.0.0.1:0", &format!(" {key}\n")));
    let rx = End::run(keyless(&format!("rx --key-file {file} --connect {}", tx.ready())));
    delivers(tx, rx, &key);
}

#[test]
fn an_end_that_waits_makes_a_key_and_tells_it_once() {
    for quiet in ["", "-q"] {
        let rx = End::run(keyless(&format!("rx {quiet} 127.0.0.1:0 127.0.0.1:0")));
        let key = told(&rx);
        assert_eq!(rx.said().matches("listening on ").count(), 2, "{}", rx.said());
        let tx = End::run(keyed(&format!("tx {quiet} {}", rx.ready()), &key));
        let mut pair = Pair { tx, rx };
        pair.carry(Stream::new(42, SIZE));
        assert_eq!(pair.rx.said().matches("vmkey1_").count(), 1, "{}", pair.rx.said());
        assert_eq!(pair.tx.said().matches("vmkey1_").count(), 0, "{}", pair.tx.said());
    }
    let tx = End::run(keyless("tx --listen 127.0.0.1:0"));
    let rx = End::run(keyed(&format!("rx --connect {}", tx.ready()), &told(&tx)));
    Pair { tx, rx }.carry(Stream::new(43, SIZE));
    // As an unset variable of a script; there is a new key each time.
    let keys = [(); 2].map(|()| told(&End::run(keyed("rx 127.0.0.1:0", ""))));
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn no_key_is_made_where_it_would_be_shown_in_the_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal");
    let stderr = File::create(&journal).expect("a file");
    let metadata = stderr.metadata().expect("it is open");
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    for line in ["rx 127.0.0.1:0", "tx --listen -q 127.0.0.1:0"] {
        let mut command = keyless(line);
        command.env("JOURNAL_STREAM", &stream).stderr(stderr.try_clone().expect("a descriptor"));
        assert_eq!(End::run(command).code(), 2, "{line}");
    }
    let said = fs::read_to_string(&journal).expect("the ends wrote to it");
    let refusal = "viamillipede: no key: a new one would be shown in the system journal";
    assert_eq!(said.lines().filter(|line| *line == refusal).count(), 2, "{said}");
    assert_eq!(said.matches("hint: say --key-file FILE").count(), 2, "{said}");
    assert!(!said.contains("vmkey1_") && !said.contains("listening"), "{said}");

    // stdout is the journal there, or a parent's stderr was.
    let mut command = keyless("rx 127.0.0.1:0");
    command.env("JOURNAL_STREAM", &stream);
    told(&End::run(command));
}

#[test]
fn what_is_said_outranks_the_environment() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), new_key());
    let file = key_file(folder.path(), &key);
    let file = file.display();
    let rx = End::run(keyed(&format!("rx --key-file {file} 127.0.0.1:0"), "nonsense"));
    let tx = End::run(keyed(&format!("tx --key-file {file} {}", rx.ready()), &new_key()));
    delivers(tx, rx, &key);

    let rx = End::run(keyed("rx --plain 127.0.0.1:0", "nonsense"));
    rx.hears(|said| {
        let line = said.lines().find(|line| line.contains("listening on"))?;
        (!line.contains("key")).then_some(())
    });
    let tx = End::run(keyed(&format!("tx --plain {}", rx.ready()), &key));
    delivers(tx, rx, &key);

    let loops = |key: &str| {
        let mut command = keyed(&format!("loop {key}"), "nonsense");
        command.stdin(Stdio::null());
        End::run(command).code()
    };
    assert_eq!((loops(""), loops("--plain")), (0, 0));
    assert_eq!(loops(&format!("--key-file {file}")), 0);
}

#[test]
fn a_wrong_variable_is_told_and_not_repeated() {
    let key = new_key();
    let mut typo = key.clone();
    let last = if typo.pop() == Some('a') { 'b' } else { 'a' };
    typo.push(last);
    for (value, cause) in [
        (&typo[..], "the checksum does not fit: a typo?"),
        (&key[..40], "too short: 40 characters instead of 63"),
        (&format!("{key}{key}"), "character 69 is none that a key has: a typo?"),
        (
            &key.replacen("vmkey1_", "vmkey2_", 1),
            "a key of version 2; this program knows version 1",
        ),
        (&key[7..], "not a viamillipede key, which begins with vmkey1_"),
    ] {
        for line in ["tx 127.0.0.1:9", "rx 127.0.0.1:0"] {
            let said = refused(keyed(line, value), &key);
            assert!(said.contains(&format!("VIAMILLIPEDE_KEY: {cause}")), "{said}");
        }
    }
    for line in ["tx 127.0.0.1:9", "rx --connect 127.0.0.1:9"] {
        let said = refused(keyed(line, ""), &key);
        assert!(said.contains("no key: an end that dials"), "{said}");
    }
}

#[test]
fn a_key_may_come_out_of_a_pipe() {
    let key = new_key();
    let substituted = |line: &str| {
        let mut command = Command::new("bash");
        let script = r#"exec "$0" "$@" --key-file <(printf '%s\n' "$KEY")"#;
        command.args(["-c", script, PROGRAM]).args(line.split_whitespace()).env("KEY", &key);
        command.env_remove("VIAMILLIPEDE_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        End::run(command)
    };
    let rx = substituted("rx 127.0.0.1:0");
    let tx = substituted(&format!("tx {}", rx.ready()));
    delivers(tx, rx, &key);
}
