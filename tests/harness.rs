//! The program as real processes, each under a limit of time.
//!
//! A process that is dropped, or lives too long, is killed: so whoever waits for it, reads from it or
//! writes to it always comes to an end. When a test fails it tells what each of its processes said.
//! Does not know what a stream is.

use crossbeam_channel::{Receiver, bounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked at what does not tell when it changes.
const LOOK: Duration = Duration::from_millis(20);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_viamillipede");

/// How long one process may live: far more than any test needs, for the machine may be busy.
const LIFE: Duration = Duration::from_secs(120);
/// The same in the full battery.
const FULL_LIFE: Duration = Duration::from_secs(1800);

/// Whether the full battery was asked for, and not only a sample of it.
pub fn is_full() -> bool {
    std::env::var_os("VIAMILLIPEDE_FULL").is_some_and(|value| value == "1")
}

/// How long anything may be waited for.
pub fn deadline() -> Instant {
    Instant::now() + if is_full() { FULL_LIFE } else { LIFE }
}

/// The program with these arguments; stdin, stdout and stderr are pipes until said otherwise.
pub fn viamillipede(line: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(line.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One running process.
pub struct End {
    line: String,
    pid: Pid,
    /// Its stdin, where that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its stdout, where that is a pipe.
    pub stdout: Option<ChildStdout>,
    said: Arc<Said>,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
}

impl End {
    /// Starts the program with these arguments.
    pub fn start(line: &str) -> End {
        End::run(viamillipede(line))
    }

    /// Starts this command.
    pub fn run(mut command: Command) -> End {
        let line = format!("{command:?}");
        let mut child = command.spawn().expect("the process starts");
        let pid = Pid::from_raw(child.id().cast_signed());
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let said = Arc::new(Said::default());
        match child.stderr.take() {
            Some(stderr) => {
                let said = Arc::clone(&said);
                thread::spawn(move || said.hear(stderr));
            }
            None => said.lock().is_over = true,
        }
        End { line, pid, stdin, stdout, said, ended: await_end(child, pid), status: None }
    }

    /// The first address that it listens on.
    pub fn ready(&self) -> SocketAddr {
        self.hears(|said| said.lines().find_map(listening))
    }

    /// Waits until `find` finds what it looks for in the whole lines that were said so far.
    pub fn hears<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        let mut heard = self.said.lock();
        let until = deadline();
        loop {
            let whole = heard.text.rfind('\n').map_or(0, |end| end + 1);
            if let Some(found) = find(&heard.text[..whole]) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            let gone = heard.is_over || left.is_zero();
            if gone {
                drop(heard);
                panic!("it never said what was waited for: {}", self.line);
            }
            (heard, _) =
                self.said.more.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All that it said so far on stderr.
    pub fn said(&self) -> String {
        self.said.lock().text.clone()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            kill(self.pid, signal).expect("a process of ours takes signals");
        }
    }

    /// Its number, for `/proc`.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Closes its stdin and waits for its end: its exit code, or the number of the signal that ended
    /// it, negated. Afterwards all that it said is known.
    pub fn code(&mut self) -> i32 {
        drop(self.stdin.take());
        if self.status.is_none() {
            self.status = self.ended.recv().ok();
        }
        let mut heard = self.said.lock();
        while !heard.is_over {
            heard = self.said.more.wait(heard).unwrap_or_else(PoisonError::into_inner);
        }
        let status = self.status.expect("who waits for the process always reports");
        status.code().or(status.signal().map(|signal| -signal)).expect("one or the other")
    }

    fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.ended.try_recv().ok();
        }
        self.status.is_none()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.ended.recv();
        }
        if thread::panicking() {
            eprintln!("--- {}: {:?}, said:\n{}", self.line, self.status, self.said());
        }
    }
}

/// The address in a ready line.
pub fn listening(line: &str) -> Option<SocketAddr> {
    let address = line.strip_prefix("viamillipede: listening on ")?;
    Some(address.parse().expect("an address is in the ready line"))
}

/// Waits for the process on threads of its own, and kills it when it lives too long.
fn await_end(mut child: Child, pid: Pid) -> Receiver<ExitStatus> {
    let (waited, is_waited) = bounded(1);
    thread::spawn(move || {
        let status = child.wait().expect("a process of ours can be waited for");
        let _ = waited.send(status);
    });
    let (end, ended) = bounded(1);
    thread::spawn(move || {
        let status = is_waited.recv_deadline(deadline()).or_else(|_| {
            let _ = kill(pid, Signal::SIGKILL);
            is_waited.recv()
        });
        let _ = end.send(status.expect("the waiting thread always reports"));
    });
    ended
}

/// What a process said on stderr.
#[derive(Default)]
struct Said {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    text: String,
    is_over: bool,
}

impl Said {
    fn hear(&self, mut stderr: ChildStderr) {
        let mut chunk = [0; 4096];
        loop {
            let bytes = stderr.read(&mut chunk).unwrap_or(0);
            let mut heard = self.lock();
            heard.text += &String::from_utf8_lossy(&chunk[..bytes]);
            heard.is_over = bytes == 0;
            self.more.notify_all();
            if bytes == 0 {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an end says of its run in its last line.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub stream_bytes: u64,
    pub feet: u64,
    pub sent_again: u64,
    pub lost_connections: u64,
}

impl Summary {
    /// Looks for it in what was said.
    pub fn find(said: &str) -> Option<Summary> {
        let line = said.lines().find(|line| line.contains(" on the wire (ratio "))?;
        let number = |text: &str| text.split_whitespace().find_map(|word| word.parse().ok());
        let counts = line.split("; ").find(|part| part.contains(" sent again, "))?;
        let mut counts = counts.split(", ").map(number);
        Some(Summary {
            stream_bytes: number(line)?,
            feet: counts.next()??,
            sent_again: counts.next()??,
            lost_connections: counts.next()??,
        })
    }
}

/// The most memory that a process has ever had, in KiB.
#[cfg(target_os = "linux")]
pub fn highest_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.expect("the kernel tells the highest").trim_end_matches("kB");
    line.trim().parse().expect("a number")
}

/// The most memory that an end with a window of so many MiB may have, in KiB.
#[cfg(target_os = "linux")]
pub fn most_kib(window_mib: u64) -> u64 {
    (window_mib * 5 / 4 + 96) * 1024
}

/// Processor time that a process has used, user and system, in ticks of a hundredth of a second.
#[cfg(target_os = "linux")]
pub fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Waits until of a second of all these processes less than so many ticks are work.
#[cfg(target_os = "linux")]
pub fn until_quiet(pids: &[i32], ticks_each: u64) {
    let all = || pids.iter().map(|pid| ticks(*pid)).collect::<Vec<u64>>();
    let (until, mut before) = (deadline(), all());
    loop {
        // That time over which work is counted.
        thread::sleep(Duration::from_secs(1));
        let now = all();
        if now.iter().zip(&before).all(|(now, before)| now - before < ticks_each) {
            return;
        }
        assert!(Instant::now() < until, "an end that waits works all the time: {now:?} ticks");
        before = now;
    }
}

/// Waits until `find` finds something, where it can only be looked at: files, processes, counters. `instead` says
/// what there is if it never does.
pub fn until_found<T>(find: impl Fn() -> Option<T>, instead: impl Fn() -> String) -> T {
    let until = deadline();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < until, "{}", instead());
        thread::sleep(LOOK);
    }
}

/// Does `task` for all `items`, a few at a time.
pub fn side_by_side<T: Send>(items: impl IntoIterator<Item = T>, task: impl Fn(T) + Sync) {
    const AT_ONCE: usize = 4;
    let items = Mutex::new(items.into_iter().collect::<Vec<T>>().into_iter());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = next() {
                    task(item);
                }
            });
        }
    });
}
