//! Two ends that do not fit together, by mistake: the one that dials says so at once, the other goes on
//! waiting for the right one.

use super::{ended, other_key};
use crate::endings::process::{End, Ended, Guard, KEY};
use crate::endings::stream::feed;
use crate::endings::{LONG, MARGIN, at_once};
use crate::harness;

/// The two ways of dialling: who listens, and who dials.
const WAYS: [[&str; 2]; 2] =
    [["rx 127.0.0.1:0", "tx"], ["tx --listen 127.0.0.1:0", "rx --connect"]];

/// Long enough that nobody may wait for it to end.
fn patient(line: &str) -> String {
    format!("{line} --patience {LONG}")
}

/// Starts a listening end and a dialling one that does not fit; how the latter ends, and what the former
/// says of it. The former then meets one that fits.
fn mismatch(
    [listens, dials]: [&str; 2],
    listening: Guard,
    dialling: Guard,
    key: &str,
) -> (Ended, String) {
    let mut command = harness::viamillipede(&patient(listens));
    protect(&mut command, listening, KEY);
    let mut listener = harness::End::run(command);
    let dest = listener.ready();
    let line = patient(&format!("{dials} {dest}"));
    let mut dialler = match dialling {
        Guard::Plain => End::start(&line),
        Guard::Key => End::holding(key, &line),
    };
    let ended = ended(&mut dialler);
    let note = listener.hears(|said| {
        said.lines()
            .find_map(|line| line.strip_prefix("viamillipede: refused 127.0.0.1: "))
            .map(str::to_owned)
    });
    let mut fitting = End::guarded(listening, &line);
    if dials == "tx" {
        drop(fitting.stdin());
    } else {
        drop(listener.stdin.take());
    }
    assert_eq!(fitting.ended_within(MARGIN).expect("at once").code, 0);
    assert_eq!(listener.code(), 0);
    (ended, note)
}

fn protect(command: &mut std::process::Command, guard: Guard, key: &str) {
    match guard {
        Guard::Plain => command.arg("--plain"),
        Guard::Key => command.env("VIAMILLIPEDE_KEY", key),
    };
}

#[test]
fn ends_that_do_not_fit_are_told_so_at_once_and_the_listening_one_goes_on() {
    let stories = WAYS.into_iter().flat_map(|way| {
        [
            (
                way,
                Guard::Key,
                Guard::Key,
                "it has another key",
                "give the same key to both ends",
                "it has another key",
            ),
            (
                way,
                Guard::Key,
                Guard::Plain,
                "the listening end has a key",
                "give both ends a key, or --plain to both",
                "it came without encryption",
            ),
            (
                way,
                Guard::Plain,
                Guard::Key,
                "the listening end is --plain",
                "give both ends a key, or --plain to both",
                "it came with TLS",
            ),
        ]
    });
    let story = |(way, listening, dialling, cause, hint, noted)| {
        Box::new(move || {
            let (ended, note): (Ended, String) = mismatch(way, listening, dialling, &other_key());
            ended.failed(3, &format!(": {cause}"));
            assert!(ended.said.ends_with(&format!("\nhint: {hint}\n")), "{ended:?}");
            assert!(note.starts_with(noted), "{note}");
        }) as Box<dyn FnOnce() + Send>
    };
    at_once(stories.map(story).collect());
}

/// The wrong name and the wrong role are told inside TLS.
#[test]
fn with_the_right_key_the_other_refusals_are_as_they_were() {
    let refused = |listens: &str, dials: &str, why: &str| {
        let mut listener = End::guarded(Guard::Key, &patient(listens));
        let dest = format!("127.0.0.1:{}", listener.port());
        ended(&mut End::guarded(Guard::Key, &patient(&format!("{dials} {dest}")))).failed(3, why);
    };
    refused("rx 127.0.0.1:0 --name one", "tx --name two", "it is named \"one\", not \"two\"");
    refused("tx --listen 127.0.0.1:0", "tx", "");
}

#[test]
fn both_ways_of_dialling_carry_and_verify_with_a_key() {
    for [listens, dials] in WAYS {
        let mut listener = End::guarded(Guard::Key, &patient(&format!("{listens} --verify")));
        let dest = format!("127.0.0.1:{}", listener.port());
        let dialler = End::guarded(Guard::Key, &patient(&format!("{dials} {dest} --workers 7")));
        let (mut tx, mut rx) =
            if dials == "tx" { (dialler, listener) } else { (listener, dialler) };
        let drain = rx.drain();
        feed(tx.stdin(), 20_000_003);
        let said = [&mut tx, &mut rx].map(|end| {
            let Ended { code, said } = ended(end);
            assert_eq!(code, 0, "{said}");
            said
        });
        assert_eq!(drain.finish(), 20_000_003);
        assert!(said[0].starts_with("viamillipede: blake3 "), "{said:?}");
        assert_eq!(said[0], said[1]);
    }
}
