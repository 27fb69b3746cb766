//! Completion as shells do it, with the scripts that `completions` prints. Does not know how these are made.

use crate::harness::PROGRAM;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn script(shell: &str) -> String {
    let output = Command::new(PROGRAM).args(["completions", shell]).output();
    String::from_utf8(output.expect("the program starts").stdout).expect("UTF-8 on stdout")
}

/// What bash offers in `folder` for the last of these words, and what it is told of it.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    const ASK: &str = "\
        compopt() { echo \"compopt $*\"; }
        . ./script
        COMP_WORDS=(viamillipede \"$@\")
        COMP_CWORD=$#
        _viamillipede viamillipede \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"
        for word in \"${COMPREPLY[@]}\"; do [[ -z $word ]] || echo \"$word\"; done";
    let mut bash = Command::new("bash");
    bash.current_dir(folder).args(["--norc", "-c", ASK, "bash"]).args(words);
    let output = bash.output().expect("there is a bash");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn files_are_completed_as_bash_completes_files_and_what_is_no_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("script"), script("bash")).expect("room for it");
    fs::create_dir(at("home")).expect("a folder");
    fs::write(at("ho ho"), "").expect("a file");
    let asked = |line: &str| {
        let mut found = offered(folder.path(), &line.split(' ').collect::<Vec<&str>>());
        found.sort();
        found
    };
    for option in ["tx --key-file", "tx -i", "rx -o", "rx --stats", "tx --metrics", "report x -o"] {
        let files = ["compopt -o filenames", "ho ho", "home"];
        assert_eq!(asked(&format!("{option} ho")), files, "{option}");
    }
    let no_files = ["--congestion", "--window", "--name", "--size", "--foot-size", "--patience"];
    for option in no_files.into_iter().chain(["--workers", "--rate", "--remote-path", "--ssh"]) {
        let kept = asked(&format!("tx {option} ho"));
        assert_eq!(kept, ["compopt -o nospace", "ho"], "{option}: what is typed stays");
        assert_eq!(asked(&format!("tx {option} ")), ["compopt -o nospace"], "{option}");
    }
    assert_eq!(asked("tx --progress a"), ["always", "auto"]);
}

/// Where the shell is installed.
#[test]
fn each_script_is_one_that_its_shell_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    for (shell, only_read) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let file = folder.path().join(shell);
        fs::write(&file, script(shell)).expect("room for it");
        let read = Command::new(shell).arg(only_read).arg(&file).stdin(Stdio::null()).output();
        let Ok(read) = read else { continue };
        assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {read:?}");
    }
}
