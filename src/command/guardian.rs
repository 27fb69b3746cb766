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
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// The first argument of a process that is to be a guardian. The second is a side, and the rest is the
/// program. Nobody else says this.
pub(super) const NAME: &str = "guardian";

/// What lists of processes call a guardian: another name than ours, so that `pkill -9` or `killall -9` by
/// our name does not kill it together with those whom it guards against. It has to fit in 15 bytes.
pub(super) const SHOWN_NAME: &str = "millipede-guard";

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
    let mut guardian =
        Guardian { control, bell, child, group: Pid::from_raw(group), input, output: ends.next() };
    // Also when it cannot be said: the program runs.
    let _ = Word::Started(group).say(&guardian.control);
    // Whatever the error was, the pipe closes with us.
    guardian.watch().or_else(|_| guardian.kill())
}

struct Guardian {
    control: UnixStream,
    /// Readable after a signal.
    bell: UnixStream,
    child: Child,
    /// The program's process group, which has its leader's number until that is waited for.
    group: Option<Pid>,
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
        let Some(pid) = self.group else { return Ok(None) };
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
        if let Some(group) = self.group.take() {
            // Fails where all of them have ended.
            let _ = kill_process_group(group, Signal::KILL);
            self.child.wait()?;
        }
        Ok(())
    }
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
