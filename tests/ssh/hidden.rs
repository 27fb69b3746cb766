//! Nothing secret where others see it: in a command line or an environment, here or there.

use super::server::{Far, environment};
use crate::harness::{End, PROGRAM};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// How every key begins.
const KEY: &str = "vmkey1_";
const LABEL: &str = "private-label";
/// What a shell has in its environment for itself.
const OF_SHELLS: [&str; 4] = ["_", "OLDPWD", "PWD", "SHLVL"];

/// `line` with a key in a file and the same one in the environment, neither of which the far end needs.
fn keyed(far: &Far, line: &str, rest: &[&str]) -> End {
    let file = far.name("key");
    // The second time it is there already.
    let keygen = Command::new(PROGRAM).args(["keygen", &file]).stdin(Stdio::null()).output();
    drop(keygen.expect("the program starts"));
    let key = fs::read_to_string(&file).expect("it was made");
    assert!(key.starts_with(KEY));
    let line = format!("{line} --name {LABEL} --key-file {file}");
    let mut command = far.command(&line, rest);
    command.env("VIAMILLIPEDE_KEY", key.trim());
    End::run(command)
}

/// Checks all processes that are there, and the ssh that leads there.
fn nothing_is_to_be_seen(far: &Far, usual: &BTreeSet<String>) {
    let ours = format!("{} remote --stdio ", far.name("viamillipede"));
    let processes = far.processes();
    assert!(processes.iter().any(|(_, line)| *line == ours), "{processes:?}");
    for (pid, line) in processes {
        let environment = environment(pid);
        for text in [KEY, LABEL] {
            assert!(!line.contains(text) && !environment.contains(text), "{line}: {environment}");
        }
        if far.is_there(&environment) {
            let unusual: Vec<&str> =
                names(&environment, '\0').filter(|name| !usual.contains(*name)).collect();
            assert!(unusual.is_empty(), "{line}: {unusual:?}");
        }
    }
}

fn names(environment: &str, end: char) -> impl Iterator<Item = &str> {
    environment.split(end).filter_map(|it| Some(it.split_once('=')?.0))
}

#[test]
fn nothing_secret_is_in_a_command_line_or_an_environment_there() {
    let Some(far) = Far::start() else { return };
    let shown = far.output_of("env");
    let usual = names(&shown, '\n').chain(OF_SHELLS).map(str::to_owned).collect();
    for way in ["", "--direct never"] {
        let script = "cat >/dev/null; env >&2";
        let mut tx = keyed(&far, &format!("tx {way}"), &["--", "sh", "-c", script]);
        // Once COMMAND runs, all have what they will ever have.
        tx.stdin.as_mut().expect("a pipe").write_all(b"x").expect("there is room");
        far.until_there_is("sh -c cat");
        nothing_is_to_be_seen(&far, &usual);
        assert_eq!(tx.code(), 0, "{}", tx.said());
        assert!(!tx.said().contains("VIAMILLIPEDE_KEY"), "COMMAND's environment: {}", tx.said());

        let mut rx = keyed(&far, &format!("rx {way}"), &["--source", "env; exec cat /dev/zero"]);
        let mut out = vec![0; 100];
        rx.stdout.as_mut().expect("a pipe").read_exact(&mut out).expect("it comes");
        far.until_there_is("cat /dev/zero");
        nothing_is_to_be_seen(&far, &usual);
        drop(rx);
        far.until_nothing_is_left();
    }
}

#[test]
fn the_command_line_there_is_always_the_same() {
    let forced = "ForceCommand echo \"ran $SSH_ORIGINAL_COMMAND\" >&2";
    let Some(far) = Far::saying(forced) else { return };
    let ran = format!("ran {} remote --stdio", far.name("viamillipede"));
    for rest in [&["--", "cat", "a b"][..], &["--output", "/tmp/x"]] {
        let mut tx = far.end("tx --name label", rest);
        assert_eq!(tx.code(), 1, "{}", tx.said());
        assert!(tx.said().lines().any(|line| line == ran), "{}", tx.said());
    }
}
