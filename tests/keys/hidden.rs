//! No key on a command line: neither in what others see of a process, nor in what it says of one that
//! was typed there.

use super::{keyed, keyless, new_key, refused, told};
use crate::harness::End;
use std::fs;

/// What every user of this machine can read of the process.
fn command_line(end: &End) -> String {
    let line = fs::read(format!("/proc/{}/cmdline", end.pid())).expect("it runs");
    String::from_utf8_lossy(&line).into()
}

#[test]
fn no_command_line_ever_holds_a_key() {
    let rx = End::run(keyless("rx 127.0.0.1:0"));
    let key = told(&rx);
    let tx = End::run(keyed(&format!("tx -v {}", rx.ready()), &key));
    // Welcomed: by now each has done with the key all that it ever does.
    tx.hears(|said| said.contains("viamillipede: ").then_some(()));
    let mut ends = [tx, rx];
    for end in &ends {
        let line = command_line(end);
        assert!(line.contains("127.0.0.1") && !line.contains("vmkey"), "{line}");
    }
    assert_eq!(ends.each_mut().map(End::code), [0, 0]);
}

#[test]
fn a_key_among_the_arguments_is_refused_and_not_repeated() {
    let key = new_key();
    let typo = format!("{}8{}", &key[..30], &key[31..]);
    for key in [&key[..], &typo, &key.to_uppercase(), &key[..40]] {
        for line in [
            key.to_string(),
            format!("tx {key}"),
            format!("tx --plain {key}"),
            format!("tx h:1,key={key}"),
            format!("tx --key-file {key} h:1"),
            format!("tx --key-file={key} h:1"),
            format!("tx --key {key} h:1"),
            format!("tx --name {key} h:1"),
            format!("tx VIAMILLIPEDE_KEY={key} h:1"),
            format!("rx 5000 -{key}"),
            format!("rx --zstd {key} 5000"),
            format!("loop {key}"),
            format!("keygen {key}"),
            format!("--{key} --help"),
        ] {
            let said = refused(keyless(&line), key);
            assert!(said.contains("arguments: a key is among them"), "{line}: {said}");
        }
    }
}
