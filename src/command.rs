//! Programs of the user at the ends of a stream: COMMAND, which takes it, and `--source`, which gives it.
//!
//! A program runs in a process group of its own under a [`guardian`], a second process of ours that is its
//! parent and has copies of its pipe's ends. So long as the guardian has not heard that the stream is
//! whole, whatever becomes of us (SIGKILL too) ends the program's group before its input ends. If it is the
//! guardian that vanishes, we end the group ourselves and fail.
//!
//! Programs get the arguments byte for byte, our stderr, the environment without the key, and no descriptor
//! of ours but 0, 1 and 2. A process that starts programs asks [`guardian::was_asked`] before all else, since
//! the guardian is the same program started once more. Does not know feet, nor the other end.

pub mod guardian;
mod stdin;
mod word;

pub use stdin::Stdin;

use crate::cancel::{Cancel, wait};
use crate::error::{Error, plain};
use crate::key::source::KEY_VARIABLE;
use crate::pipe;
use crossbeam_channel::{Receiver, bounded};
use nix::poll::PollFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use word::Word;

/// How long the guardian may take to end a program while we end: SIGKILL takes no time, unless the program
/// hangs in the kernel. The guardian goes on by itself.
const KILLING: Duration = Duration::from_millis(200);

/// How long the guardian may take to end after its last word: it outlives who is not its to end.
const OUTLIVING: Duration = Duration::from_secs(1);

/// What a program did that leaves the stream's outcome no success, while its own status is one.
const LEFT_UNREAD: &str = "left input unread";
const GUARDIAN_GONE: &str = "its guardian was killed";

/// Where the stream meets a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The program reads it.
    Stdin,
    /// The program writes it; its own stdin is empty, since a program in the background that reads from a
    /// terminal would be stopped.
    Stdout,
}

/// A running program, under its guardian.
#[derive(Debug)]
pub struct Program {
    name: String,
    leash: Leash,
    /// Stops who waits for the pipe of a program that does not read it any more, or asks how it went.
    exited: Cancel,
    /// How it went, said once: or else why not well.
    verdict: Receiver<Result<(), String>>,
}

/// Our hold on a program. Clones hold the same one; the guardian feels it when the process that has them
/// ends in any way.
#[derive(Clone, Debug)]
pub struct Leash(Arc<UnixStream>);

impl Program {
    /// Starts the program `argv`, whose first part is looked for as a shell does, and returns with it our
    /// end of the pipe to `side`; to a program's stdin that end does not block. Errors call it `name`;
    /// `on_failure` hears as soon as it fails, on another thread.
    pub fn start(
        name: &str,
        argv: &[OsString],
        side: Side,
        on_failure: impl FnOnce(Error) + Send + 'static,
    ) -> Result<(Program, File), Error> {
        let failed = |error| unstarted(name, &error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        pipe::widen(&writer);
        let (guardian, control) = start_guardian(argv, side).map_err(failed)?;
        let ours = match side {
            Side::Stdin => {
                word::hand_over(&control, &[reader.as_fd(), writer.as_fd()]).map_err(failed)?;
                // This end is ours and the guardian's alone, who never writes.
                rustix::io::ioctl_fionbio(&writer, true).map_err(|it| failed(it.into()))?;
                OwnedFd::from(writer)
            }
            Side::Stdout => {
                word::hand_over(&control, &[writer.as_fd()]).map_err(failed)?;
                OwnedFd::from(reader)
            }
        };
        let program = match Word::hear(&control).map_err(failed)? {
            Some(Word::Started(pid)) => {
                Program::watch(name, pid, guardian, control, side, on_failure)?
            }
            Some(Word::NotStarted(number)) => {
                return Err(failed(io::Error::from_raw_os_error(number)));
            }
            _ => return Err(command_error(name, GUARDIAN_GONE.into())),
        };
        Ok((program, File::from(ours)))
    }

    /// Hears on a thread of its own how it goes with the program.
    fn watch(
        name: &str,
        pid: i32,
        mut guardian: Child,
        control: UnixStream,
        side: Side,
        on_failure: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Program, Error> {
        let out_of = |what: &'static str| move |error| Error::io(what, error);
        let leash = Leash(Arc::new(control));
        let exited = Cancel::new().map_err(out_of("a descriptor"))?;
        // There is one verdict: who says it never waits.
        let (say, verdict) = bounded(1);
        let named = name.to_owned();
        let control = Arc::clone(&leash.0);
        let told = exited.clone();
        let hear = move || {
            let verdict = hear(&control, pid, side, &told);
            if side == Side::Stdin && is_gone_within(&control, OUTLIVING) {
                // It has said its last word, or is dead: so it is not there any more when we end.
                let _ = guardian.wait();
            }
            if let Err(cause) = &verdict {
                on_failure(command_error(&named, cause.clone()));
            }
            // Nobody listens when the run is over.
            let _ = say.send(verdict);
            told.cancel();
            // That of a program that writes the stream stays until the session ends.
            let _ = guardian.wait();
        };
        thread::Builder::new().name("guardian".into()).spawn(hear).map_err(out_of("a thread"))?;
        Ok(Program { name: name.to_owned(), leash, exited, verdict })
    }

    /// Our hold on it, to end it with.
    pub fn leash(&self) -> Leash {
        self.leash.clone()
    }

    /// Says that the stream is whole, to a program that reads it: it may see the end of its input, and what
    /// it has started may live on.
    pub fn commit(&self) {
        // Where the guardian is gone the verdict says so.
        let _ = (&*self.leash.0).write_all(&[word::COMMIT]);
    }

    /// Waits until the program has ended well; one that reads the stream does not before
    /// [`Program::commit`]. False when cancelled.
    pub fn wait(&self, cancel: &Cancel) -> Result<bool, Error> {
        let mut wanted = [self.exited.as_fd(), cancel.as_fd()].map(|fd| (fd, PollFlags::POLLIN));
        wait(&mut wanted, None).map_err(|error| unstarted(&self.name, &error))?;
        if cancel.is_cancelled() { Ok(false) } else { self.verdict().map(|()| true) }
    }

    /// The same with no end to it.
    fn verdict(&self) -> Result<(), Error> {
        let verdict = self.verdict.recv().unwrap_or_else(|_| Err(GUARDIAN_GONE.into()));
        verdict.map_err(|cause| command_error(&self.name, cause))
    }

    /// Why the program takes no more input, once it has exited.
    fn refusal(&self) -> Error {
        let cause = match self.verdict.try_recv() {
            Ok(Err(cause)) => cause,
            Ok(Ok(())) | Err(_) => LEFT_UNREAD.to_owned(),
        };
        command_error(&self.name, cause)
    }
}

impl Leash {
    /// Ends the program with its whole group; nothing happens where one that reads the stream has ended well.
    pub fn end(&self) {
        // Fails only where the guardian is gone.
        let _ = self.0.shutdown(Shutdown::Write);
        is_gone_within(&self.0, KILLING);
    }
}

/// Waits for the end of the guardian at the other end; whether it comes.
fn is_gone_within(control: &UnixStream, time: Duration) -> bool {
    // Without any wish a descriptor tells only that its other end is closed.
    let told = wait(&mut [(control.as_fd(), PollFlags::empty())], Some(Instant::now() + time));
    told.is_ok_and(|[told]| !told.is_empty())
}

/// Hears from the guardian how a program ended: or else why not well.
fn hear(control: &UnixStream, pid: i32, side: Side, exited: &Cancel) -> Result<(), String> {
    match Word::hear(control) {
        Ok(Some(Word::Exited(status))) if !status.is_success() => return Err(status.to_string()),
        Ok(Some(Word::Exited(_))) if side == Side::Stdout => return Ok(()),
        Ok(Some(Word::Exited(_))) => exited.cancel(),
        _ => {
            // Nobody else is left who would. The program was running a moment ago, so the number is still
            // its group's.
            if let Some(group) = Pid::from_raw(pid) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            return Err(GUARDIAN_GONE.into());
        }
    }
    // It takes nothing more: how much it has left is told once the stream is whole, or at once if it is lost already.
    match Word::hear(control) {
        Ok(Some(Word::Unread(0))) => Ok(()),
        Ok(Some(Word::Unread(_))) => Err(LEFT_UNREAD.into()),
        _ => Err(GUARDIAN_GONE.into()),
    }
}

/// Starts the guardian; its end of what it is told on is its stdin.
fn start_guardian(argv: &[OsString], side: Side) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut guardian = Command::new(own_program()?);
    guardian.arg0(guardian::SHOWN_NAME).arg(guardian::NAME).arg(side.word()).args(argv);
    guardian.process_group(0).stdin(OwnedFd::from(theirs));
    Ok((without_key(&mut guardian).spawn()?, ours))
}

/// Takes the key out of what a program is to know.
pub(crate) fn without_key(command: &mut Command) -> &mut Command {
    command.env_remove(KEY_VARIABLE)
}

/// Our own program: on Linux also when its file was replaced since we started.
fn own_program() -> io::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && itself.exists() { Ok(itself) } else { std::env::current_exe() }
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Stdin => "stdin",
            Side::Stdout => "stdout",
        }
    }

    fn parse(word: &OsStr) -> Option<Side> {
        [Side::Stdin, Side::Stdout].into_iter().find(|side| word == side.word())
    }
}

fn unstarted(name: &str, error: &io::Error) -> Error {
    command_error(name, format!("could not be started: {}", plain(error)))
}

fn command_error(name: &str, cause: String) -> Error {
    Error::Command { what: name.to_owned(), cause }
}
