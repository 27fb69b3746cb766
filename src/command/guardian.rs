//! The guardian: this program started once more, as the parent of one program of the user's.
//!
//! It has one thread and one purpose. It holds copies of the ends of the program's stdin, so that no end
//! of input reaches the program before the stream is said to be whole; when those who started it say to, or
//! vanish, it ends the program's whole group, and only then lets the pipe close. A program that writes the
//! stream is never said to be done with: what it has started ends with the session. The signals that end
//! them do not end it. Does not know what flows through the pipe.

use super::Side;
use super::word::{self, Status, Word};
use crate::cancel::wait;
use nix::poll::PollFlags;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, test_kill_process_group,
    waitid,
};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// The first argument of a process that is to be a guardian. The second is a side, and the rest is the
/// program. Nobody else says this.
pub(super) const NAME: &str = "guardian";

/// What lists of processes call a guardian: another name than ours, so that `pkill -9` or `killall -9` by
/// our name does not kill it together with those whom it guards against. It has to fit in 15 bytes.
pub(super) const SHOWN_NAME: &str = "millipede-guard";

/// How soon is looked whether a group that was killed is gone, and how often in the end.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Signals that are heard, and do nothing. They are not ignored: the program would inherit that.
const UNHEEDED: [i32; 6] = [SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM];

/// Whether the process is to be a guardian; then it was, and is to end.
pub fn was_asked(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if arguments.nth(1).is_none_or(|first| first != NAME) {
        return false;
    }
    let Some(side) = arguments.next().and_then(|word| Side::parse(&word)) else { return false };
    // Whoever types it has no socket there, and is to hear that there is no such command.
    if !is_socket(io::stdin()) {
        return false;
    }
    let argv: Vec<OsString> = arguments.collect();
    // Whoever started us learns of an error by our end.
    let _ = guard(side, &argv);
    true
}

fn is_socket(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket())
}

fn guard(side: Side, argv: &[OsString]) -> io::Result<()> {
    show_name();
    let bell = hear_signals()?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut ends = word::take_over(&control)?.into_iter();
    let Some(first) = ends.next() else { return Ok(()) };
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    let input = match side {
        Side::Stdin => {
            command.stdin(first.try_clone()?);
            Some(first)
        }
        Side::Stdout => {
            command.stdin(Stdio::null()).stdout(first);
            None
        }
    };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Word::NotStarted(error.raw_os_error().unwrap_or_default()).say(&control);
        }
    };
    drop(command); // it has a copy of the pipe's end
    let group = child.id().cast_signed();
    let (output, group_id) = (ends.next(), Pid::from_raw(group));
    let mut guardian =
        Guardian { control, bell, child, group: group_id, is_killed: false, input, output };
    // Also when it cannot be said: the program runs.
    let _ = Word::Started(group).say(&guardian.control);
    // Whatever the error was, the pipe closes with us.
    guardian.watch().or_else(|_| guardian.kill())?;
    guardian.outlive_group()
}

struct Guardian {
    control: UnixStream,
    /// Readable after a signal.
    bell: UnixStream,
    child: Child,
    /// The program's process group, which has its leader's number.
    group: Option<Pid>,
    /// All of it that is ours to end has been ended.
    is_killed: bool,
    /// The end that the program reads, to see what it leaves there.
    input: Option<OwnedFd>,
    /// The end that is written to, so that the program does not see it close.
    output: Option<OwnedFd>,
}

impl Guardian {
    fn watch(&mut self) -> io::Result<()> {
        let (mut has_exited, mut is_whole) = (false, false);
        loop {
            if !has_exited && let Some(status) = self.status()? {
                if !status.is_success() {
                    return self.end(status);
                }
                has_exited = true;
                Word::Exited(status).say(&self.control)?;
                if self.unread_bytes()? > 0 {
                    return self.tell_unread(); // they are lost, whatever may come
                }
            }
            if has_exited && is_whole {
                return self.tell_unread();
            }
            let wanted =
                [self.control.as_fd(), self.bell.as_fd()].map(|fd| (fd, PollFlags::POLLIN));
            let [control, _] = wait(&mut { wanted }, None)?;
            // It only wakes, and what it was for is looked at in any case.
            let _ = self.bell.read(&mut [0; 64]);
            if control.is_empty() {
                continue;
            }
            match self.control.read(&mut [0]) {
                Ok(1) => {
                    is_whole = true;
                    self.output = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Told to, or alone.
                _ => return self.end(Status::Signal(Signal::KILL.as_raw())),
            }
        }
    }

    /// How the program ended, if it has; it is not waited for, so that its group keeps its number.
    fn status(&self) -> io::Result<Option<Status>> {
        let Some(pid) = self.group.filter(|_| !self.is_killed) else { return Ok(None) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(status) = waitid(WaitId::Pid(pid), options)? else { return Ok(None) };
        let code = status.exit_status().map(Status::Code);
        Ok(code.or(status.terminating_signal().map(Status::Signal)))
    }

    /// What is left of the group may live on only where nothing was left unread.
    fn tell_unread(&mut self) -> io::Result<()> {
        let unread_bytes = self.unread_bytes()?;
        if unread_bytes > 0 {
            self.kill()?;
        }
        Word::Unread(unread_bytes).say(&self.control)
    }

    fn unread_bytes(&self) -> io::Result<u64> {
        Ok(self.input.as_ref().map_or(Ok(0), rustix::io::ioctl_fionread)?)
    }

    /// Ends all of the group and waits for the program, before the pipe closes with us.
    fn end(&mut self, status: Status) -> io::Result<()> {
        self.kill()?;
        Word::Exited(status).say(&self.control)
    }

    fn kill(&mut self) -> io::Result<()> {
        let Some(group) = self.group.filter(|_| !self.is_killed) else { return Ok(()) };
        self.is_killed = true;
        // Fails where all of them have ended.
        let _ = kill_process_group(group, Signal::KILL);
        // Its leader has the same number. One that has ended takes a signal, too.
        if kill_process(group, Signal::KILL).is_ok() {
            self.child.wait()?;
        }
        Ok(())
    }

    /// Of a group that was killed nobody may see the pipe close: who runs as another user (`sudo`) is not ours to end,
    /// and is outlived. The group keeps its number as long as it has anybody.
    fn outlive_group(&mut self) -> io::Result<()> {
        let is_guarded = self.is_killed && self.output.is_some();
        let Some(group) = self.group.filter(|_| is_guarded) else { return Ok(()) };
        let mut pause = FIRST_LOOK;
        let mut is_told = false;
        while self.child.try_wait()?.is_none() || is_alive(group) {
            let is_foreign = test_kill_process_group(group) == Err(Errno::PERM);
            if pause >= LAST_LOOK && is_foreign && !is_told {
                is_told = true;
                let number = group.as_raw_nonzero();
                // Whoever listened may be gone, which changes nothing.
                let _ = writeln!(
                    io::stderr(),
                    "viamillipede: process group {number} runs as another user and cannot be ended: it waits for input for ever"
                );
            }
            thread::sleep(pause); // nothing tells of the end of a group
            pause = LAST_LOOK.min(2 * pause);
        }
        Ok(())
    }
}

/// Whether anybody of a group lives. That there is one to be signalled is not enough: who has ended and was left
/// behind by its parent waits for the first process of the system, which in a container may never look.
fn is_alive(group: Pid) -> bool {
    let is_there = test_kill_process_group(group) != Err(Errno::SRCH);
    let Ok(processes) = fs::read_dir("/proc") else { return is_there };
    let number = group.as_raw_nonzero().to_string();
    let lives = |stat: String| {
        // The name before that may have anything in it. Then: state, parent, group.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        (fields.nth(1)? == number && !matches!(state, "Z" | "X")).then_some(())
    };
    let read = |process: fs::DirEntry| fs::read_to_string(process.path().join("stat")).ok();
    is_there && processes.flatten().filter_map(read).any(|stat| lives(stat).is_some())
}

/// A descriptor that is readable after any signal that would otherwise end us, and when a child ends.
fn hear_signals() -> io::Result<UnixStream> {
    let (bell, ring) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    // `nohup` has it ignored, for the program too.
    let hangup = (!crate::ignored::is_ignored(SIGHUP)).then_some(SIGHUP);
    for signal in UNHEEDED.into_iter().chain([SIGCHLD]).chain(hangup) {
        signal_hook::low_level::pipe::register(signal, ring.try_clone()?)?;
    }
    Ok(bell)
}

/// The system takes the name from the file that was started.
#[cfg(target_os = "linux")]
fn show_name() {
    let name = std::ffi::CString::new(SHOWN_NAME).expect("there is no NUL in it");
    let _ = nix::sys::prctl::set_name(&name);
}

#[cfg(not(target_os = "linux"))]
fn show_name() {}
