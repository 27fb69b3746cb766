//! What both ends say while they carry, and that saying it never disturbs the stream.

use super::stream::{Pair, Stream, pour};
use crate::harness::{End, is_full, viamillipede};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use std::io::{self, PipeReader, PipeWriter, Read, Seek, Write};
use std::iter;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const SIZE: u64 = (8 << 20) + 7;

/// The words of the summary line, with a number or a figure for each `#`.
const SUMMARY: &str = "# bytes (#) as # on the wire (ratio #) in #: # stream, # wire; # feet, \
                       # sent again, # connections lost, # in use; bottleneck: ";

/// What stands for the figures in a line of this shape, if it has it.
fn figures(line: &str, shape: &str) -> Option<Vec<String>> {
    let mut words = shape.split('#');
    let mut rest = line.strip_prefix(words.next()?)?;
    let mut figures = Vec::new();
    for word in words {
        let (figure, after) = rest.split_once(word)?;
        figures.push(figure.to_owned());
        rest = after;
    }
    Some(figures)
}

#[test]
fn one_summary_line_at_either_end() {
    let mut pair = Pair::start("--zstd 3", "");
    let tally = pair.carry(Stream::new(1, SIZE));
    for (end, verb, lines) in [(&pair.tx, "sent", 1), (&pair.rx, "received", 2)] {
        let said = end.said();
        assert_eq!(said.lines().count(), lines, "{said}");
        let last = said.lines().last().unwrap_or_default();
        let figures = figures(last, &format!("viamillipede: {verb} {SUMMARY}"));
        let figures = figures.unwrap_or_else(|| panic!("not the line's shape: {last}"));
        assert_eq!(figures[0], tally.bytes.to_string());
        let wire: u64 = figures[2].parse().expect("a number");
        assert!((SIZE / 4..SIZE).contains(&wire), "half of it is text: {last}");
        let feet: u64 = figures[7].parse().expect("a number");
        assert!((9..=200).contains(&feet), "{last}");
        // On a busy machine a foot may seem late, and get a second copy.
        let again: u64 = figures[8].parse().expect("a number");
        assert!(again < feet, "{last}");
        assert_eq!(figures[9], "0", "nothing was lost: {last}");
    }
}

#[test]
fn both_ends_count_the_same() {
    let mut pair = Pair::start("--lz4 --foot-size 64KiB", "");
    pair.carry(Stream::new(2, SIZE));
    let counted = [(&pair.tx, "sent"), (&pair.rx, "received")].map(|(end, verb)| {
        let said = end.said();
        let shape = format!("viamillipede: {verb} {SUMMARY}");
        let found = said.lines().find_map(|line| figures(line, &shape)).expect("a summary");
        [found[0].clone(), found[7].clone()]
    });
    assert_eq!(counted[0], counted[1], "bytes and feet");
}

#[test]
fn quiet_ends_say_only_what_must_be_said() {
    let mut pair = Pair::start("-q --verify", "-q");
    let tally = pair.carry(Stream::new(3, SIZE));
    pair.said_digest(&tally);
    assert_eq!(pair.tx.said().lines().count(), 1, "the digest");
    assert_eq!(pair.rx.said().lines().count(), 2, "the ready line and the digest");

    let mut pair = Pair::start("-q", "-q");
    pair.carry(Stream::new(3, SIZE));
    assert_eq!(pair.tx.said(), "");
}

/// What held up a run that failed is its failure; one that was interrupted may have been too slow for somebody.
#[test]
fn a_run_that_failed_has_no_advice() {
    for (is_full_disk, told) in [(true, "bottleneck: source\n"), (false, "bottleneck: source (it")]
    {
        let mut end = End::start("loop --plain -o /dev/full --stats -");
        // By then the source was looked at ten times.
        end.hears(|said| said.contains("\"bottleneck\":\"source\"").then_some(()));
        if is_full_disk {
            end.stdin.as_mut().expect("a pipe").write_all(b"stream").expect("it reads");
            assert_eq!(end.code(), 1);
        } else {
            end.signal(Signal::SIGINT);
            assert_eq!(end.code(), 130);
        }
        assert!(end.said().contains(told), "{}", end.said());
    }
}

/// Off a terminal progress is a plain line now and then: none in a short run unless the full battery
/// has the time for one.
#[test]
fn progress_off_a_terminal_is_plain_lines() {
    let mut pair = Pair::start("--progress always --size 1MiB", "--progress always");
    if is_full() {
        // The source's own pause: longer than the ten seconds between two lines.
        thread::sleep(Duration::from_secs(11));
    }
    pair.carry(Stream::new(4, 1 << 20));
    for end in [&pair.tx, &pair.rx] {
        let said = end.said();
        assert!(!said.contains(['\r', '\x1b']), "{said:?}");
        let lines = said.lines().filter(|line| line.contains(", bottleneck: ")).count();
        assert_eq!(lines, usize::from(is_full()), "{said}");
    }
    let tx = pair.tx.said();
    assert!(!is_full() || tx.contains("0 B of 1.05 MB (0 %)"), "{tx}");
}

/// While nobody reads more than the first byte, the stream is on its way and its size known.
#[test]
fn the_size_that_was_told_or_is_a_files_is_shown() {
    let mut told = Pair::start("--size 4MiB", "");
    begin(&mut told, &mut Stream::new(8, 1));
    shows_size(&mut told.tx);

    let mut file = tempfile::tempfile().expect("a file");
    pour(&mut Stream::new(8, 4 << 20), &mut file).expect("room for it");
    file.rewind().expect("a file");
    let mut rx = End::start("rx --plain 127.0.0.1:0");
    let mut command = viamillipede(&format!("tx --plain {}", rx.ready()));
    command.stdin(file);
    let mut tx = End::run(command);
    rx.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("a byte comes out");
    shows_size(&mut tx);
}

fn shows_size(tx: &mut End) {
    tx.signal(Signal::SIGUSR1);
    let block = tx.hears(|said| said.contains("  window: ").then(|| said.to_owned()));
    assert!(block.contains(" of 4.19 MB ("), "{block}");
}

#[test]
fn an_end_that_waits_says_so() {
    let mut rx = End::start("rx --plain 127.0.0.1:0");
    let address = rx.ready();
    rx.signal(Signal::SIGUSR1);
    rx.hears(|said| said.contains("viamillipede: waiting for the other end\n").then_some(()));
    Pair { tx: End::start(&format!("tx --plain {address}")), rx }.carry(Stream::new(8, 1));
}

/// The lines of a block, with a `#` for what may be anything.
const BLOCK: [&str; 4] = [
    "viamillipede: #B, #B/s, #, bottleneck: #, #B/s mean, #B/s on the wire#",
    "  # f#t, # sent again, # connection# lost, #B on the wire",
    "  window: feet below # are verified, below # may be sent#",
    "  bottleneck so far: #",
];
/// As the kernel was not yet asked, and as it was.
const WORKER: [&str; 2] = [
    "  worker # on link # to #:#: #, # f#t, #B, for # s",
    "  worker # on link # to #:#: #, # f#t, #B, for # s; rtt # ms, cwnd #B, # segment# sent again by TCP",
];
const OTHERS: [&str; 6] = [
    "viamillipede: # bytes (#) as # on the wire (ratio #) in #; # feet, #; bottleneck: #",
    "viamillipede: blake3 #",
    "viamillipede: listening on 127.0.0.1:#",
    "viamillipede: # messages are missing here",
    "viamillipede: cannot connect yet: #; trying on for 120 s",
    "viamillipede: connected over link #",
];

/// Whether the line has this shape from its start to its end.
fn is_whole(line: &str, shape: &str) -> bool {
    let mut words: Vec<&str> = shape.split('#').collect();
    let last = words.pop().unwrap_or_default();
    let Some(rest) = line.strip_suffix(last) else { return false };
    let after = |rest: &'_ str, word: &str| rest.find(word).map(|at| at + word.len());
    let mut place = 0;
    line.starts_with(words[0])
        && words.iter().all(|word| after(&rest[place..], word).map(|at| place += at).is_some())
}

/// Signals that each end gets, as fast as they can be sent.
const ASKED: usize = 4000;

/// The source goes on until the last signal is sent, so all of them meet a running stream.
#[test]
fn whoever_asks_is_told_and_the_stream_goes_on() {
    let mut pair = Pair::start("--zstd 1 --verify", "");
    let mut stream = Stream::new(5, u64::MAX);
    begin(&mut pair, &mut stream);

    let mut stdin = pair.tx.stdin.take().expect("stdin is a pipe");
    let mut stdout = pair.rx.stdout.take().expect("stdout is a pipe");
    let is_asked = AtomicBool::new(false);
    let mut source = Until { stream, is_over: &is_asked, least: SIZE };
    let (sent, received) = thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let sent = pour(&mut source, &mut stdin);
            drop(stdin);
            sent
        });
        let taker = scope.spawn(|| pour(&mut stdout, &mut io::sink()));
        for _ in 0..ASKED {
            pair.tx.signal(Signal::SIGUSR1);
            pair.rx.signal(Signal::SIGUSR1);
        }
        is_asked.store(true, SeqCst);
        [feeder, taker].map(|thread| thread.join().expect("it only copies")).into()
    });
    assert_eq!(received.expect("rx gives its output"), sent.expect("tx takes its input"));
    pair.end_well();
    for end in [&pair.tx, &pair.rx] {
        let blocks = whole_blocks(&end.said());
        assert!(blocks.iter().any(|workers| *workers > 0), "{blocks:?}:\n{}", end.said());
    }
}

/// A stream that is over when somebody says so, but has this many bytes at least.
pub struct Until<'a> {
    pub stream: Stream,
    pub is_over: &'a AtomicBool,
    pub least: u64,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.least == 0 && self.is_over.load(SeqCst) {
            return Ok(0);
        }
        let bytes = self.stream.read(buffer)?;
        self.least = self.least.saturating_sub(bytes as u64);
        Ok(bytes)
    }
}

/// The blocks in what an end said, by how many connections each names. Every line must be a whole one, and every
/// block have all of its own.
fn whole_blocks(said: &str) -> Vec<usize> {
    assert!(said.ends_with('\n'), "{said}");
    let is_worker = |line: &&str| WORKER.iter().any(|shape| is_whole(line, shape));
    let mut blocks = Vec::new();
    let mut lines = said.lines().peekable();
    while let Some(line) = lines.next() {
        if is_whole(line, BLOCK[0]) {
            for shape in &BLOCK[1..] {
                assert!(
                    lines.next().is_some_and(|line| is_whole(line, shape)),
                    "{shape} in\n{said}"
                );
            }
            blocks.push(iter::from_fn(|| lines.next_if(is_worker)).count());
        } else {
            assert!(OTHERS.iter().any(|shape| is_whole(line, shape)), "{line}\nin\n{said}");
        }
    }
    blocks
}

/// Carries the first byte of the stream: once it is through, both ends have taken signals over.
fn begin(pair: &mut Pair, stream: &mut Stream) {
    let (mut first, mut out) = ([0], [1]);
    stream.read_exact(&mut first).expect("test data");
    pair.tx.stdin.as_mut().expect("a pipe").write_all(&first).expect("tx takes input");
    pair.rx.stdout.as_mut().expect("a pipe").read_exact(&mut out).expect("it comes out");
    assert_eq!(first, out);
}

#[test]
fn a_closed_stderr_is_no_reason_to_fail() {
    let closed = |line: &str| {
        let program = viamillipede(line);
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 2>&-"#]).arg(program.get_program());
        command.args(program.get_args()).stdin(Stdio::piped()).stdout(Stdio::piped());
        End::run(command)
    };
    through_mute_ends(&closed);
}

#[test]
fn a_stderr_that_nobody_reads_is_no_reason_to_fail() {
    let broken = |line: &str| {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        with_stderr(line, writer)
    };
    through_mute_ends(&broken);
}

#[test]
fn a_stderr_that_blocks_is_no_reason_to_wait() {
    let (_reader, writer) = full_pipe();
    let blocked = |line: &str| with_stderr(line, writer.try_clone().expect("a descriptor"));
    through_mute_ends(&blocked);
}

/// Carries streams with either end as `mute` starts it, and asks that end how it stands.
fn through_mute_ends(mute: &dyn Fn(&str) -> End) {
    let rx = End::start("rx --plain 127.0.0.1:0");
    let tx = mute(&format!("tx --plain -vv --verify {}", rx.ready()));
    carry_and_ask(Pair { tx, rx });
    let tx = End::start("tx --plain --listen 127.0.0.1:0");
    let rx = mute(&format!("rx --plain -vv --progress always --connect {}", tx.ready()));
    carry_and_ask(Pair { tx, rx });
}

fn carry_and_ask(mut pair: Pair) {
    let mut stream = Stream::new(6, SIZE);
    begin(&mut pair, &mut stream);
    for _ in 0..500 {
        pair.tx.signal(Signal::SIGUSR1);
        pair.rx.signal(Signal::SIGUSR1);
    }
    pair.carry(stream);
}

fn with_stderr(line: &str, stderr: PipeWriter) -> End {
    let mut command = viamillipede(line);
    command.stderr(stderr);
    End::run(command)
}

/// A pipe that takes no more, and blocks whoever tries.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let flags = fcntl(&writer, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    let flags = flags.expect("a descriptor of ours");
    fcntl(&writer, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).expect("a flag of ours");
    let full = loop {
        if let Err(error) = writer.write(&[b'.'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    fcntl(&writer, FcntlArg::F_SETFL(flags)).expect("a flag of ours");
    (reader, writer)
}
