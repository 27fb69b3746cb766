//! The `ssh` process: started, killed, waited for.
//!
//! It stays in our process group, since it may ask for a password on the terminal. Does not know what goes
//! through it.

use crate::command::without_key;
use crate::config::SshCommand;
use crate::error::Error;
use crate::ignored;
use crate::pipe;
use crossbeam_channel::{Receiver, bounded, select};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What the far end's program is started with, hidden from its users.
pub const ARGUMENTS: [&str; 2] = ["remote", "--stdio"];

/// How long ssh may take to say what it knows of a host: it may run programs of the user's for that, and what is
/// not quite ssh may take the question for something else.
const NAMING: Duration = Duration::from_secs(5);
/// Most that is heard of that.
const MAX_CONFIGURATION_BYTES: u64 = 1 << 20;

/// A running ssh.
#[derive(Debug)]
pub struct Ssh {
    child: Mutex<Child>,
    pid: u32,
}

impl Ssh {
    /// Starts it; with it come its stdin and its stdout. Its stderr is ours.
    pub fn start(command: &SshCommand) -> Result<(Ssh, File, File), Error> {
        let mut ssh = base(command);
        // As rsync does: the far shell takes the program apart.
        ssh.arg(&command.host).arg(&command.program).args(ARGUMENTS);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |error| Error::io(command.words[0].clone(), error);
        // How it ends tells most of what can go wrong.
        ignored::heed_children().map_err(failed)?;
        let mut child = ssh.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = pipes else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        pipe::widen(&stdin);
        pipe::widen(&stdout);
        let pid = child.id();
        let ssh = Ssh { child: Mutex::new(child), pid };
        Ok((ssh, OwnedFd::from(stdin).into(), OwnedFd::from(stdout).into()))
    }

    /// Waits for its end.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        // First without taking its number away from it, so that it can be killed meanwhile.
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid.cast_signed()) {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
        }
        self.child().wait()
    }

    /// Asks it to end, if it is still there; the far end notices.
    pub fn kill(&self) {
        let mut child = self.child();
        // It was not waited for, so its number cannot be another's.
        if let Ok(None) = child.try_wait() {
            let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM);
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which ssh's own configuration knows the host: what `ssh -G` says, if it says so in time.
pub fn configured_name(
    command: &SshCommand,
    interrupt: &Receiver<Error>,
) -> Result<Option<String>, Error> {
    let mut ssh = base(command);
    ssh.arg("-G").arg(&command.host);
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = ssh.spawn() else { return Ok(None) };
    let (say, said) = bounded(1);
    if let Some(stdout) = child.stdout.take() {
        let read = move || {
            let mut text = String::new();
            if stdout.take(MAX_CONFIGURATION_BYTES).read_to_string(&mut text).is_ok() {
                let _ = say.send(text);
            }
        };
        // Without the thread nothing is heard.
        drop(thread::Builder::new().name("ssh -G".into()).spawn(read));
    }
    let name = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("hostname ")).map(str::to_owned)
    };
    let found = select! {
        recv(said) -> text => Ok(text.ok().and_then(name)),
        recv(interrupt) -> error => error.map_or(Ok(None), Err),
        default(NAMING) => Ok(None),
    };
    // It has said all that is wanted of it.
    let _ = child.kill();
    let _ = child.wait();
    found
}

fn base(command: &SshCommand) -> Command {
    let (program, arguments) = command.words.split_first().expect("it has a word, or is none");
    let mut ssh = Command::new(OsStr::new(program));
    without_key(ssh.args(arguments));
    ssh
}
