//! `--output`: under its name there is never anything but a whole stream.

use super::process::{End, Pair};
use super::stream::{Drain, feed, put};
use super::{LONG, SHORT};
use nix::sys::signal::Signal::{self, SIGKILL, SIGTERM};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const BYTES: u64 = (3 << 20) + 5;

/// A folder, and `FILE` and `FILE.part` in it.
fn places() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let (file, part) = (folder.path().join("FILE"), folder.path().join("FILE.part"));
    (folder, file, part)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

/// Sends a stream into a file and checks that it is there, whole.
fn deliver(file: &Path, options: &[&str]) {
    let output = [&["-o", text(file)], options].concat();
    let mut pair = Pair::with(&output, &[]);
    feed(pair.tx.stdin(), BYTES);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    is_whole(file);
}

fn is_whole(file: &Path) {
    let drain = Drain::start(File::open(file).expect("it is there"));
    assert_eq!(drain.finish(), BYTES);
}

/// What a receiver says that does not want to begin.
fn refused(file: &Path, options: &[&str], words: &str) {
    let mut rx = End::with("rx 127.0.0.1:0", [&["-o", text(file)], options].concat());
    rx.ended(0).expect("at once").failed(1, words);
}

#[test]
fn a_whole_stream_has_its_name_and_no_part() {
    let (_folder, file, part) = places();
    deliver(&file, &[]);
    assert!(!part.exists());

    refused(&file, &[], "FILE: is there already; --force overwrites it");
    is_whole(&file);

    fs::write(&file, "other").expect("room for it");
    fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("it is ours");
    deliver(&file, &["--force"]);
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "as it was before");
}

#[test]
fn a_part_that_was_left_behind_is_replaced_only_by_force() {
    let (_folder, file, part) = places();
    fs::write(&part, "stale").expect("room for it");
    refused(&file, &[], "FILE.part: was left behind");
    assert_eq!(fs::read(&part).expect("it is there"), b"stale");
    deliver(&file, &["--force"]);
    assert!(!part.exists());
}

#[test]
fn a_part_that_is_being_written_is_replaced_by_nobody() {
    let (_folder, file, part) = places();
    let mut pair = Pair::with(&["-o", text(&file)], &[]);
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, 7));
    refused(&file, &[], "FILE.part: is being written by another viamillipede");
    refused(&file, &["--force"], "FILE.part: is being written by another viamillipede");
    assert!(part.exists());
    assert!(put(&mut source, 7, BYTES - 7));
    drop(source);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    is_whole(&file);
}

#[test]
fn links_stay_and_what_they_lead_to_is_written() {
    let (folder, file, _) = places();
    let (link, further) = (folder.path().join("link"), folder.path().join("further"));
    symlink("FILE", &further).expect("a link");
    symlink("further", &link).expect("a link");
    deliver(&link, &[]);
    is_whole(&file);
    refused(&link, &[], "link: is there already");
    deliver(&link, &["--force"]);
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
}

#[test]
fn devices_and_fifos_are_written_in_place() {
    let (folder, ..) = places();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || Drain::start(File::open(fifo).expect("it is there")).finish()
    });
    for sink in [Path::new("/dev/null"), &fifo] {
        let mut end = End::with("loop", ["-o", text(sink)]);
        feed(end.stdin(), BYTES);
        end.ended(LONG).expect("it ends").delivered();
    }
    assert_eq!(reader.join().expect("the bytes are right"), BYTES);
    refused(folder.path(), &["--force"], ": is a directory");
    refused(&folder.path().join("none/FILE"), &[], "none: no such folder");
}

#[test]
fn a_fifo_that_nobody_reads_is_a_slow_sink() {
    let (folder, ..) = places();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    // It is ready, or this would find no port.
    let mut pair = Pair::with(&["-o", text(&fifo)], &[]);
    feed(pair.tx.stdin(), BYTES);
    assert_eq!(Drain::start(File::open(&fifo).expect("it is there")).finish(), BYTES);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();

    let mut pair = Pair::with(&["-o", text(&fifo)], &[]);
    feed(pair.tx.stdin(), BYTES);
    pair.rx.signal(SIGTERM);
    pair.rx.ended(0).expect("it ends, though its sink stands still").failed(143, "SIGTERM");
}

#[test]
fn nobody_may_read_what_replaces_a_secret() {
    let (_folder, file, part) = places();
    fs::write(&file, "secret").expect("room for it");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    let mut pair = Pair::with(&["-o", text(&file), "--force"], &[]);
    let mode = fs::metadata(&part).expect("it has begun").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read(&file).expect("it is there until then"), b"secret");
    feed(pair.tx.stdin(), BYTES);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    is_whole(&file);
}

#[test]
fn names_that_lead_nowhere_are_refused_at_the_start() {
    let (folder, ..) = places();
    let ring = folder.path().join("ring");
    symlink("ring", &ring).expect("a link");
    refused(&ring, &["--force"], "ring: Too many levels of symbolic links");
    #[cfg(target_os = "linux")]
    refused(Path::new("/sys/FILE"), &[], "/sys/FILE: ");
    refused(&folder.path().join("missing/FILE"), &[], "missing: no such folder");
    // Its own name is not too long.
    let long = "F".repeat(253);
    refused(&folder.path().join(&long), &[], &format!("{long}.part: File name too long"));
}

/// A run that was to replace such a file may have been killed.
#[test]
fn a_part_that_nobody_may_write_to_is_replaced_by_force() {
    let (folder, file, part) = places();
    fs::write(&part, "stale").expect("room for it");
    fs::set_permissions(&part, Permissions::from_mode(0o444)).expect("it is ours");
    let command = ["loop", "-q", "--force", "-o", text(&file)];
    let Some(status) = as_nobody(&[folder.path(), &part], &command) else { return };
    assert!(status.success() && file.exists() && !part.exists());
}

/// A folder that one may write to, but not read.
#[test]
fn a_folder_that_cannot_be_read_takes_a_file() {
    let (folder, file, _) = places();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o333)).expect("it is ours");
    let command = ["loop", "-q", "-o", text(&file)];
    let Some(status) = as_nobody(&[folder.path()], &command) else { return };
    assert!(status.success());
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    fs::remove_file(&file).expect("it was made");
}

/// Runs the program with nothing to read. Root may do everything, so it becomes nobody, who owns `theirs`.
fn as_nobody(theirs: &[&Path], arguments: &[&str]) -> Option<std::process::ExitStatus> {
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let mut command = std::process::Command::new(super::process::PROGRAM);
    command.args(arguments);
    if rustix::process::geteuid().is_root() {
        for path in theirs {
            std::os::unix::fs::chown(path, Some(NOBODY), None).expect("root may");
        }
        command.uid(NOBODY);
    }
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let status = command.status();
    status.inspect_err(|_| eprintln!("skipped: only root can start the program")).ok()
}

/// Needs root, and a loop device that is free.
#[cfg(target_os = "linux")]
#[test]
fn a_block_device_is_written_in_place_by_force() {
    let (folder, file, _) = places();
    fs::write(&file, vec![0; 4 << 20]).expect("room for it");
    let losetup = std::process::Command::new("losetup").args(["-f", "--show"]).arg(&file).output();
    let device = match losetup {
        Ok(made) if made.status.success() => String::from_utf8(made.stdout).expect("a name"),
        _ => return eprintln!("skipped: no loop device"),
    };
    let device = Path::new(device.trim());
    refused(device, &[], "is a block device; --force overwrites it");
    let mut end = End::with("loop", ["-o", text(device), "--force"]);
    feed(end.stdin(), BYTES);
    let written = end.ended(LONG);
    let mut end = End::with("loop", ["-o", text(device), "--force"]);
    feed(end.stdin(), 5 << 20);
    let too_much = end.ended(LONG);
    let mut end = End::with("loop", ["-i", text(device)]);
    let read = end.drain().finish();
    let detached = std::process::Command::new("losetup").arg("-d").arg(device).status();
    written.expect("it ends").delivered();
    too_much.expect("it ends").failed(1, "No space left");
    assert_eq!(read, 4 << 20);
    assert!(detached.is_ok_and(|status| status.success()));
    drop(folder);
}

/// Ends a stream in the middle; what the receiver's folder holds then.
fn broken(signal: Signal, victim: fn(&Pair) -> &End) -> Vec<String> {
    let (folder, file, part) = places();
    let mut pair = Pair::with_patience(SHORT, &["-o", text(&file)], &[]);
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, BYTES));
    assert!(part.exists());
    victim(&pair).signal(signal);
    let (tx, rx) = pair.ended(SHORT);
    assert!(tx.code != 0 && rx.code != 0, "{tx:?} {rx:?}");
    let names = fs::read_dir(folder.path()).expect("it is there");
    names.map(|entry| entry.expect("a name").file_name().display().to_string()).collect()
}

#[test]
fn a_stream_that_is_not_whole_never_has_the_name() {
    let nothing: [String; 0] = [];
    assert_eq!(broken(SIGKILL, |pair| &pair.tx), nothing);
    assert_eq!(broken(SIGTERM, |pair| &pair.tx), nothing);
    assert_eq!(broken(SIGTERM, |pair| &pair.rx), nothing);
    assert_eq!(broken(SIGKILL, |pair| &pair.rx), ["FILE.part"]);

    // Nobody was ever met.
    let (_folder, file, part) = places();
    let mut rx = End::with("rx 127.0.0.1:0", ["-o", text(&file)]);
    rx.port();
    assert!(part.exists());
    rx.signal(SIGTERM);
    rx.ended(0).expect("it ends").failed(143, "SIGTERM");
    assert!(!part.exists());
}

#[test]
fn an_output_that_fails_ends_both_ends_with_its_reason() {
    let failed = |mut pair: Pair, words: &str| {
        let (tx, rx) = pair.ended(LONG);
        rx.failed(1, words);
        tx.failed(1, words);
    };
    let mut pair = Pair::with(&["-o", "/dev/full"], &[]);
    feed(pair.tx.stdin(), BYTES);
    failed(pair, "/dev/full: No space left");

    // Somebody else makes the file meanwhile: it is theirs.
    let (_folder, file, part) = places();
    let mut pair = Pair::with(&["-o", text(&file)], &[]);
    fs::write(&file, "theirs").expect("room for it");
    feed(pair.tx.stdin(), BYTES);
    failed(pair, "FILE: File exists");
    assert_eq!(fs::read(&file).expect("it is there"), b"theirs");
    assert!(!part.exists());

    // Somebody takes the part away.
    let (_folder, file, part) = places();
    let mut pair = Pair::with(&["-o", text(&file)], &[]);
    fs::rename(&part, part.with_extension("away")).expect("it is there");
    feed(pair.tx.stdin(), BYTES);
    failed(pair, "FILE: its part was taken away");
    assert!(!file.exists());

    // The whole folder vanishes.
    let (folder, file, _) = places();
    let mut pair = Pair::with(&["-o", text(&file)], &[]);
    folder.close().expect("it can be removed");
    feed(pair.tx.stdin(), BYTES);
    failed(pair, "FILE: its part was taken away");
}

/// A limit of the shell stands for a disk with room for two thirds of the stream.
#[test]
fn a_full_disk_leaves_nothing() {
    let (folder, file, _) = places();
    let script = "ulimit -f 2048; exec \"$0\" rx 127.0.0.1:0 --plain -q -o \"$1\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, super::process::PROGRAM, text(&file)]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut rx = End::spawn(&mut command);
    let port = rx.port();
    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
    let mut pair = Pair { tx, rx, port };
    feed(pair.tx.stdin(), BYTES);
    let (tx, rx) = pair.ended(LONG);
    rx.failed(1, "FILE: File too large");
    tx.failed(1, "FILE: File too large");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}
