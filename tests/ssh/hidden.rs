//! Nothing secret where others see it: in a command line or an environment, here or there.

use super::server::Far;
use crate::harness::{End, PROGRAM};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn the_key_is_in_no_command_line_and_no_environment_of_others() {
    let Some(far) = Far::start() else { return };
    let file = far.name("key");
    let keygen = Command::new(PROGRAM).args(["keygen", &file]).stdin(Stdio::null()).status();
    assert!(keygen.expect("the program starts").success());
    let key = fs::read_to_string(&file).expect("it was made");
    let key = key.trim();
    let script = "cat >/dev/null; env >&2";
    let mut command = far.command(
        "tx --name private-label --key-file",
        &[&file, "--", "sh", "-c", script, &far.name("")],
    );
    command.env("VIAMILLIPEDE_KEY", key);
    let mut tx = End::run(command);
    // Once COMMAND runs, all have what they will ever have.
    tx.stdin.as_mut().expect("a pipe").write_all(b"x").expect("there is room");
    far.until_there_is(script);
    let entries = fs::read_dir("/proc").expect("there is one").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut seen = 0;
    for pid in pids.filter(|pid| *pid != tx.pid()) {
        let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        let (line, environment) = (read("cmdline"), read("environ"));
        let holds = |bytes: &[u8], text: &str| {
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(!holds(&line, key) && !holds(&environment, key), "process {pid}");
        if holds(&line, &far.name("viamillipede")) {
            assert!(!holds(&line, "private-label") || pid == tx.pid(), "process {pid}");
            seen += 1;
        }
    }
    assert!(seen > 0, "the far end is there");
    assert_eq!(tx.code(), 0, "{}", tx.said());
    assert!(!tx.said().contains("VIAMILLIPEDE_KEY"), "COMMAND's environment: {}", tx.said());
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
