//! Real links that are unplugged and plugged in again, between two network namespaces.
//!
//! The links come from the command that the variable NETLAB names. Where there is none, or no root to run
//! it, these tests say so and end.

use crate::harness::{End, PROGRAM, until_found, viamillipede};
use crate::transfers::stream::{Stream, pour_through};
use nix::sys::signal::Signal;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{self, Command, Stdio};

const PORT: u16 = 7000;
/// What is received before anything happens, in bytes.
const BEFORE: u64 = 4 << 20;

/// Two namespaces with two links between them.
struct Lab {
    netlab: OsString,
    prefix: String,
}

impl Lab {
    /// None, said aloud, where there cannot be one. `name` is a letter that no other test has.
    fn up(name: char) -> Option<Lab> {
        let Some(netlab) = env::var_os("NETLAB") else {
            eprintln!("skipped: NETLAB names no command that makes links");
            return None;
        };
        if fs::metadata("/proc/self").expect("Linux has it").uid() != 0 {
            eprintln!("skipped: links need root");
            return None;
        }
        let lab = Lab { netlab, prefix: format!("vm{}{name}", process::id()) };
        let link = "rate=100mbit,delay=5ms";
        lab.run(&["up", "--quiet", "--link", link, "--link", link]);
        Some(lab)
    }

    fn run(&self, words: &[&str]) {
        let mut command = Command::new(&self.netlab);
        let output = command.args(["-p", &self.prefix]).args(words).output();
        let output = output.expect("NETLAB names a command");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    /// The program, in the namespace of this side.
    fn start(&self, side: &str, line: &str) -> End {
        self.start_with(side, &viamillipede(line))
    }

    /// The same with these arguments.
    fn start_with(&self, side: &str, program: &Command) -> End {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{side}", self.prefix)]);
        command.arg(program.get_program()).args(program.get_args());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        End::run(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A lab that fails to come up has nothing to take down.
        let down = Command::new(&self.netlab).args(["-p", &self.prefix, "down", "--kill"]).output();
        drop(down);
    }
}

/// A sink that does something once, in the middle of the stream.
struct Midway<F: FnOnce()> {
    bytes: u64,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Midway<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if self.bytes >= BEFORE
            && let Some(act) = self.act.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Carries a stream, with `act` done in its middle while the sink stands still; both ends end well.
fn carry(tx: &mut End, rx: &mut End, act: impl FnOnce(&End, &End)) {
    let stdin = tx.stdin.take().expect("stdin is a pipe");
    let stdout = rx.stdout.take().expect("stdout is a pipe");
    let (seen_tx, seen_rx) = (&*tx, &*rx);
    let act = Some(|| act(seen_tx, seen_rx));
    pour_through(Stream::new(1, 40 << 20), stdin, stdout, &mut Midway { bytes: 0, act });
    assert_eq!((tx.code(), rx.code()), (0, 0), "codes of tx and rx");
}

/// Waits until an end has said this so many times.
fn hears(end: &End, what: &str, times: usize) {
    end.hears(|said| (said.matches(what).count() >= times).then_some(()));
}

#[test]
fn a_stream_outlives_a_time_without_any_link() {
    let Some(lab) = Lab::up('a') else { return };
    let mut rx = lab.start("rx", &format!("rx --plain {PORT}"));
    rx.ready();
    let mut tx = lab.start("tx", &format!("tx --plain 10.77.1.2:{PORT} 10.77.2.2:{PORT}"));
    carry(&mut tx, &mut rx, |tx, rx| {
        lab.run(&["cut", "1", "2"]);
        hears(tx, " is down: ", 2);
        hears(rx, " is silent: ", 2);
        lab.run(&["mend", "1", "2"]);
        hears(rx, " is heard again", 2);
    });
}

#[test]
fn a_receiver_that_dials_uses_a_link_again_that_is_back() {
    let Some(lab) = Lab::up('b') else { return };
    let mut tx = lab.start("tx", &format!("tx --plain --listen {PORT}"));
    tx.ready();
    let dests = format!("10.77.1.1:{PORT} 10.77.2.1:{PORT}");
    let mut rx = lab.start("rx", &format!("rx --plain --connect {dests}"));
    carry(&mut tx, &mut rx, |_, rx| {
        lab.run(&["cut", "2"]);
        // Its kernel has noticed: its own judgement of silence is far slower.
        hears(rx, " is down: Connection timed out", 1);
        lab.run(&["mend", "2"]);
        hears(rx, " is back", 1);
    });
}

/// What takes the place of ssh starts the far end in the namespace of the other side, and ends before it.
#[test]
fn an_end_here_is_told_through_ssh_where_the_direct_way_swallows_everything() {
    let Some(lab) = Lab::up('d') else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name| folder.path().join(name);
    let far = format!("{}-rx", lab.prefix);
    let script = format!("[ \"$1\" = -G ] && exit 1\nip netns exec {far} \"$2\" remote --stdio\n");
    fs::write(at("ssh"), script).expect("a file");
    // Its number is there once the session is.
    let command = "cat >/dev/null & echo $$ >\"$1\"; wait";
    let mut tx =
        viamillipede("tx --patience 600 --ssh far --direct always 10.77.2.2:0 --remote-path");
    tx.args([PROGRAM, "-e", &format!("sh {}", at("ssh").display())]);
    tx.args(["--", "sh", "-c", command, "sh"]).arg(at("pid"));
    let mut tx = lab.start_with("tx", &tx);
    let _stdin = tx.stdin.take();
    let there = || fs::read_to_string(at("pid")).ok().filter(|text| text.ends_with('\n'));
    let pid = until_found(there, || "COMMAND was not started".to_owned());
    lab.run(&["cut", "2"]);
    tx.signal(Signal::SIGTERM);
    let is_gone = || fs::metadata(format!("/proc/{}", pid.trim())).is_err();
    until_found(|| is_gone().then_some(()), || format!("COMMAND goes on: {pid}"));
    assert_eq!(tx.code(), 143, "{}", tx.said());
}

/// What takes the place of ssh starts the far end in the namespace of the other side.
#[test]
fn ssh_carries_the_stream_where_the_direct_way_swallows_everything() {
    let Some(lab) = Lab::up('c') else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name| folder.path().join(name);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    fs::write(at("stream"), &bytes).expect("a file");
    let far = format!("{}-rx", lab.prefix);
    let script =
        format!("[ \"$1\" = -G ] && exit 1\nexec ip netns exec {far} \"$2\" remote --stdio\n");
    fs::write(at("ssh"), script).expect("a file");
    lab.run(&["cut", "2"]);
    let mut rx = viamillipede("rx --ssh far 10.77.2.2:0 --remote-path");
    rx.args([PROGRAM, "-e", &format!("sh {}", at("ssh").display())]);
    rx.arg("--input").arg(at("stream"));
    let mut rx = lab.start_with("tx", &rx);
    let mut came = Vec::new();
    rx.stdout.take().expect("a pipe").read_to_end(&mut came).expect("a pipe can be read");
    assert_eq!(rx.code(), 0, "{}", rx.said());
    assert!(came == bytes, "{} bytes", came.len());
    let said = "viamillipede: no direct connection to far for 3 s: using the ssh session itself";
    assert!(rx.said().lines().any(|line| line == said), "{}", rx.said());
}
