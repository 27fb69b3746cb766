//! The program as a process: started, listened to, waited for with a deadline, killed when dropped.
//!
//! An end is over when its stderr is: nothing else has that. Does not know what it was started for.

use super::stream::Drain;
use super::{LONG, MARGIN};
use crate::harness::{Summary, listening};
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_viamillipede");

/// A key, as good as any other.
pub const KEY: &str = "vmkey1_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp4xkgk";

/// How both ends are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Not at all.
    Plain,
    /// By [`KEY`].
    Key,
}

/// One running process.
pub struct End {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

/// One that has ended: its code, or minus the signal that killed it, and all that it said.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub said: String,
}

impl End {
    /// `viamillipede LINE`, quiet and plain, with pipes at stdin and stdout.
    pub fn start(line: &str) -> End {
        End::guarded(Guard::Plain, line)
    }

    /// The same, protected like this.
    pub fn guarded(guard: Guard, line: &str) -> End {
        End::telling(guard, &format!("{line} -q"))
    }

    /// The same with a key of its own.
    pub fn holding(key: &str, line: &str) -> End {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).arg("-q").env("VIAMILLIPEDE_KEY", key);
        End::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// The same, with `rest` after all that: COMMAND, or what has spaces in it.
    pub fn with(line: &str, rest: impl IntoIterator<Item: AsRef<OsStr>>) -> End {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).args(["--plain", "-q"]).args(rest);
        End::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// The same, and it tells what it has done.
    pub fn telling(guard: Guard, line: &str) -> End {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace());
        match guard {
            Guard::Plain => command.arg("--plain"),
            Guard::Key => command.env("VIAMILLIPEDE_KEY", KEY),
        };
        End::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// The same with redirections, as the shell makes them.
    pub fn redirected(line: &str, redirections: &str) -> End {
        let script = format!("exec \"$0\" {line} --plain -q {redirections}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, PROGRAM]);
        End::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// The same under a limit, as `ulimit` takes it.
    pub fn limited(limit: &str, line: &str) -> End {
        let script = format!("exec </dev/null; ulimit {limit}; exec \"$0\" {line} --plain -q");
        let mut command = Command::new("sh");
        command.args(["-c", &script, PROGRAM]);
        End::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// This command, which may be no more than the program in another environment.
    pub fn spawn(command: &mut Command) -> End {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let (out, lines) = unbounded();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = out.send(line);
            }
        });
        End { child, lines, said: String::new() }
    }

    /// Waits for the ready line; the port in it.
    pub fn port(&mut self) -> u16 {
        let line = self.line(MARGIN).unwrap_or_else(|| panic!("no ready line: {:?}", self.said));
        listening(&line).unwrap_or_else(|| panic!("not ready: {line}")).port()
    }

    /// Waits until it, or a program of its own, says this line, which is then not among what it said.
    pub fn hears(&mut self, line: &str) {
        let heard = self.lines.recv_timeout(MARGIN);
        assert_eq!(heard.as_deref(), Ok(line), "said before: {:?}", self.said);
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is a pipe, taken once")
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("stdout is a pipe, taken once")
    }

    pub fn drain(&mut self) -> Drain {
        Drain::start(self.stdout())
    }

    pub fn signal(&self, signal: Signal) {
        // It is ours until it was waited for, so the number cannot be another's.
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it was not waited for yet");
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs");
        open.count()
    }

    /// How many descriptors it may have at most, if it is to get so many more and no others.
    pub fn descriptors_and(&self, more: usize) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs");
        let names = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let numbers: Vec<usize> = names.collect();
        // A limit is one of their numbers, and the lowest free one is taken next.
        let mut free = (0..).filter(|number| !numbers.contains(number));
        free.nth(more).expect("there are numbers enough")
    }

    /// Its number, for `/proc`.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it has ended by now.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child of ours").is_some()
    }

    /// Waits for its end, patience and a margin at most.
    pub fn ended(&mut self, patience: u64) -> Result<Ended, String> {
        self.ended_within(Duration::from_secs(patience) + MARGIN)
    }

    pub fn ended_within(&mut self, time: Duration) -> Result<Ended, String> {
        let deadline = Instant::now() + time;
        loop {
            match self.lines.recv_deadline(deadline) {
                Ok(line) => self.said.push_str(&(line + "\n")),
                Err(RecvTimeoutError::Timeout) => return Err(format!("still runs: {}", self.said)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = self.child.wait().expect("it is a child of ours");
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        let said = self.said.lines().filter(|line| !line.contains("listening on"));
        Ok(Ended { code, said: said.map(|line| format!("{line}\n")).collect() })
    }

    fn line(&mut self, within: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(within).ok()?;
        self.said.push_str(&format!("{line}\n"));
        Some(line)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Nothing to do where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Checks that it delivered, without a word.
    pub fn delivered(&self) {
        assert!(self.code == 0 && self.said.is_empty(), "not delivered: {self:?}");
    }

    /// Checks that it delivered, and said of it what it says at the end: that.
    pub fn summary(&self) -> Summary {
        assert_eq!(self.code, 0, "not delivered: {self:?}");
        Summary::find(&self.said).unwrap_or_else(|| panic!("no summary: {self:?}"))
    }

    /// Checks that it failed with this code and said one line, with these words, and at most a hint.
    pub fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let lines: Vec<&str> = self.said.lines().collect();
        let first = lines.first().and_then(|line| line.strip_prefix("viamillipede: "));
        let first = first.unwrap_or_else(|| panic!("no reason: {self:?}"));
        assert!(first.contains(": ") && first.contains(words), "not {words:?}: {self:?}");
        assert!(!first.contains("?: "), "something has no name: {self:?}");
        assert!(lines.len() <= 2, "more than a line: {self:?}");
        assert!(lines.iter().skip(1).all(|line| line.starts_with("hint: ")), "{self:?}");
    }
}

/// Both ends of a stream.
pub struct Pair {
    pub tx: End,
    pub rx: End,
    pub port: u16,
}

impl Pair {
    /// A receiver that listens and a sender that dials it, each with its own `patience` and `flags`.
    pub fn start(patience: u64, flags: &str) -> Pair {
        Pair::guarded(Guard::Plain, patience, flags)
    }

    /// The same, protected like this.
    pub fn guarded(guard: Guard, patience: u64, flags: &str) -> Pair {
        let mut rx = End::guarded(guard, &format!("rx 127.0.0.1:0 --patience {patience}"));
        let port = rx.port();
        let tx = format!("tx 127.0.0.1:{port} --patience {patience} {flags}");
        Pair { tx: End::guarded(guard, &tx), rx, port }
    }

    /// A receiver and a sender that need not lose patience, with `rx` and `tx` after their other
    /// arguments.
    pub fn with(rx: &[&str], tx: &[&str]) -> Pair {
        Pair::with_patience(LONG, rx, tx)
    }

    /// The same with this patience.
    pub fn with_patience(patience: u64, rx: &[&str], tx: &[&str]) -> Pair {
        let mut rx = End::with(&format!("rx 127.0.0.1:0 --patience {patience}"), rx);
        let port = rx.port();
        let tx = End::with(&format!("tx 127.0.0.1:{port} --patience {patience}"), tx);
        Pair { tx, rx, port }
    }

    /// The same with the roles of the connection turned round.
    pub fn reversed(patience: u64, flags: &str) -> Pair {
        Pair::reversed_guarded(Guard::Plain, patience, flags)
    }

    /// The same, protected like this.
    pub fn reversed_guarded(guard: Guard, patience: u64, flags: &str) -> Pair {
        let mut tx = End::guarded(guard, &format!("tx --listen 127.0.0.1:0 --patience {patience}"));
        let port = tx.port();
        let rx = format!("rx --connect 127.0.0.1:{port} --patience {patience} {flags}");
        Pair { tx, rx: End::guarded(guard, &rx), port }
    }

    /// Waits for both ends: how `tx` ended, how `rx` ended.
    pub fn ended(&mut self, patience: u64) -> (Ended, Ended) {
        match (self.tx.ended(patience), self.rx.ended(patience)) {
            (Ok(tx), Ok(rx)) => (tx, rx),
            (tx, rx) => panic!("a hang\ntx: {tx:?}\nrx: {rx:?}"),
        }
    }

    /// Waits for both ends: all is delivered, and both, which tell, say the same of it.
    pub fn whole(mut self, drain: Drain, total: u64) -> [Summary; 2] {
        let (tx, rx) = self.ended(LONG);
        assert_eq!(drain.finish(), total, "{tx:?} {rx:?}");
        let said = [tx.summary(), rx.summary()];
        assert!(said.iter().all(|said| said.stream_bytes == total), "{said:?}");
        assert_eq!(said[0].feet, said[1].feet, "{said:?}");
        said
    }

    /// Sends `bytes` and checks that they are whole and both ends content.
    pub fn deliver(mut self, bytes: u64) {
        super::stream::feed(self.tx.stdin(), bytes);
        let drain = self.rx.drain();
        let (tx, rx) = self.ended(LONG);
        tx.delivered();
        rx.delivered();
        assert_eq!(drain.finish(), bytes);
    }
}
