//! The files of `--stats` and `--metrics`, and what is there already: other files of the run, other files of the user's, what
//! former runs have left.

use crate::harness::{End, until_found, viamillipede};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How every page begins.
const PAGE: &str = "# HELP viamillipede_exit_code The exit code of a run that has ended.\n";

/// A folder of files, and the program in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).expect("it is there")
    }

    fn start(&self, line: &str) -> End {
        let mut command = viamillipede(line);
        command.current_dir(self.0.path());
        End::run(command)
    }

    /// Runs to the end of an empty stdin: the code, and what was said.
    fn run(&self, line: &str) -> (i32, String) {
        let mut end = self.start(line);
        (end.code(), end.said())
    }

    /// A FIFO that is read by nobody who takes anything, and has no room left.
    fn full_fifo(&self, name: &str) -> File {
        mkfifo(&self.at(name), Mode::S_IRWXU).expect("a FIFO");
        let open = |options: &mut OpenOptions| {
            options.custom_flags(nix::libc::O_NONBLOCK).open(self.at(name)).expect("it opens")
        };
        let reader = open(OpenOptions::new().read(true));
        let mut writer = open(OpenOptions::new().write(true));
        let full = (0..).find_map(|_| writer.write(&[b'\n'; 512]).err()).expect("it ends");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        reader
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink())
}

#[test]
fn no_file_of_a_run_is_written_in_the_place_of_another() {
    let place = Place::new();
    place.write("img", "precious");
    place.write("speed", "1MB");
    fs::hard_link(place.at("img"), place.at("hard")).expect("a name");
    symlink("img", place.at("soft")).expect("a link");
    for (line, said) in [
        ("loop -q -i img --metrics img", "--metrics img: the same file as --input img"),
        ("loop -q -i img --metrics hard", "--metrics hard: the same file as --input img"),
        ("loop -i img --stats soft", "--stats soft: the same file as --input img"),
        ("loop --rate @speed --metrics speed", "--metrics speed: the same file as --rate speed"),
        ("tx --key-file img --stats img h:1", "--stats img: the same file as --key-file img"),
        ("rx -o img --force --metrics img 0", "--metrics img: the same file as --output img"),
        ("loop -o new --metrics ./new", "--metrics ./new: the same file as --output new"),
        ("loop -o new --stats new.part", "--stats new.part: the same file as --output's "),
        ("loop --stats new --metrics new", "--metrics new: the same file as --stats new"),
    ] {
        let (code, words) = place.run(line);
        assert_eq!((code, words.lines().count()), (2, 1), "{line}: {words}");
        assert!(words.starts_with(&format!("viamillipede: {said}")), "{line}: {words}");
    }
    assert_eq!(place.read("img"), "precious");
    assert!(!place.at("new").exists());
    assert_eq!(
        place.run("loop -q -i img -o soft --force"),
        (0, String::new()),
        "it is whole first"
    );
    assert_eq!(place.run("loop -q -i img --rate @speed --key-file speed").0, 2, "that is no key");
    assert_eq!(place.read("img"), "precious");
    let (code, words) = place.run("loop -q -i /dev/null -o /dev/null --stats /dev/null");
    assert_eq!((code, words.as_str()), (0, ""), "what keeps nothing loses nothing");
}

#[test]
fn only_a_page_is_replaced_by_a_page() {
    let place = Place::new();
    for (name, code) in [("precious", 2), ("", 0), (PAGE, 0)] {
        place.write("file", name);
        let (ended, words) = place.run("loop -q --metrics file");
        assert_eq!(ended, code, "{name}: {words}");
        assert_eq!(place.read("file") == name, code == 2, "{name}");
    }
    let (code, words) = place.run("loop --metrics -");
    assert_eq!((code, words.lines().count()), (2, 1), "{words}");
    assert!(!place.at("-").exists());
}

#[test]
fn metrics_at_a_link_replace_what_it_leads_to() {
    let place = Place::new();
    fs::create_dir(place.at("far")).expect("a folder");
    symlink("far/page", place.at("link")).expect("a link");
    for _ in 0..2 {
        assert_eq!(place.run("loop -q --metrics link").0, 0);
        assert!(is_link(&place.at("link")), "it stays");
        assert!(place.read("far/page").contains("viamillipede_exit_code"));
        fs::write(place.at("far/page"), PAGE).expect("it is there");
    }
}

#[test]
fn the_page_of_the_last_run_stays_while_the_next_one_waits() {
    let place = Place::new();
    place.write("page", PAGE);
    let mut rx = place.start("rx --plain --metrics page --stats stats 127.0.0.1:0");
    // Longer than a page takes that is due.
    let lines = || fs::read_to_string(place.at("stats")).unwrap_or_default().lines().count();
    until_found(|| (lines() > 5).then_some(()), || format!("{} lines", lines()));
    assert_eq!(place.read("page"), PAGE);
    rx.signal(Signal::SIGTERM);
    assert_eq!(rx.code(), 143);
    assert!(place.read("page").contains("viamillipede_exit_code{role=\"receiver\",name=\"\"} 143"));
}

#[test]
fn a_reader_of_lines_that_takes_none_costs_no_page() {
    let place = Place::new();
    let _full = place.full_fifo("fifo");
    assert_eq!(place.run("loop -q --stats fifo --metrics page").0, 0);
    assert!(place.read("page").contains("viamillipede_exit_code{role=\"sender\",name=\"\"} 0"));
}

#[test]
fn a_fifo_that_nobody_reads_is_told_in_words() {
    let place = Place::new();
    mkfifo(&place.at("fifo"), Mode::S_IRWXU).expect("a FIFO");
    let (code, words) = place.run("loop --stats fifo");
    assert_eq!((code, &*words), (1, "viamillipede: --stats fifo: a FIFO that nobody reads\n"));
}

#[test]
fn what_is_appended_to_a_part_of_a_line_is_not_lost_with_it() {
    let place = Place::new();
    place.write("stats", "{\"v\":1,\"event\":\"st");
    for runs in 1..=2 {
        assert_eq!(place.run("loop -q --stats stats").0, 0);
        let text = place.read("stats");
        let whole = text.lines().skip(1).filter(|line| line.ends_with('}')).count();
        assert_eq!((whole, text.lines().count()), (runs, runs + 1), "{text}");
    }
    let (code, words) = place.run("report stats -o page");
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("stats: line 1 is no line of --stats, and left out\n"), "{words}");
}
