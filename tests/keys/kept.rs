//! Keys in files: how `keygen` makes them, and which are refused.

use super::{keyless, new_key, refused};
use crate::harness::{End, PROGRAM};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `keygen FILE` after this line of shell.
fn keygen(first: &str, path: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}\nexec \"$0\" keygen \"$1\""), PROGRAM]).arg(path);
    command.output().expect("there is a shell")
}

/// What a failure with code 1 says, in one line.
fn failure(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8 on stderr");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("viamillipede: ") && said.lines().count() == 1, "{said}");
    said
}

#[test]
fn keygen_makes_a_file_for_its_owner_alone_under_any_umask() {
    for umask in ["000", "022", "777"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("my key");
        let output = keygen(&format!("umask {umask}"), &path);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o600, "{umask}");
        let text = fs::read_to_string(&path).expect("it is ours");
        assert!(text.len() == 64 && text.starts_with("vmkey1_") && text.ends_with('\n'));
    }
}

#[test]
fn keygen_refuses_to_overwrite_and_says_what_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    fs::write(&path, "precious").expect("a file");
    let said = failure(&keygen("", &path));
    assert!(said.contains("key: exists already, and is left so"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "precious");
    let said = failure(&keygen("", &folder.path().join("nowhere/key")));
    assert!(said.contains("/nowhere: no such folder"), "{said}");
    // A key is longer than such a file may be; what there is of it is taken away.
    let small = folder.path().join("small");
    let output = keygen("trap '' XFSZ; ulimit -f 0", &small);
    assert!(failure(&output).contains("small: File too large"), "{output:?}");
    assert!(!small.exists());
}

#[test]
fn keygen_says_when_stdout_takes_no_key() {
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" keygen >&-", PROGRAM]).stderr(Stdio::piped());
    let said = failure(&closed.output().expect("there is a shell"));
    assert_eq!(said, "viamillipede: stdout: closed\n");
    if let Ok(full) = File::options().write(true).open("/dev/full") {
        let mut command = keyless("keygen");
        let output = command.stdout(full).output().expect("the program starts");
        assert_eq!(failure(&output), "viamillipede: stdout: No space left on device\n");
    }
}

#[test]
fn a_key_file_that_others_could_read_is_refused() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), new_key());
    let path = folder.path().join("key");
    fs::write(&path, &key).expect("a file");
    let line = format!("rx --key-file {} 127.0.0.1:0", path.display());
    let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
    let is_refused = |remedy: &str| {
        let said = refused(keyless(&line), &key);
        assert!(
            said.contains(&format!("--key-file {}: others can read it", path.display())),
            "{said}"
        );
        assert!(said.contains(&format!("hint: {remedy} {}", path.display())), "{said}");
    };
    let is_taken = || End::run(keyless(&line)).ready();
    for mode in [0o640, 0o644, 0o604] {
        set(mode);
        is_refused("chmod 600");
    }
    set(0o400);
    is_taken();
    if chown(&path, Some(4242), Some(4242)).is_err() {
        return eprintln!("skipped: files can be given away only by root");
    }
    // As a service manager hands over a credential: another's, and let in by other means.
    set(0o440);
    is_taken();
    set(0o444);
    is_refused("its owner should chmod o-r");
}

#[test]
fn a_file_without_a_key_is_told_for_what_it_is() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), new_key());
    let path = folder.path().join("key");
    for (text, cause) in [
        (String::new(), "empty"),
        ("\n\n".into(), "empty"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n".into(), "not a viamillipede key"),
        (format!("# mine\n{key}\n"), "not a viamillipede key"),
        (format!("{key}\n{key}\n"), "character 64 is none that a key has: a typo?"),
        (format!("{key}aaa\n"), "too long: 66 characters instead of 63"),
        (key[..62].into(), "too short: 62 characters instead of 63"),
    ] {
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        let said = refused(keyless(&format!("tx --key-file {} h:1", path.display())), &key);
        assert!(said.contains(&format!("--key-file {}: {cause}", path.display())), "{said}");
    }
}
