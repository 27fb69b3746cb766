//! Files as sinks, in the two forms that `--output` has.
//!
//! A regular file is written beside its name and renamed when it is whole ([`Part`]); anything else is
//! written where it is ([`InPlace`]). Both are on the disk, as far as the system tells, before they are
//! closed. Does not know what it writes.

mod part;

use crate::error::Error;
use crate::files::target;
use crate::pipe;
use crate::sink::Sink;
use part::Part;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Opens the file of this name; `replaces` allows what is there already to be lost.
pub(crate) fn open(path: &Path, replaces: bool) -> Result<Box<dyn Sink>, Error> {
    let name = path.display().to_string();
    let failed = |error| Error::io(&name, error);
    let there = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let target = target(path).map_err(failed)?;
            return Ok(Box::new(Part::create(name, target, None, replaces)?));
        }
        Err(error) => return Err(failed(error)),
    };
    let kind = there.file_type();
    if kind.is_dir() {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    let is_disk = kind.is_block_device();
    if !replaces && (kind.is_file() || is_disk) {
        let cause = if is_disk { "is a block device" } else { "is there already" };
        return Err(failed(io::Error::other(format!("{cause}; --force overwrites it"))));
    }
    if kind.is_file() {
        let target = target(path).map_err(failed)?;
        return Ok(Box::new(Part::create(name, target, Some(there.permissions()), replaces)?));
    }
    let opened = if kind.is_fifo() { None } else { Some(open_in_place(path).map_err(failed)?) };
    Ok(Box::new(InPlace { name, path: path.to_owned(), opened, is_disk }))
}

fn open_in_place(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).open(path)?;
    pipe::widen(&file);
    Ok(file)
}

/// A device or FIFO.
#[derive(Debug)]
struct InPlace {
    name: String,
    path: PathBuf,
    /// Not yet, where it is a FIFO: that takes until somebody reads it, which is as with any slow sink.
    opened: Option<File>,
    is_disk: bool,
}

impl InPlace {
    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.opened {
            Some(file) => Ok(file),
            opened => Ok(opened.insert(open_in_place(&self.path)?)),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let is_disk = self.is_disk;
        let file = self.file()?;
        if is_disk {
            file.sync_all()?;
        }
        self.opened.map_or(Ok(()), close)
    }
}

impl Sink for InPlace {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file().and_then(|file| file.write_all(bytes));
        written.map_err(|error| Error::io(&self.name, error))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let name = self.name.clone();
        self.finish().map_err(|error| Error::io(name, error))
    }
}

/// Closes a file and says how that went: some file systems tell of a full disk only then.
fn close(file: impl Into<OwnedFd>) -> io::Result<()> {
    Ok(nix::unistd::close(file.into().into_raw_fd())?)
}

/// Has the system write to the disk which names a folder holds.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match rustix::fs::fsync(File::open(folder)?.as_fd()) {
        // Some file systems have no such thing for folders.
        Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
