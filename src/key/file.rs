//! A key in a file: made so that nobody else can read it, and refused where others can.
//!
//! As ssh does, mode bits are judged only on a file that the caller owns: what a service manager
//! hands over as a credential is another's file, and is let in by means that the bits do not tell.
//! There only a file that the whole world can read is refused. Does not know who wants the key.

use super::{Key, text};
use crate::error::Error;
use nix::unistd::Uid;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Read and write for the owner, nothing for anybody else.
const MODE: u32 = 0o600;
/// Most that is read of a file: several times a key and the white space round it.
const MAX_FILE_BYTES: usize = 8 * text::TEXT_CHARS;

/// Reads the key in this file, or in the pipe of a process substitution. A key that is missing, cannot
/// be read or could be read by others is a usage error.
pub fn read(path: &Path) -> Result<Key, Error> {
    let what = || format!("--key-file {}", path.display());
    let unreadable = |error| Error::usage(what(), crate::error::plain(&error));
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, so that it cannot be another file by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if let Some(remedy) = exposed(&metadata, Uid::effective().as_raw()) {
        let hint = format!("{remedy} {}", path.display());
        return Err(Error::usage(what(), "others can read it").with_hint(hint));
    }
    let mut bytes = Zeroizing::new([0; MAX_FILE_BYTES]);
    let length = read_into(file, bytes.as_mut_slice()).map_err(unreadable)?;
    if length == MAX_FILE_BYTES {
        return Err(Error::usage(what(), "much longer than a key"));
    }
    Key::parse(&bytes[..length]).map_err(|error| Error::usage(what(), error.to_string()))
}

/// Writes the key into a new file, which nobody else can read at any time; one that exists is left as
/// it is. On disk when this returns.
pub fn create(path: &Path, key: &Key) -> Result<(), Error> {
    let failed = |error| Error::io(path.display().to_string(), error);
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => failed(io::Error::other("exists already, and is left so")),
        _ => Error::making("", path, error),
    })?;
    write_new(file, key).map_err(|error| {
        // It is ours, and no use. That it cannot even be removed is not the first thing to say.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

fn write_new(mut file: File, key: &Key) -> io::Result<()> {
    // A umask may have taken even the owner's bits.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(line(key).as_bytes())?;
    file.sync_all()
}

/// The key as a line of a file.
pub fn line(key: &Key) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(text::TEXT_CHARS + 1));
    line.push_str(&key.text());
    line.push('\n');
    line
}

/// Whether others than the caller can read the file, and if so what helps. Only of a regular file:
/// a pipe keeps nothing, and whoever else reads from it takes what we then miss.
fn exposed(file: &Metadata, caller: u32) -> Option<&'static str> {
    if file.is_file() { remedy(file.mode(), file.uid(), caller) } else { None }
}

fn remedy(mode: u32, owner: u32, caller: u32) -> Option<&'static str> {
    if owner == caller {
        (mode & 0o077 != 0).then_some("chmod 600")
    } else {
        (mode & 0o004 != 0).then_some("its owner should chmod o-r")
    }
}

/// Reads until the end or until the buffer is full, into that alone.
fn read_into(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(bytes) => length += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    const OTHER: u32 = 4242;

    /// A key in a file with this mode and owner; none where this user may not give files away.
    fn kept(mode: u32, owner: Option<u32>) -> Option<Result<Key, Error>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        create(&path, &Key::generate().expect("there are random numbers")).expect("a new file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        if owner.is_some() && chown(&path, owner, owner).is_err() {
            return None;
        }
        Some(read(&path))
    }

    #[test]
    fn mode_bits_are_judged_on_files_that_the_caller_owns() {
        for (mode, is_safe) in [
            (0o600, true),
            (0o400, true),
            (0o700, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o601, false),
            (0o644, false),
        ] {
            assert_eq!(remedy(mode, OTHER, OTHER).is_none(), is_safe, "{mode:o}");
            let read = kept(mode, None).expect("it is ours");
            assert_eq!(read.is_ok(), is_safe, "{mode:o}: {read:?}");
        }
        let error = kept(0o644, None).expect("it is ours").expect_err("all can read it");
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().is_some_and(|hint| hint.starts_with("chmod 600 /")), "{error:?}");
    }

    /// Only root may give files away; for anybody else the judgement alone is looked at.
    #[test]
    fn a_file_of_somebody_else_is_refused_only_when_the_world_can_read_it() {
        for (mode, is_safe) in
            [(0o400, true), (0o440, true), (0o660, true), (0o444, false), (0o604, false)]
        {
            assert_eq!(remedy(mode, 0, OTHER).is_none(), is_safe, "{mode:o}");
            match kept(mode, Some(OTHER)) {
                Some(read) => assert_eq!(read.is_ok(), is_safe, "{mode:o}: {read:?}"),
                None => eprintln!("skipped: files can be given away only by root"),
            }
        }
    }

    #[test]
    fn a_file_is_never_overwritten_and_never_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [path, link] = ["key", "link"].map(|name| folder.path().join(name));
        let key = Key::generate().expect("there are random numbers");
        symlink(&path, &link).expect("a link");
        assert_eq!(create(&link, &key).expect_err("a link is there").exit_code(), 1);
        create(&path, &key).expect("a new file");
        let other = Key::generate().expect("there are random numbers");
        let error = create(&path, &other).expect_err("it is there");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(read(&link).expect("a link to a key is a key file"), key);
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, MODE);
    }

    #[test]
    fn what_is_no_key_file_is_a_usage_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let missing = read(&path).expect_err("it is not there");
        assert_eq!(missing.exit_code(), 2);
        assert!(missing.to_string().ends_with("key: No such file or directory"), "{missing}");
        assert_eq!(read(folder.path()).expect_err("a folder").exit_code(), 2);
        let endless = read(Path::new("/dev/zero")).expect_err("no key").to_string();
        assert_eq!(endless, "--key-file /dev/zero: much longer than a key");
    }
}
