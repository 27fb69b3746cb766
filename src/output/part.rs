//! A regular file in the making: `FILE.part` beside FILE, which becomes FILE when it is whole.
//!
//! Under its final name there is never anything but a whole stream. The part is locked while it is
//! written, so that a second receiver finds it taken, and one that was left behind by a kill is known as
//! stale. Does not know what kinds of files there are.

use super::{close, folder, sync_folder};
use crate::error::Error;
use crate::sink::{Remains, Sink};
use nix::fcntl::OFlag;
use rustix::fs::FlockOperation;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    /// What the user calls it.
    name: String,
    file: File,
    place: Place,
    /// Something may be there under the final name.
    replaces: bool,
}

/// Where a part is, and which file it is, so that never another one is renamed or removed.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    part: PathBuf,
    device: u64,
    inode: u64,
}

impl Part {
    /// Begins the file `path`, which errors call `name`. `permissions` are those of the file that it
    /// replaces.
    pub(super) fn create(
        name: String,
        path: PathBuf,
        permissions: Option<Permissions>,
        replaces: bool,
    ) -> Result<Part, Error> {
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        // People said FILE; the part is told of where something is in its place.
        let of_part = |error| Error::io(part.display().to_string(), error);
        if replaces {
            remove_stale(&part).map_err(of_part)?;
        }
        let file = match create(&part, permissions.as_ref()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(of_part(why_taken(&part)));
            }
            // FILE itself may be just short enough.
            Err(error) if error.kind() == ErrorKind::InvalidFilename => return Err(of_part(error)),
            created => created.map_err(|error| Error::io(&name, error))?,
        };
        let metadata = file.metadata().map_err(|error| Error::io(&name, error))?;
        let place = Place { path, device: metadata.dev(), inode: metadata.ino(), part };
        if let Some(permissions) = permissions
            && let Err(error) = file.set_permissions(permissions)
        {
            place.clear();
            return Err(Error::io(name, error));
        }
        Ok(Part { name, file, place, replaces })
    }

    fn finish(self) -> io::Result<()> {
        let Part { file, place, replaces, .. } = self;
        file.sync_all()?;
        // The lock stays until it is no part any more.
        let locked = file.try_clone()?;
        close(file)?;
        if !place.is_ours() {
            return Err(io::Error::other("its part was taken away while it was written"));
        }
        if replaces {
            fs::rename(&place.part, &place.path)?;
        } else {
            rename_new(&place.part, &place.path)?;
        }
        let synced = match sync_folder(folder(&place.path)) {
            // Who may not read a folder cannot sync it. The last name of a file goes along with the file
            // on most systems.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => locked.sync_all(),
            synced => synced,
        };
        synced.inspect_err(|_| {
            // Whether it has its name after a power cut nobody knows: so it shall have none.
            let _ = fs::remove_file(&place.path);
        })
    }
}

impl Sink for Part {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| Error::io(&self.name, error))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let name = self.name.clone();
        self.finish().map_err(|error| Error::io(name, error))
    }

    fn remains(&self) -> Remains {
        let place = self.place.clone();
        Remains::new(move || place.clear())
    }
}

impl Place {
    fn is_ours(&self) -> bool {
        let there = fs::symlink_metadata(&self.part);
        there.is_ok_and(|there| (there.dev(), there.ino()) == (self.device, self.inode))
    }

    /// Removes the part, if it still is one.
    fn clear(&self) {
        if self.is_ours() {
            // Nothing more can be done: the folder may have become read-only.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Makes the part, which must not be there, and locks it. Nobody may open it at any time who may not in the
/// end.
fn create(part: &Path, permissions: Option<&Permissions>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    if let Some(permissions) = permissions {
        options.mode(permissions.mode());
    }
    let file = options.write(true).create_new(true).open(part)?;
    // The lock lives as long as the file is open. Where there are no locks the file is still known by its
    // inode.
    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

/// Why there is a part already.
fn why_taken(part: &Path) -> io::Error {
    match is_locked(part) {
        Ok(true) => in_use(),
        Ok(false) => io::Error::other("was left behind by another run; --force replaces it"),
        Err(error) => error,
    }
}

fn remove_stale(part: &Path) -> io::Result<()> {
    match is_locked(part) {
        Ok(true) => Err(in_use()),
        Ok(false) => fs::remove_file(part),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether somebody writes this part now.
fn is_locked(part: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    // Not to write, but some systems lock only what could be written.
    let file = match options.write(true).open(part) {
        // It has the mode of a file that it was to replace.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            options.write(false).read(true).open(part)?
        }
        opened => opened?,
    };
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(locked == Err(rustix::io::Errno::WOULDBLOCK))
}

fn in_use() -> io::Error {
    io::Error::other("is being written by another viamillipede")
}

/// Renames to a name that must not be there.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_exclusively(from, to) {
        // Not every file system can do that.
        Err(error) if is_unknown(&error) => rename_linked(from, to),
        done => done,
    }
}

/// The same in two steps, of which the first is the one that must not find anything.
fn rename_linked(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        // Where there are no links either, all that is left is to look first.
        Err(error) if is_unknown(&error) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// What file systems say that have no such thing.
fn is_unknown(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), Unsupported | InvalidInput | PermissionDenied)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_exclusively(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_exclusively(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_only_where_there_is_nothing() {
        let folder = tempfile::tempdir().expect("a folder for files");
        let (part, file) = (folder.path().join("FILE.part"), folder.path().join("FILE"));
        for rename in [rename_new, rename_linked] {
            fs::write(&part, "new").expect("room for it");
            rename(&part, &file).expect("nothing is there");
            assert!(!part.exists());
            fs::write(&part, "newer").expect("room for it");
            let error = rename(&part, &file).expect_err("something is there");
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&file).expect("it is there"), b"new");
            fs::remove_file(&file).expect("it is ours");
        }
    }
}
