//! The ways that the stream takes: direct, through ssh, through other machines.

use super::LARGE;
use super::server::Far;
use crate::harness::{End, viamillipede};
use std::fs;
use std::io::{Read, Write};

/// Where nobody answers.
const NOWHERE: &str = "192.0.2.1:0";

fn pulled(mut rx: End) -> End {
    let mut bytes = Vec::new();
    rx.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("a pipe can be read");
    assert_eq!(rx.code(), 0, "{}", rx.said());
    assert!(bytes.len() as u64 == LARGE && bytes.iter().all(|byte| *byte == 0));
    rx
}

fn source() -> String {
    format!("head -c {LARGE} /dev/zero")
}

#[test]
fn where_no_direct_connection_comes_up_ssh_carries_the_stream_and_this_is_said() {
    let Some(far) = Far::start() else { return };
    let rx = pulled(far.end("rx", &[NOWHERE, "--source", &source()]));
    let said = "viamillipede: no direct connection to far for 3 s: using the ssh session itself";
    assert!(rx.said().lines().any(|line| line == said), "{}", rx.said());
    let mut tx = far.end("tx", &[NOWHERE, "--", "sh", "-c", "cat >/dev/null; exit 5"]);
    tx.stdin.as_mut().expect("a pipe").write_all(&[1; 1000]).expect("there is room");
    assert_eq!(tx.code(), 6, "{}", tx.said());
    assert!(tx.said().contains("sh: exit status 5"), "{}", tx.said());
    far.until_nothing_is_left();
}

#[test]
fn ssh_alone_carries_the_stream_where_it_shall() {
    let Some(far) = Far::start() else { return };
    for line in ["rx --direct never -q", "rx --direct never --plain -q"] {
        let rx = pulled(far.end(line, &["--source", &source()]));
        assert_eq!(rx.said(), "");
    }
    let copy = far.name("copy");
    let mut tx = far.end("tx --direct never -q", &["--output", &copy]);
    tx.stdin.as_mut().expect("a pipe").write_all(b"through ssh").expect("there is room");
    assert_eq!((tx.code(), tx.said()), (0, String::new()));
    assert_eq!(fs::read(copy).expect("it was written"), b"through ssh");
    far.until_nothing_is_left();
}

#[test]
fn the_way_through_ssh_is_taken_before_patience_ends() {
    let Some(far) = Far::start() else { return };
    let rx = pulled(far.end("rx --patience 3", &[NOWHERE, "--source", &source()]));
    let said = "viamillipede: no direct connection to far for 1.5 s: using the ssh session itself";
    assert!(rx.said().lines().any(|line| line == said), "{}", rx.said());
}

/// As with what is not quite ssh.
#[test]
fn a_host_that_nobody_names_is_dialled_by_the_name_that_was_given() {
    let Some(far) = Far::start() else { return };
    let script = "case \"$1\" in -G) exec sleep 300;; esac; unset SSH_CONNECTION; exec \"$2\" remote --stdio";
    fs::write(far.at("run"), script).expect("a file");
    let mut command = viamillipede("rx -q --direct always --ssh user@localhost --remote-path");
    command.args([&far.name("viamillipede"), "-e", &format!("sh {}", far.name("run"))]);
    command.args(["--source", &source()]);
    pulled(End::run(command));
    far.until_nothing_is_left();
}

#[test]
fn without_the_way_through_ssh_patience_ends() {
    let Some(far) = Far::start() else { return };
    let mut rx = far.end("rx --direct always --patience 2 -q", &[NOWHERE, "--source", "echo x"]);
    assert_eq!(rx.code(), 4, "{}", rx.said());
    assert!(rx.said().contains("viamillipede: no connection: 192.0.2.1:"), "{}", rx.said());
    far.until_nothing_is_left();
}

#[test]
fn other_addresses_of_the_host_are_dialled_instead_of_its_own() {
    let Some(far) = Far::start() else { return };
    let line = "rx --workers 2 -v --direct always 127.0.0.2:0 127.0.0.3:0";
    let rx = pulled(far.end(line, &["--source", &source()]));
    assert!(rx.said().contains("peer=\"127.0.0.2:"), "{}", rx.said());
    // (The far end, whose lines come here too, hears from 127.0.0.1.)
    assert!(!rx.said().contains("dest=127.0.0.1:"), "{}", rx.said());
}

#[test]
fn a_machine_on_the_way_is_no_hindrance() {
    let Some(far) = Far::start() else { return };
    let (far, between) = far.behind_another("");
    for line in ["rx", "rx --direct never"] {
        pulled(far.end(line, &["--source", &source()]));
        far.until_nothing_is_left();
    }
    let mut tx = far.end("tx -q", &["--output", &far.name("copy")]);
    tx.stdin.as_mut().expect("a pipe").write_all(b"past it").expect("there is room");
    assert_eq!((tx.code(), tx.said()), (0, String::new()));
    assert_eq!(fs::read(far.at("copy")).expect("it was written"), b"past it");
    drop((far, between));

    // There is no other way than past that machine.
    let Some(far) = Far::start() else { return };
    let (far, _between) = far.behind_another("AllowTcpForwarding no");
    let mut rx = far.end("rx", &["--source", &source()]);
    assert_eq!(rx.code(), 4, "{}", rx.said());
    assert!(rx.said().contains("viamillipede: ssh to far: exit status 255"), "{}", rx.said());
}

#[test]
fn banners_and_chatty_shells_spoil_nothing() {
    let forced = "ForceCommand printf 'Welcome!\\nviamillipede-remote\\nno line end'; \
                  eval \"$SSH_ORIGINAL_COMMAND\"; code=$?; echo bye; echo bye >&2; exit $code";
    let Some(far) = Far::saying(forced) else { return };
    for line in ["rx", "rx --direct never"] {
        let rx = pulled(far.end(line, &["--source", &source()]));
        assert!(rx.said().lines().any(|line| line == "bye"), "{}", rx.said());
        let mut tx = far.end(&line.replace("rx", "tx"), &["--", "sh", "-c", "cat; exit 5"]);
        tx.stdin.as_mut().expect("a pipe").write_all(b"some").expect("there is room");
        assert_eq!(tx.code(), 6, "{}", tx.said());
        assert!(tx.said().contains("sh: exit status 5"), "{}", tx.said());
        far.until_nothing_is_left();
    }
}
