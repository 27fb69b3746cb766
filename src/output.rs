//! Files as sinks, in the two forms that `--output` has.
//!
//! A regular file is written beside its name and renamed when it is whole ([`Part`]); anything else is
//! written where it is ([`InPlace`]). Both are on the disk, as far as the system tells, before they are
//! closed. Does not know what it writes.

mod part;

use crate::error::Error;
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
    let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    pipe::widen(&file);
    Ok(Box::new(InPlace { name, file, is_disk }))
}

/// What a name leads to through symbolic links, whether there is anything or not: as for `cp`, the link
/// stays, and what it leads to is written.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            // There is no ring of links, or the error would have been another.
            Ok(link) => target(&folder(path).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
        found => found,
    }
}

/// The folder that a name is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A device or FIFO.
#[derive(Debug)]
struct InPlace {
    name: String,
    file: File,
    is_disk: bool,
}

impl Sink for InPlace {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| Error::io(&self.name, error))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let InPlace { name, file, is_disk } = *self;
        let synced = if is_disk { file.sync_all() } else { Ok(()) };
        synced.and_then(|()| close(file)).map_err(|error| Error::io(name, error))
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
