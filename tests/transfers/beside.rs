//! The files of `--stats` and `--metrics`, and what is there already: other files of the run, other files of the user's, what
//! former runs have left.

use crate::harness::{End, viamillipede};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tempfile::TempDir;

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
        ("loop -i img -o soft --force", "--output soft: the same file as --input img"),
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
    let (code, words) = place.run("loop -q -i /dev/null -o /dev/null --stats /dev/null");
    assert_eq!((code, words.as_str()), (0, ""), "what keeps nothing loses nothing");
}
