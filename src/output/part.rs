//! A regular file in the making: `FILE.part` beside FILE, which becomes FILE when it is whole.
//!
//! Under its final name there is never anything but a whole stream. The part is locked while it is
//! written, so that a second receiver finds it taken, and one that was left behind by a kill is known as
//! stale. Does not know what kinds of files there are.

use super::{close, sync_folder};
use crate::error::Error;
use crate::files::{self, folder};
use crate::sink::{Remains, Sink};
use nix::fcntl::OFlag;
use rustix::fs::FlockOperation;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the disk may take to know a final name once nobody waits for it any more: somebody has pressed Ctrl-C.
const SYNCING: Duration = Duration::from_millis(300);

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    /// What the user calls it.
    name: String,
    file: File,
    place: Arc<Place>,
}

/// Where a part is, and which file it is, so that never another one is renamed or removed.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    part: PathBuf,
    identity: Identity,
    /// Something may be there under the final name.
    replaces: bool,
    stage: Mutex<Stage>,
    settled: Condvar,
}

/// What has become of a part: who makes FILE of it and who clears it away may be at it in the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is one.
    Part,
    /// It has its final name, which the disk may not know yet.
    Renamed,
    /// It is FILE for good.
    Whole,
    /// It is not wanted any more.
    Cleared,
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
        let part = files::part(&path);
        // People said FILE; the part is told of where something is in its place.
        let of_part = |error| Error::io(part.display().to_string(), error);
        if replaces {
            remove_stale(&part).map_err(of_part)?;
        }
        let file = match create(&part, permissions.as_ref()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(of_part(why_taken(&part)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::making("", &path, error));
            }
            // FILE itself may be just short enough; or another one was quicker.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidFilename | ErrorKind::Other) => {
                return Err(of_part(error));
            }
            created => created.map_err(|error| Error::io(&name, error))?,
        };
        let metadata = file.metadata().map_err(|error| Error::io(&name, error))?;
        let place = Arc::new(Place {
            path,
            part,
            identity: identity(&metadata),
            replaces,
            stage: Mutex::new(Stage::Part),
            settled: Condvar::new(),
        });
        if let Some(permissions) = permissions
            && let Err(error) = file.set_permissions(permissions)
        {
            place.clear();
            return Err(Error::io(name, error));
        }
        Ok(Part { name, file, place })
    }

    fn finish(self) -> io::Result<()> {
        let Part { file, place, .. } = self;
        file.sync_all()?;
        // The lock stays until it is no part any more.
        let locked = file.try_clone()?;
        close(file)?;
        place.rename()?;
        let synced = match sync_folder(folder(&place.path)) {
            // Who may not read a folder cannot sync it. The last name of a file goes along with the file
            // on most systems.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => locked.sync_all(),
            synced => synced,
        };
        place.settle(synced)
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
        let place = Arc::clone(&self.place);
        Remains::new(move || place.clear())
    }
}

impl Place {
    /// Gives the part its final name.
    fn rename(&self) -> io::Result<()> {
        let mut stage = self.stage();
        if *stage == Stage::Cleared || !self.is_ours(&self.part) {
            return Err(io::Error::other("its part was taken away while it was written"));
        }
        if self.replaces {
            fs::rename(&self.part, &self.path)?;
        } else {
            rename_new(&self.part, &self.path)?;
        }
        *stage = Stage::Renamed;
        Ok(())
    }

    /// The disk knows the final name, or failed to hear it.
    fn settle(&self, synced: io::Result<()>) -> io::Result<()> {
        let mut stage = self.stage();
        if *stage == Stage::Cleared {
            return Err(io::Error::other("it was not waited for"));
        }
        *stage = Stage::Whole;
        self.settled.notify_all();
        synced.inspect_err(|_| {
            // Whether it has its name after a power cut nobody knows: so it shall have none.
            if self.is_ours(&self.path) {
                let _ = fs::remove_file(&self.path);
            }
            *stage = Stage::Cleared;
        })
    }

    /// Removes the part, if it still is one, or FILE, if the disk takes too long to know it and it has taken no other's
    /// place.
    fn clear(&self) {
        let is_renamed = |stage: &mut Stage| *stage == Stage::Renamed;
        let waited = self.settled.wait_timeout_while(self.stage(), SYNCING, is_renamed);
        let mut stage = waited.unwrap_or_else(PoisonError::into_inner).0;
        let name = match *stage {
            Stage::Part => &self.part,
            Stage::Renamed if !self.replaces => &self.path,
            Stage::Renamed | Stage::Whole | Stage::Cleared => return,
        };
        *stage = Stage::Cleared;
        if self.is_ours(name) {
            // Nothing more can be done: the folder may have become read-only.
            let _ = fs::remove_file(name);
        }
    }

    fn is_ours(&self, name: &Path) -> bool {
        is_named(self.identity, name)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // Each change of it is complete before anything can panic.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
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
    // inode. Another receiver may take it for stale until it is locked, and away.
    if !lock(&file) || !is_named(identity(&file.metadata()?), part) {
        return Err(in_use());
    }
    Ok(file)
}

/// Whether nobody else has it locked.
fn lock(file: &File) -> bool {
    let locked = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    locked != Err(rustix::io::Errno::WOULDBLOCK)
}

/// Device and number of a file.
type Identity = (u64, u64);

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

/// Whether this file has that name.
fn is_named(file: Identity, name: &Path) -> bool {
    fs::symlink_metadata(name).is_ok_and(|there| identity(&there) == file)
}

/// Why there is a part already.
fn why_taken(part: &Path) -> io::Error {
    match open_there(part) {
        Ok(file) if lock(&file) => {
            io::Error::other("was left behind by another run; --force replaces it")
        }
        Ok(_) => in_use(),
        Err(error) => error,
    }
}

fn remove_stale(part: &Path) -> io::Result<()> {
    let file = match open_there(part) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    // It stays locked until it is gone: nobody else takes it for stale, or for his own, meanwhile.
    if !lock(&file) || !is_named(identity(&file.metadata()?), part) {
        return Err(in_use());
    }
    fs::remove_file(part)
}

/// The part that is there, to see whether somebody has it locked, who writes it now.
fn open_there(part: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    // Not to write, but some systems lock only what could be written.
    match options.write(true).open(part) {
        // It has the mode of a file that it was to replace.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            options.write(false).read(true).open(part)
        }
        opened => opened,
    }
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
    use tempfile::TempDir;

    /// A part with something in it, and its two names.
    fn part(replaces: bool) -> (TempDir, Arc<Place>) {
        let folder = tempfile::tempdir().expect("a folder for files");
        let path = folder.path().join("FILE");
        let part = Part::create("FILE".into(), path, None, replaces).expect("nothing is there");
        (folder, Arc::clone(&part.place))
    }

    #[test]
    fn a_part_that_is_cleared_becomes_no_file() {
        let (_folder, place) = part(false);
        place.clear();
        assert!(!place.part.exists());
        fs::write(&place.part, "another's").expect("room for it");
        assert!(place.rename().is_err());
        assert!(place.part.exists() && !place.path.exists());
    }

    #[test]
    fn a_file_is_taken_back_while_the_disk_does_not_know_it() {
        let (_folder, place) = part(false);
        place.rename().expect("nothing is there");
        assert!(place.path.exists());
        place.clear();
        assert!(!place.path.exists());
        assert!(place.settle(Ok(())).is_err(), "it is not there any more");
    }

    #[test]
    fn a_file_that_has_taken_the_place_of_another_stays() {
        let (_folder, place) = part(true);
        fs::write(&place.path, "old").expect("room for it");
        place.rename().expect("it may be replaced");
        place.clear();
        assert!(place.path.exists(), "or there would be neither");
        place.settle(Ok(())).expect("it is there");
    }

    #[test]
    fn a_whole_file_stays() {
        let (_folder, place) = part(false);
        place.rename().expect("nothing is there");
        place.settle(Ok(())).expect("the disk knows it");
        place.clear();
        assert!(place.path.exists());
        let (_folder, place) = part(false);
        place.rename().expect("nothing is there");
        place.settle(Err(ErrorKind::StorageFull.into())).expect_err("the disk does not know it");
        assert!(!place.path.exists());
    }

    #[test]
    fn what_is_written_is_not_stale() {
        let (_folder, place) = part(false);
        fs::remove_file(&place.part).expect("it is there");
        let file = create(&place.part, None).expect("nothing is there");
        assert_eq!(remove_stale(&place.part).expect_err("it is locked").kind(), ErrorKind::Other);
        assert!(place.part.exists());
        drop(file);
        remove_stale(&place.part).expect("nobody has it");
        assert!(!place.part.exists());
    }

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
