//! Which file a name leads to, and whether two names lead to the same one.
//!
//! Opens nothing. Does not know what the files are for.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a name leads to through symbolic links, whether there is anything or not: as for `cp`, the link
/// stays, and what it leads to is written.
pub(crate) fn target(path: &Path) -> io::Result<PathBuf> {
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
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file is written until it is whole: beside what its name leads to.
pub(crate) fn part(target: &Path) -> PathBuf {
    let mut part = target.to_owned().into_os_string();
    part.push(".part");
    part.into()
}

/// Whether both are the same file, under whatever names, there already or not. Devices that keep nothing and FIFOs are
/// never the same: who reads and writes them does not lose anything of the other's.
pub(crate) fn are_same(one: &Path, other: &Path) -> bool {
    matches!((Identity::of(one), Identity::of(other)), (Some(one), Some(other)) if one == other)
}

/// Which file it is.
#[derive(PartialEq, Eq)]
enum Identity {
    /// Device and inode.
    There(u64, u64),
    /// Its folder, without links, and its name in it.
    New(PathBuf),
}

impl Identity {
    /// None where it keeps nothing, or cannot be found out: then it cannot be opened either.
    fn of(path: &Path) -> Option<Identity> {
        match fs::metadata(path) {
            Ok(there) if there.is_file() || there.file_type().is_block_device() => {
                Some(Identity::There(there.dev(), there.ino()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let target = target(path).ok()?;
                let folder = fs::canonicalize(folder(&target)).ok()?;
                Some(Identity::New(folder.join(target.file_name()?)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_the_same_under_any_name_and_before_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        symlink(folder.path(), at("round")).expect("a link");
        symlink("new", at("link")).expect("a link");
        for _ in 0..2 {
            for name in ["new", "round/new", "link", "round/../new"] {
                let is_above = name.contains("..");
                assert_eq!(are_same(&at("new"), &at(name)), !is_above, "{name}");
            }
            assert!(!are_same(&at("new"), &at("other")));
            fs::write(at("new"), "").expect("a file");
        }
        fs::hard_link(at("new"), at("other")).expect("a name");
        assert!(are_same(&at("new"), &at("other")));
        assert!(!are_same(Path::new("/dev/null"), Path::new("/dev/null")));
        assert!(!are_same(&at("no/folder"), &at("no/folder")), "it cannot be opened either");
    }
}
