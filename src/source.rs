//! Where a stream comes from: stdin, a file, or what a program writes.
//!
//! A file is opened at once; a program is started when the ends have met, so that its failure is told at
//! both. An end of file ends the stream of stdin or a file. That of a program counts only once the program
//! has exited with 0. Does not know who reads it, nor where the stream goes.

use crate::cancel::Cancel;
use crate::command::{Program, Side, without_key};
use crate::config::Input;
use crate::error::Error;
use crate::sink::Remains;
use crate::{pipe, stdio};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::fcntl::OFlag;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program is called that was asked for with this option: what it is made of may be long.
const PROGRAM_NAME: &str = "--source";

/// Where a stream comes from.
#[derive(Debug)]
pub struct Source {
    name: String,
    origin: Origin,
    size_bytes: Option<u64>,
    alarm: Alarm,
    failures: Receiver<Error>,
}

#[derive(Debug)]
enum Origin {
    File(File),
    /// For `sh`.
    Command(OsString),
}

/// Ends the transmission of a source, from outside. Clones ring the same one.
#[derive(Clone, Debug)]
pub struct Alarm(Sender<Error>);

impl Alarm {
    /// Gives the reason, unless there is another already.
    pub fn ring(&self, error: Error) {
        let _ = self.0.try_send(error);
    }
}

impl Source {
    /// The source that was asked for. Opens a file, and starts nothing.
    pub fn open(input: &Input) -> Result<Source, Error> {
        match input {
            Input::Stdin => Source::of_file("stdin".into(), stdio::stdin()?),
            Input::File(path) => {
                let name = path.display().to_string();
                let file = open(path).map_err(|error| Error::io(&name, error))?;
                Source::of_file(name, file)
            }
            Input::Source(command) => {
                Ok(Source::new(PROGRAM_NAME.into(), Origin::Command(command.clone()), None))
            }
        }
    }

    /// An open file, from where it stands; errors call it `name`.
    pub fn of_file(name: String, mut file: File) -> Result<Source, Error> {
        let size_bytes = rest(&mut file).map_err(|error| Error::io(&name, error))?;
        pipe::widen(&file);
        Ok(Source::new(name, Origin::File(file), size_bytes))
    }

    fn new(name: String, origin: Origin, size_bytes: Option<u64>) -> Source {
        // There is one reason why a transmission fails: who gives another does not wait.
        let (alarm, failures) = bounded(1);
        Source { name, origin, size_bytes, alarm: Alarm(alarm), failures }
    }

    /// Lets others end the transmission.
    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    /// How much there is, where that is known: of a regular file and a block device.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// Hears of a failure of a program, or of the alarm, as soon as it comes.
    pub(crate) fn failures(&self) -> Receiver<Error> {
        self.failures.clone()
    }

    /// The stream begins: starts a program.
    pub(crate) fn start(self) -> Result<Flow, Error> {
        let Source { name, origin, alarm, .. } = self;
        let (file, program) = match origin {
            Origin::File(file) => (file, None),
            Origin::Command(command) => {
                let on_failure = move |error| alarm.ring(error);
                let (program, file) =
                    Program::start(&name, &shell(&command), Side::Stdout, on_failure)?;
                (file, Some(program))
            }
        };
        Ok(Flow { name, file, program })
    }
}

/// A source whose stream has begun.
#[derive(Debug)]
pub(crate) struct Flow {
    name: String,
    file: File,
    program: Option<Program>,
}

impl Flow {
    /// What it is, for error messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// After an end of file: makes sure that it is the end. Waits for a program, unless cancelled; false
    /// then.
    pub(crate) fn finish(&self, cancel: &Cancel) -> Result<bool, Error> {
        self.program.as_ref().map_or(Ok(true), |program| program.wait(cancel))
    }

    /// What stays behind when the session ends: a program, or what it has started.
    pub(crate) fn remains(&self) -> Remains {
        self.program.as_ref().map_or_else(Remains::none, |program| {
            let leash = program.leash();
            Remains::new(move || leash.end())
        })
    }
}

impl Read for Flow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl AsFd for Flow {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens a file to read. A FIFO is open at once, and read when somebody writes to it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// What is left of a file or block device from the place where reading begins; none for anything else
/// that can be read.
fn rest(file: &mut File) -> io::Result<Option<u64>> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let is_device = kind.is_block_device();
    if !is_device && !kind.is_file() {
        return Ok(None);
    }
    let here = file.stream_position()?;
    let size = if is_device { file.seek(SeekFrom::End(0))? } else { metadata.len() };
    if is_device {
        file.seek(SeekFrom::Start(here))?;
    }
    Ok(Some(size.saturating_sub(here)))
}

/// The shell that runs a command; where it can, it fails when any part of a pipeline does. The command's
/// text stays as it is, so that the shell's own errors are about what was written.
fn shell(command: &OsStr) -> Vec<OsString> {
    let strict: &[&str] = if has_pipefail() { &["-o", "pipefail"] } else { &[] };
    let arguments = ["sh"].iter().chain(strict).chain(&["-c", "--"]);
    arguments.map(OsString::from).chain([command.to_owned()]).collect()
}

fn has_pipefail() -> bool {
    let mut trial = Command::new("sh");
    trial.args(["-o", "pipefail", "-c", "echo"]);
    trial.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = without_key(&mut trial).spawn() else { return false };
    let mut said = Vec::new();
    let heard = child.stdout.take().map(|mut stdout| stdout.read_to_end(&mut said));
    // Not by its status, which is lost where whoever started us ignores SIGCHLD.
    let _ = child.wait();
    heard.is_some_and(|heard| heard.is_ok()) && !said.is_empty()
}
