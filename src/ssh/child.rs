//! The `ssh` process: started, killed, waited for.
//!
//! It stays in our process group, since it may ask for a password on the terminal. Does not know what goes
//! through it.

use crate::command::without_key;
use crate::config::SshCommand;
use crate::error::Error;
use crate::pipe;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the far end's program is started with, hidden from its users.
pub const ARGUMENTS: [&str; 2] = ["remote", "--stdio"];

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

/// The name under which ssh's own configuration knows the host: what `ssh -G` says.
pub fn configured_name(command: &SshCommand) -> Option<String> {
    let mut ssh = base(command);
    ssh.arg("-G").arg(&command.host).stdin(Stdio::null()).stderr(Stdio::null());
    let said = ssh.output().ok().filter(|it| it.status.success())?;
    let said = String::from_utf8(said.stdout).ok()?;
    said.lines().find_map(|line| line.strip_prefix("hostname ")).map(str::to_owned)
}

fn base(command: &SshCommand) -> Command {
    let (program, arguments) = command.words.split_first().expect("it has a word, or is none");
    let mut ssh = Command::new(OsStr::new(program));
    without_key(ssh.args(arguments));
    ssh
}
