//! Where a stream comes from: stdin, a file, or what a program writes.
//!
//! A file is opened at once; a program is started when the ends have met, so that its failure is told at
//! both. An end of file ends the stream of stdin or a file. That of a program counts only once the program
//! has exited with 0, and that of a reader in this process once it has said so itself. Does not know who reads
//! it, nor where the stream goes.

use crate::cancel::Cancel;
use crate::command::{Program, Side, without_key};
use crate::config::Input;
use crate::error::Error;
use crate::sink::Remains;
use crate::{pipe, stdio};
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::fcntl::OFlag;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

/// What the program is called that was asked for with this option: what it is made of may be long.
const PROGRAM_NAME: &str = "--source";

/// Most that is read of a reader at once, in bytes.
const CHUNK: usize = 256 << 10;

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
    Reader(Reader),
}

/// Something in this process that makes the stream.
struct Reader(Box<dyn Read + Send>);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

/// Ends the transmission of a source, from outside. Clones ring the same one.
#[derive(Clone, Debug)]
pub(crate) struct Alarm(Sender<Error>);

impl Alarm {
    /// Gives the reason, unless there is another already.
    pub(crate) fn ring(&self, error: Error) {
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

    /// What this reader gives, from its next byte to where it says that it ends; errors call it `name`. An error
    /// of its, or a panic, fails the stream at both ends. It is read on a thread of its own, and goes through a
    /// pipe of the system, so bytes that wait in it are on their way as those of a file are.
    pub fn of_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Source {
        Source::new(name.into(), Origin::Reader(Reader(Box::new(reader))), None)
    }

    fn new(name: String, origin: Origin, size_bytes: Option<u64>) -> Source {
        // There is one reason why a transmission fails: who gives another does not wait.
        let (alarm, failures) = bounded(1);
        Source { name, origin, size_bytes, alarm: Alarm(alarm), failures }
    }

    /// Lets others end the transmission.
    pub(crate) fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    /// How much there is, where that is known: of a regular file and a block device.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// What should be known of it before it is trusted: of a pipeline, a shell without `pipefail` tells only how
    /// the last part went.
    pub fn warning(&self) -> Option<String> {
        let Origin::Command(command) = &self.origin else { return None };
        let command = command.to_string_lossy();
        let is_careless = is_pipeline(&command) && !command.contains("pipefail");
        (is_careless && !has_pipefail()).then(|| {
            format!(
                "{}: this sh has no pipefail, so a part of a pipeline may fail unseen, but for the last; \
                 \"bash -o pipefail -c '...'\" would see it",
                self.name
            )
        })
    }

    /// Hears of a failure of a program, or of the alarm, as soon as it comes.
    pub(crate) fn failures(&self) -> Receiver<Error> {
        self.failures.clone()
    }

    /// The stream begins: starts a program.
    pub(crate) fn start(self) -> Result<Flow, Error> {
        let Source { name, origin, alarm, .. } = self;
        let (file, end) = match origin {
            Origin::File(file) => (file, End::Plain),
            Origin::Command(command) => {
                let on_failure = move |error| alarm.ring(error);
                let (program, file) =
                    Program::start(&name, &shell(&command), Side::Stdout, on_failure)?;
                (file, End::Program(program))
            }
            Origin::Reader(reader) => reader.start().map_err(|error| Error::io(&name, error))?,
        };
        Ok(Flow { name, file, end })
    }
}

/// A source whose stream has begun.
#[derive(Debug)]
pub(crate) struct Flow {
    name: String,
    file: File,
    end: End,
}

/// What makes an end of file the end of the stream.
#[derive(Debug)]
enum End {
    /// Nothing more.
    Plain,
    /// A program's success.
    Program(Program),
    /// That a reader has ended, and how; said before the pipe is closed.
    Reader(Receiver<io::Result<()>>),
}

impl Reader {
    /// Reads on a thread of its own.
    fn start(mut self) -> io::Result<(File, End)> {
        let (from, mut to) = io::pipe()?;
        pipe::widen(&to);
        let (said, ended) = bounded(1);
        let run = move || {
            // In this order: whoever sees the end of the pipe finds out what it means.
            let _ = said.send(copy(&mut self.0, &mut to));
            drop(to);
        };
        thread::Builder::new().name("source".into()).spawn(run)?;
        Ok((OwnedFd::from(from).into(), End::Reader(ended)))
    }
}

/// Copies to the end, each piece as soon as it is there. Where nobody takes them any more the run is over, and has
/// its own reason.
fn copy(from: &mut dyn Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(bytes) => to.write_all(&chunk[..bytes])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Flow {
    /// What it is, for error messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// After an end of file: makes sure that it is the end. Waits for a program, unless cancelled; false
    /// then.
    pub(crate) fn finish(&self, cancel: &Cancel) -> Result<bool, Error> {
        match &self.end {
            End::Plain => Ok(true),
            End::Program(program) => program.wait(cancel),
            End::Reader(ended) => {
                let ended = ended.recv().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
                ended.map(|()| true).map_err(|error| Error::io(&self.name, error))
            }
        }
    }

    /// What stays behind when the session ends: a program, or what it has started.
    pub(crate) fn remains(&self) -> Remains {
        let End::Program(program) = &self.end else { return Remains::none() };
        let leash = program.leash();
        Remains::new(move || leash.end())
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

/// Whether it has a `|` that is neither in quotes nor a half of `||`.
fn is_pipeline(command: &str) -> bool {
    let mut quote = None;
    let bare = |c: &char| match quote {
        Some(open) => {
            quote = quote.filter(|_| open != *c);
            false
        }
        None => {
            quote = Some(*c).filter(|c| ['\'', '"'].contains(c));
            quote.is_none()
        }
    };
    let bare: String = command.chars().filter(bare).collect();
    bare.replace("||", "").contains('|')
}

/// Whether `sh` knows that. It is asked once: who was told that it does is not to get a shell without.
fn has_pipefail() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(knows_pipefail)
}

fn knows_pipefail() -> bool {
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
