//! The library inside another program: its examples as they are written, and what else such a program can do.
//!
//! Does not know the command line.

#[path = "../examples/loopback.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod loopback;
#[path = "../examples/receive.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod receive;
#[path = "../examples/send.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod send;

use crate::harness::until_found;
use crate::transfers::stream::Stream;
use crossbeam_channel::bounded;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use viamillipede::config::{Dest, Listen, Loop, Rendezvous, Rx, Tx, Workers};
use viamillipede::error::Error;
use viamillipede::key::{Key, Security};
use viamillipede::source::Source;
use viamillipede::stats::{Role, Stats};
use viamillipede::tx::Delivered;
use viamillipede::{Ports, both, rx, sink, tx};

fn bytes(seed: u64, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Stream::new(seed, size).read_to_end(&mut bytes).expect("test data");
    bytes
}

#[test]
fn the_example_in_one_process_carries_from_memory_to_memory() {
    for size in [0, 1, (3 << 20) + 7] {
        let bytes = bytes(1, size);
        assert!(loopback::carry(bytes.clone()).expect("it is delivered") == bytes, "{size}");
    }
}

#[test]
fn the_examples_of_the_two_ends_carry_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    fs::write(&original, bytes(2, 5_000_001)).expect("room for it");
    let security = Security::Keyed(Key::generate().expect("there are random numbers"));
    let (ready, is_ready) = bounded(1);
    let (received, sent) = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut announce = |all: &[SocketAddr]| ready.send(all[0]).expect("it is waited for");
            receive::receive(&copy, "127.0.0.1:0", security.clone(), &mut announce)
        });
        let address = is_ready.recv().expect("it listens").to_string();
        let sent = send::send(&original, &address, security.clone());
        (receiver.join().expect("no panic"), sent)
    });
    let sent = sent.expect("it is delivered");
    assert_eq!(sent, received.expect("it is whole"));
    let digest = blake3::hash(&fs::read(&copy).expect("a file"));
    assert_eq!(sent, Delivered { bytes: 5_000_001, digest: Some(digest.into()) });
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2, "nothing else is left");
}

/// Carries from this reader to this writer.
fn carried(
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
) -> Result<Delivered, Error> {
    let (source, sink) = (Source::of_reader("a reader", from), sink::of_writer("a writer", to));
    both::run(&Loop::new().expect("memory for it"), source, sink, Ports::default())
}

/// Fails, or panics, once it is read.
struct Broken(bool);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        assert!(!self.0, "as it was made to");
        Err(io::Error::other("no more"))
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("no more"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::Error::other("no flush"))
    }
}

#[test]
fn a_reader_that_breaks_is_no_end_of_the_stream() {
    for (panics, cause) in [(false, "no more"), (true, "it panicked")] {
        let from = Stream::new(3, 2 << 20).chain(Broken(panics));
        let error = carried(from, io::sink()).expect_err("it is a part");
        assert_eq!((error.exit_code(), error.to_string()), (1, format!("a reader: {cause}")));
    }
}

#[test]
fn a_writer_that_breaks_fails_the_stream_even_at_its_last_flush() {
    for (size, cause) in [(1, "no more"), (0, "no flush")] {
        let error = carried(Stream::new(4, size), Broken(false)).expect_err("it is not written");
        assert_eq!((error.exit_code(), error.to_string()), (1, format!("a writer: {cause}")));
    }
}

/// The source has more to give, and does not give it.
#[test]
fn a_run_can_be_stopped_and_looked_at_from_outside() {
    let (from, mut to) = io::pipe().expect("a pipe");
    to.write_all(&[7; 1000]).expect("there is room");
    let stats = Arc::new(Stats::of(Role::Sender));
    let mut ports = Ports::default().counted(Arc::clone(&stats));
    let stop = ports.stop();
    let taken = Arc::new(AtomicU64::new(0));
    let sink = Stopping { taken: Arc::clone(&taken), stop: move || stop.stop("enough of it") };
    let source = Source::of_reader("a reader", from);
    let settings = Loop::new().expect("memory for it");
    let error = both::run(&settings, source, sink::of_writer("a writer", sink), ports);
    let error = error.expect_err("it is stopped").to_string();
    assert!(error.starts_with("enough of it: "), "{error}");
    assert_eq!(taken.load(SeqCst), 1000);
    let seen = stats.snapshot();
    assert_eq!((seen.role, seen.source_bytes), (Role::Sender, 1000));
}

/// Takes bytes, and stops the run once it has a thousand.
struct Stopping<F> {
    taken: Arc<AtomicU64>,
    stop: F,
}

impl<F: FnMut()> Write for Stopping<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.taken.fetch_add(bytes.len() as u64, SeqCst) + bytes.len() as u64;
        if taken == 1000 {
            (self.stop)();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that is with its sink when the run is stopped is delivered, at both ends.
#[test]
fn a_stop_while_the_sink_closes_comes_too_late() {
    for _ in 0..30 {
        let (ready, is_ready) = bounded::<SocketAddr>(1);
        let receiver = thread::spawn(move || {
            let listens = vec![Listen::parse("127.0.0.1:0").expect("a place")];
            let settings = Rx::new(Security::Plain, Rendezvous::Listen(listens)).expect("settings");
            let mut ports = Ports::default();
            let stop = ports.stop();
            let mut announce = |all: &[SocketAddr]| ready.send(all[0]).expect("it is waited for");
            let sink = sink::of_writer("a writer", Closing(move || stop.stop("enough of it")));
            rx::run(&settings, sink, ports.announced(&mut announce))
        });
        let address = is_ready.recv().expect("it listens").to_string();
        let dests = vec![Dest::parse(&address).expect("a place")];
        let rendezvous = Rendezvous::dial(dests, Workers::Count(4)).expect("ways");
        let settings = Tx::new(Security::Plain, rendezvous).expect("settings");
        let source = Source::of_reader("a reader", Stream::new(5, 1000));
        let sent = tx::run(&settings, source, Ports::default());
        let delivered = Delivered { bytes: 1000, digest: None };
        assert_eq!(receiver.join().expect("no panic").expect("it is whole"), delivered);
        assert_eq!(sent.expect("it was told so"), delivered);
    }
}

/// Stops the run at its last flush.
struct Closing<F>(F);

impl<F: FnMut()> Write for Closing<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.0)();
        Ok(())
    }
}

#[test]
fn a_run_that_met_nobody_leaves_nobody_behind() {
    // One that listens lets its port go.
    let (ready, is_ready) = bounded(1);
    let listens = vec![Listen::parse("127.0.0.1:0").expect("a place")];
    let settings = Rx::new(Security::Plain, Rendezvous::Listen(listens)).expect("settings");
    let mut ports = Ports::default();
    let stop = ports.stop();
    let stopping = thread::spawn(move || {
        let address: SocketAddr = is_ready.recv().expect("it listens");
        stop.stop("enough");
        address
    });
    let mut announce = |all: &[SocketAddr]| ready.send(all[0]).expect("it is waited for");
    let sink = sink::of_writer("a writer", io::sink());
    rx::run(&settings, sink, ports.announced(&mut announce)).expect_err("it was stopped");
    let address = stopping.join().expect("no panic");
    let bound = || TcpListener::bind(address).ok();
    let listener = until_found(bound, || format!("{address} is still taken"));

    // One that dials does not go on: whoever listens next is called by whom it has not met.
    let dests = vec![Dest::parse(&address.to_string()).expect("a place")];
    let rendezvous = Rendezvous::dial(dests, Workers::Count(4)).expect("ways");
    let mut settings = Tx::new(Security::Plain, rendezvous).expect("settings");
    settings.common.patience = Some(Duration::from_secs(1));
    let (news, calls) = (listener.try_clone().expect("a descriptor"), listener);
    let accepting = thread::spawn(move || news.incoming().take(4).flatten().collect::<Vec<_>>());
    let source = Source::of_reader("a reader", io::empty());
    tx::run(&settings, source, Ports::default()).expect_err("nobody answers");
    for mut call in accepting.join().expect("no panic") {
        // A dialler that waits for an answer hangs up at once, and not when it loses its own patience.
        call.set_read_timeout(Some(HANGING_UP)).expect("a socket option");
        assert!(call.read_to_end(&mut Vec::new()).is_ok(), "it still waits");
    }
    drop(calls);
}

/// Longer than it takes to hang up, shorter than a dialler waits for the answer to its hello.
const HANGING_UP: Duration = Duration::from_secs(5);
