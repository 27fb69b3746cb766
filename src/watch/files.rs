//! Where figures are written for programs: lines appended to one file, a page in place of another.
//!
//! A thread of its own writes, and nobody waits for it but the end of the run, and that not for long: a full
//! disk, or a FIFO that nobody reads, costs figures and never the stream. Does not know what it writes.

use super::record::PAGE_BEGINS;
use super::say::Say;
use crate::cancel::wait;
use crate::config::Records;
use crate::error::{Error, plain};
use crate::files::target;
use crossbeam_channel::{Receiver, Sender, bounded};
use nix::poll::PollFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// What waits to be written: more than that is left out.
const QUEUE: usize = 4;
/// How long the end of the run waits for the last of it.
const LAST: Duration = Duration::from_millis(500);

/// The files of one run.
#[derive(Debug)]
pub(super) struct Files {
    /// None where there is nothing to write.
    jobs: Option<Sender<Job>>,
    /// Lines go to stderr.
    aloud: Option<Say>,
    has_metrics: bool,
}

/// What the thread is to do.
enum Job {
    /// Appends a line, for which it may be waited so long.
    Line(String, Duration),
    Page(String),
    /// Tell when all before this is done.
    Flush(Sender<()>),
}

impl Files {
    /// Opens them. What cannot be opened is an error now, and what cannot be written later a line on stderr, once.
    pub(super) fn open(records: &Records, say: &Say) -> Result<Files, Error> {
        let is_stderr = |path: &&PathBuf| path.as_os_str() == "-";
        let aloud = records.stats.as_ref().filter(is_stderr).map(|_| say.clone());
        let stats = records.stats.as_ref().filter(|path| !is_stderr(path));
        let stats = stats.map(|path| Lines::open(path)).transpose()?;
        let metrics = records.metrics.as_deref().map(Page::at).transpose()?;
        let has_metrics = metrics.is_some();
        if stats.is_none() && metrics.is_none() {
            return Ok(Files { jobs: None, aloud, has_metrics });
        }
        let (jobs, queue) = bounded(QUEUE);
        let say = say.clone();
        let run = move || write(&queue, stats, metrics, &say);
        let thread = Builder::new().name("figures".into()).spawn(run);
        thread.map_err(|error| Error::io("a thread", error))?;
        Ok(Files { jobs: Some(jobs), aloud, has_metrics })
    }

    /// Whether anybody wants lines or pages.
    pub(super) fn are_wanted(&self) -> bool {
        self.jobs.is_some() || self.aloud.is_some()
    }

    /// Whether anybody wants pages.
    pub(super) fn have_metrics(&self) -> bool {
        self.has_metrics
    }

    /// Appends a line. Who is that slow does without.
    pub(super) fn line(&self, line: String) {
        self.append(line, Duration::ZERO);
    }

    /// Writes the last page, then the last line, for which a slow reader may take a while, and waits until all is
    /// written, but not for long.
    pub(super) fn end(&self, page: String, line: String) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.send_timeout(Job::Page(page), LAST));
        }
        self.append(line, LAST);
        self.flush();
    }

    fn append(&self, line: String, time: Duration) {
        match (&self.aloud, &self.jobs) {
            (Some(say), _) => say.always(&line),
            (None, Some(jobs)) => drop(jobs.send_timeout(Job::Line(line, time), time)),
            (None, None) => {}
        }
    }

    /// Replaces the page.
    pub(super) fn page(&self, page: String) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.try_send(Job::Page(page)));
        }
    }

    fn flush(&self) {
        let (done, is_done) = bounded(1);
        if let Some(jobs) = &self.jobs
            && jobs.send_timeout(Job::Flush(done), LAST).is_ok()
        {
            // Either way we go on: written, or out of time.
            let _ = is_done.recv_timeout(LAST);
        }
    }
}

fn write(queue: &Receiver<Job>, mut lines: Option<Lines>, mut page: Option<Page>, say: &Say) {
    for job in queue {
        match job {
            Job::Line(line, time) => give_up(&mut lines, say, |lines| lines.append(&line, time)),
            Job::Page(text) => give_up(&mut page, say, |page| page.replace(&text)),
            Job::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Uses a file until it fails, and says so then.
fn give_up<T>(file: &mut Option<T>, say: &Say, act: impl FnOnce(&mut T) -> Result<(), Error>) {
    let Some(open) = file else { return };
    if let Err(error) = act(open) {
        let cause = match &error {
            Error::Io { what, source } => format!("{what}: {}", plain(source)),
            other => other.to_string(),
        };
        say.always(&format!("viamillipede: {cause}; going on without it"));
        *file = None;
    }
}

/// A file to which lines are appended.
struct Lines {
    name: String,
    file: File,
    /// What is left of a line of which a FIFO has taken a part: nothing else may come before it.
    rest: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Error> {
        let name = path.display().to_string();
        // A FIFO without a reader must not hold us up either.
        let mut options = OpenOptions::new();
        options.append(true).create(true).custom_flags(nix::libc::O_NONBLOCK);
        let opened = options.open(path).and_then(|file| {
            let is_torn = ends_within_a_line(path, &file)?;
            Ok((file, if is_torn { b"\n".to_vec() } else { Vec::new() }))
        });
        let failed = |error| Error::making("--stats", path, say_fifo(path, error));
        let (file, rest) = opened.map_err(failed)?;
        Ok(Lines { name, file, rest })
    }

    /// Appends a line, or leaves it out where the reader of a FIFO does not make room for it within `time`.
    fn append(&mut self, line: &str, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        let failed = |error| Error::io(&self.name, error);
        write_some(&self.file, &mut self.rest, deadline).map_err(failed)?;
        if self.rest.is_empty() {
            let mut line = format!("{line}\n").into_bytes();
            let bytes = line.len();
            write_some(&self.file, &mut line, deadline).map_err(failed)?;
            if line.len() < bytes {
                self.rest = line;
            }
        }
        Ok(())
    }
}

/// Whether a run that was killed, or had no more room, has left a part of a line: what is appended to that would be
/// lost with it.
fn ends_within_a_line(path: &Path, file: &File) -> io::Result<bool> {
    let there = file.metadata()?;
    if !there.is_file() || there.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    match File::open(path).and_then(|file| file.read_at(&mut last, there.len() - 1)) {
        Ok(bytes) => Ok(bytes == 1 && last != *b"\n"),
        // It may be ours to append to, and not to read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// The system calls a FIFO without a reader a device that is not there.
fn say_fifo(path: &Path, error: io::Error) -> io::Error {
    let is_fifo = || fs::metadata(path).is_ok_and(|it| it.file_type().is_fifo());
    if error.raw_os_error() == Some(nix::libc::ENXIO) && is_fifo() {
        return io::Error::other("a FIFO that nobody reads");
    }
    error
}

/// Writes what there is room for until the deadline, and takes it away from `bytes`.
fn write_some(mut file: &File, bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(written) => drop(bytes.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let [room] = wait(&mut [(file.as_fd(), PollFlags::POLLOUT)], Some(deadline))?;
                if room.is_empty() {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file that is replaced whole, so that nobody ever reads half of it.
struct Page {
    path: PathBuf,
    /// Beside it, under a name that no collector reads (they want `.prom`).
    fresh: PathBuf,
}

impl Page {
    /// The page of this name, which stays as it is until the first one of this run. What is no page must not become
    /// one.
    fn at(path: &Path) -> Result<Page, Error> {
        let refused = |cause| Error::usage(format!("--metrics {}", path.display()), cause);
        let failed = |error| Error::io(path.display().to_string(), error);
        if path.as_os_str() == "-" {
            return Err(refused("a page is put in place of a file; there is none on stderr"));
        }
        if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            return Err(refused("not a file to replace"));
        }
        // As with --output, a link stays.
        let path = &target(path).map_err(failed)?;
        let name = path.file_name().ok_or_else(|| refused("not a file to replace"))?;
        if !may_be_replaced(path).map_err(failed)? {
            return Err(refused("is there already, and no page of --metrics"));
        }
        let mut fresh = name.to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let page = Page { path: path.into(), fresh: path.with_file_name(fresh) };
        fs::write(&page.fresh, "")
            .and_then(|()| fs::remove_file(&page.fresh))
            .map_err(|error| Error::making("--metrics", path, error))?;
        Ok(page)
    }

    fn replace(&self, text: &str) -> Result<(), Error> {
        self.write(text).map_err(|error| Error::io(self.path.display().to_string(), error))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let written =
            fs::write(&self.fresh, text).and_then(|()| fs::rename(&self.fresh, &self.path));
        written.inspect_err(|_| drop(fs::remove_file(&self.fresh)))
    }
}

/// Whether there is nothing of this name, or nothing in it, or a page.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    let mut begins = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(PAGE_BEGINS.len() as u64).read_to_end(&mut begins)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    Ok(begins.is_empty() || begins == PAGE_BEGINS.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::thread;

    #[test]
    fn the_last_page_does_not_wait_for_whoever_reads_lines() {
        let (jobs, queue) = bounded(QUEUE);
        let files = Files { jobs: Some(jobs), aloud: None, has_metrics: true };
        let done = thread::spawn(move || -> Vec<&str> {
            let names = queue.iter().map(|job| match job {
                Job::Page(_) => "page",
                Job::Line(..) => "line",
                Job::Flush(done) => done.try_send(()).map_or("nobody waits", |()| "flush"),
            });
            names.collect()
        });
        files.end("page".into(), "line".into());
        drop(files);
        assert_eq!(done.join().expect("it ends"), ["page", "line", "flush"]);
    }

    #[test]
    fn a_reader_that_is_slow_misses_lines_and_never_parts_of_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let mut reader = options.open(&path).expect("it is there");
        let mut lines = Lines::open(&path).expect("it is read");
        let long = |letter: char| letter.to_string().repeat(300_000);
        let mut said = Vec::new();
        lines.append(&long('a'), Duration::ZERO).expect("a part fits");
        lines.append(&long('b'), Duration::ZERO).expect("it is left out");
        // A line whose rest is not yet out is read as it comes.
        while !lines.rest.is_empty() {
            drop(reader.read_to_end(&mut said));
            lines.append(&long('c'), Duration::ZERO).expect("left out, or begun");
            if said.len() > 600_000 {
                break;
            }
        }
        drop(reader.read_to_end(&mut said));
        let said = String::from_utf8(said).expect("letters");
        let whole: Vec<&str> = said.split_inclusive('\n').filter(|it| it.ends_with('\n')).collect();
        assert!(!whole.is_empty());
        let is_one = |line: &&str| ['a', 'c'].iter().any(|it| **line == long(*it) + "\n");
        assert!(
            whole.iter().all(is_one),
            "{:?}",
            whole.iter().map(|it| it.len()).collect::<Vec<_>>()
        );
    }
}
