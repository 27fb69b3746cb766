//! Where a stream comes from: stdin, a file, or what a program writes.
//!
//! An end of file ends the stream of stdin or a file. That of a program counts only once the program has
//! exited with 0. Does not know who reads it, nor where the stream goes.

use crate::cancel::Cancel;
use crate::command::{Program, Side};
use crate::config::Input;
use crate::error::Error;
use crate::sink::Remains;
use crate::{pipe, stdio};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};

/// What the program is called that was asked for with this option: what it is made of may be long.
const PROGRAM_NAME: &str = "--source";

/// Where a stream comes from.
#[derive(Debug)]
pub struct Source {
    name: String,
    file: File,
    program: Option<Program>,
    size_bytes: Option<u64>,
    alarm: Alarm,
    failures: Receiver<Error>,
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
    /// Opens the source that was asked for, before anything is sent.
    pub fn open(input: &Input) -> Result<Source, Error> {
        match input {
            Input::Stdin => Source::of_file("stdin".into(), stdio::stdin()?),
            Input::File(path) => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| Error::io(&name, error))?;
                Source::of_file(name, file)
            }
            Input::Source(command) => {
                let (alarm, failures) = bounded(1);
                let alarm = Alarm(alarm);
                let argv = shell(command);
                let told = alarm.clone();
                let (program, file) =
                    Program::start(PROGRAM_NAME, &argv, Side::Stdout, move |it| told.ring(it))?;
                let (name, program) = (PROGRAM_NAME.to_owned(), Some(program));
                Ok(Source { name, file, program, size_bytes: None, alarm, failures })
            }
        }
    }

    /// An open file, from where it stands; errors call it `name`.
    pub fn of_file(name: String, mut file: File) -> Result<Source, Error> {
        let size_bytes = rest(&mut file).map_err(|error| Error::io(&name, error))?;
        pipe::widen(&file);
        let (alarm, failures) = bounded(1);
        Ok(Source { name, file, program: None, size_bytes, alarm: Alarm(alarm), failures })
    }

    /// Lets others end the transmission.
    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    /// How much there is, where that is known: of a regular file and a block device.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// What it is, for error messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// After an end of file: makes sure that it is the end. Waits for a program, unless cancelled; false
    /// then.
    pub(crate) fn finish(&self, cancel: &Cancel) -> Result<bool, Error> {
        let Some(program) = &self.program else { return Ok(true) };
        let is_whole = program.wait(cancel)?;
        if is_whole {
            program.commit();
        }
        Ok(is_whole)
    }

    /// Hears of a failure of a program, or of the alarm, as soon as it comes.
    pub(crate) fn failures(&self) -> Receiver<Error> {
        self.failures.clone()
    }

    /// What stays behind when the stream does not become whole.
    pub(crate) fn remains(&self) -> Remains {
        self.program.as_ref().map_or_else(Remains::none, |program| program.leash().into())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
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
    trial.args(["-o", "pipefail", "-c", ":"]);
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}
