//! The command line from outside: what is refused, in which shape, and with which code.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use viamillipede::proto::hello::VERSIONS;

const PROGRAM: &str = env!("CARGO_BIN_EXE_viamillipede");

fn run(line: &str) -> Output {
    output(line.split_whitespace())
}

fn output(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_remove("VIAMILLIPEDE_KEY").args(arguments).stdin(Stdio::null());
    let output = command.output();
    output.expect("the program starts")
}

/// What a usage error says, once its shape is found right: one line, at most one hint, code 2, and
/// nothing on stdout.
fn complaint(line: &str) -> String {
    let output = run(line);
    let said = String::from_utf8(output.stderr).expect("UTF-8 on stderr");
    assert_eq!(output.status.code(), Some(2), "{line}: {said}");
    assert!(output.stdout.is_empty(), "{line}: something on stdout");
    assert!(said.ends_with('\n'), "{line}: {said:?}");
    let lines: Vec<&str> = said.lines().collect();
    let first = lines.first().copied().unwrap_or_default();
    let cause = first.strip_prefix("viamillipede: ").unwrap_or_else(|| panic!("{line}: {said}"));
    assert!(cause.split_once(": ").is_some_and(|(what, why)| !what.is_empty() && !why.is_empty()));
    let others = lines.get(1..).unwrap_or_default();
    assert!(others.len() <= 1, "{line}: {said}");
    assert!(others.iter().all(|other| other.starts_with("hint: ")), "{line}: {said}");
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{line}: {said:?}");
    said
}

#[test]
fn every_usage_error_has_one_shape() {
    let wrong = [
        ("", "no command"),
        ("send h:1", "send: unknown command"),
        ("guardian stdin cat", "guardian: unknown command"),
        ("--bogus", "--bogus: unknown"),
        ("tx --plain", "DEST: missing"),
        ("rx --plain", "LISTEN: missing"),
        ("tx --plain --bogus h:1", "--bogus: unknown"),
        ("tx --plain --verfy h:1", "did you mean --verify?"),
        ("tx --version", "hint: viamillipede --version tells it"),
        ("rx -V", "hint: viamillipede --version tells it"),
        ("version", "hint: viamillipede --version tells it"),
        ("tx --plain -x h:1", "-x: unknown"),
        ("tx --plain --verify=yes h:1", "--verify: takes no such value"),
        ("loop extra", "extra: unknown"),
        ("tx --plain --plain h:1", "--plain: given twice"),
        ("tx --plain -q -v h:1", "cannot go with"),
        ("tx --plain --lz4 --zstd h:1", "--lz4: cannot go with --zstd"),
        ("tx --plain --adapt --zstd 3 h:1", "--adapt: cannot go with --zstd"),
        ("tx --plain --zstd 99 h:1", "--zstd 99: not a level from -7 to 19"),
        ("tx --plain --zstd -8 h:1", "--zstd -8: not a level from -7 to 19"),
        ("tx --plain --zstd=fast h:1", "--zstd fast: not a level"),
        ("tx --plain -z 5000", "--zstd 5000: not a level"),
        ("tx --plain --rate fast h:1", "--rate fast: not a rate like 500K, 20MB or 200Mbit"),
        ("loop --bwlimit 5Mbits", "--rate 5Mbits: not a rate"),
        ("loop --rate 999", "--rate 999: less than 1000 bytes a second"),
        ("loop --rate 20", "hint: without a unit it is in bytes: say 20MB or 20Mbit\n"),
        ("loop --rate 10K --workers 256", "--rate: 10240 bytes a second are too few for 256"),
        ("loop --rate 10K --workers 256", "hint: --rate 64000 would do"),
        ("tx --plain --rate 1K a:1 b:1 c:1 d:1 e:1", "hint: --rate 1250 would do"),
        ("tx --plain --rate 1K h:1,workers=9", "too few for 9 connections"),
        ("tx --rate 1K --ssh h --workers 5 -- cat", "too few for 5 connections"),
        (
            "tx --plain --rate @/nowhere/rate h:1",
            "--rate @/nowhere/rate: No such file or directory",
        ),
        ("loop --rate @/", "--rate @/: Is a directory"),
        ("loop --rate @", "--rate @: no file behind the @"),
        ("tx --plain --rate 1M --bwlimit 2M h:1", "--rate: given twice"),
        ("rx --plain --rate 1M 5000", "--rate: goes with --ssh HOST only"),
        ("rx --ssh h -i f --rate @g", "--rate @g: the transmitter on HOST cannot read this file"),
        ("tx --plain --workers 0 h:1", "--workers 0: not a number from 1 to 256"),
        ("tx --plain --workers 257 h:1", "--workers 257: not a number from 1 to 256"),
        ("rx --plain --workers 4 5000", "--workers: this end waits"),
        ("tx --plain --listen --workers 4 5000", "--workers: this end waits"),
        (
            "tx --plain --foot-size 32K h:1",
            "--foot-size 32K: not a power of two from 64KiB to 16MiB",
        ),
        ("tx --plain --foot-size 32M h:1", "--foot-size 32M: not a power of two"),
        ("tx --plain --foot-size 96K h:1", "--foot-size 96K: not a power of two"),
        ("tx --plain --foot-size 64KB h:1", "--foot-size 64KB: not a power of two"),
        ("tx --plain --foot-size", "--foot-size: a value is missing"),
        ("rx --plain --foot-size 1M 5000", "--foot-size: goes with --ssh HOST only"),
        ("tx --plain --size lots h:1", "--size lots: not a number of bytes"),
        ("tx --plain --window 1Z h:1", "--window 1Z: not a number of bytes"),
        ("tx --plain --window 11M h:1", "--window: 11MiB is too small: 12 feet of 1MiB"),
        ("tx --plain --window 11M h:1", "hint: --foot-size 512KiB or --window 12MiB would do"),
        ("rx --plain --window 0 5000", "6 feet of 64KiB"),
        ("tx --plain --patience -1 h:1", "-1"),
        ("tx --plain --patience=-1 h:1", "--patience -1: not a number of seconds"),
        ("tx --plain --patience 5m h:1", "--patience 5m: not a number of seconds"),
        ("tx --plain --patience 5m h:1", "hint: it is in seconds, without a unit: --patience 300"),
        ("tx --plain --patience nan h:1", "--patience nan: not a number of seconds"),
        ("tx --plain --patience 1e-10 h:1", "--patience 1e-10: not a number of seconds"),
        ("tx --plain --progress often h:1", "--progress often: not one of auto, always, never"),
        ("tx h:1", "no key: an end that dials needs the other's"),
        ("tx h:1", "hint: say --key-file FILE, set VIAMILLIPEDE_KEY, or say --plain at both ends"),
        ("rx --connect h:1", "no key: "),
        ("tx --plain --key-file f h:1", "--plain: cannot go with --key-file"),
        ("rx --key-file f --plain 5000", "cannot go with"),
        ("tx --key-file", "--key-file: a value is missing"),
        ("tx --key-file /nowhere/key h:1", "--key-file /nowhere/key: No such file or directory"),
        ("rx --key-file / 5000", "--key-file /: Is a directory"),
        ("loop --key-file /nowhere/key", "--key-file /nowhere/key: No such file"),
        ("keygen one two", "two: unknown here"),
        ("report", "STATS: missing"),
        ("report one two", "two: unknown here: one argument too many"),
        ("report one two", "hint: what may be said is viamillipede report [OPTIONS] <STATS>\n"),
        ("completions", "hint: one of bash, elvish, fish, powershell, zsh\n"),
        ("completions tcsh", "SHELL tcsh: not one of bash, elvish, fish, powershell, zsh\n"),
        ("completions tcsh", "hint: viamillipede --help lists"),
        ("completions zshh", "hint: did you mean zsh?"),
        ("report one -o", "--output: a value is missing"),
        ("tx --plain h", "h: no port"),
        ("tx --plain http://host/", "http://host/: no URL is needed, but HOST:PORT\nhint: a DEST"),
        ("tx --plain tcp://h:1", "tcp://h:1: no URL is needed, but HOST:PORT\n"),
        ("rx --plain tcp://h:1", "tcp://h:1: no URL is needed, but HOST:PORT\nhint: a LISTEN"),
        ("tx --plain h:0", "h:0: port 0"),
        ("tx --plain h:99999", "h:99999: the port"),
        ("tx --plain ::1:5000", "brackets"),
        ("tx --plain h:1,speed=9", "unknown key \"speed\""),
        ("tx --plain h:1,bind=", "bind: not an address or the name of an interface"),
        ("rx --plain --connect h:1,bind=a/b", "bind: not an address or the name of an interface"),
        ("tx --plain 10.0.0.1:1,bind=::1", "bind: v4 leads only to v4"),
        ("tx --plain h:1,workers=0", "workers: not a number from 1 to 256"),
        ("rx --plain h:x", "h:x: the port"),
        ("rx --plain --connect 5000", "no host"),
        ("tx --plain h:1 -- cat", "cat: a COMMAND is for the receiving end"),
        ("tx --plain h:1 -- cat", "hint: --source 'CMD' transmits what a program writes"),
        ("tx --plain --input f --source cat h:1", "cannot go with --"),
        ("tx --plain --source= h:1", "--source"),
        ("tx --plain --output f h:1", "--output: goes with --ssh HOST only"),
        ("rx --plain -i f 5000", "--input: goes with --ssh HOST only"),
        ("rx --plain -o f 5000 -- cat", "--output: cannot go with a COMMAND (cat)"),
        ("rx --plain --force 5000", "--force: there is no --output"),
        ("loop --force -- cat", "--force: there is no --output"),
        ("rx --plain 5000 --", "COMMAND: missing\nhint: after -- there is none; "),
        ("loop --", "COMMAND: missing"),
        ("tx --ssh h --", "COMMAND: missing"),
        ("rx --ssh h -i f --", "COMMAND: missing"),
    ];
    for (line, expected) in wrong {
        let said = complaint(line);
        assert!(said.contains(expected), "{line}\n{said}\nlacks: {expected}");
    }
}

#[test]
fn options_that_cannot_go_together_are_not_told_whose_they_are() {
    assert!(!complaint("tx --plain --adapt --zstd 3 h:1").contains("--adapt is for"));
}

/// As `-- "$COMMAND"` is without COMMAND.
#[test]
fn an_empty_word_is_no_command() {
    for line in ["rx --plain 5000 --", "loop --", "tx --ssh h --", "rx --ssh h -i f --"] {
        let said = output(line.split(' ').chain([""]));
        let (code, said) = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned());
        assert!(code == Some(2) && said.contains("COMMAND: missing\nhint: "), "{line}: {said}");
    }
}

#[test]
fn no_hint_is_better_than_one_that_does_not_fit() {
    for line in ["tx --plain --patience 0s h:1", "tx --plain --zstd=20 h:1", "loop -z-8"] {
        assert!(!complaint(line).contains("hint:"), "{line}");
    }
    let hinted = "hint: a number after --zstd is its level; put another option between";
    for line in ["tx --plain --zstd 5000 h:1", "tx --plain -qz 5000"] {
        assert!(complaint(line).contains(hinted), "{line}");
    }
}

#[test]
fn a_stdin_that_is_closed_is_no_stream_of_no_bytes() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" prbs --check <&-", PROGRAM]);
    let output = command.output().expect("sh starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &*said), (Some(1), "viamillipede: stdin: closed\n"));
}

#[test]
fn a_name_has_a_limit() {
    let longest = "n".repeat(255);
    assert!(complaint(&format!("tx --name {longest} h:1")).contains("--plain"));
    assert!(complaint(&format!("tx --name {longest}n h:1")).contains("256 bytes, more than 255"));
}

/// What the system says of a file whose folder is missing would be no news.
#[test]
fn a_folder_that_is_missing_is_named() {
    for (line, said) in [
        ("loop -o nowhere/there/x", "nowhere/there: no such folder"),
        ("loop --stats nowhere/x", "--stats nowhere: no such folder"),
        ("loop --metrics nowhere/x", "--metrics nowhere: no such folder"),
        ("loop --stats tests", "--stats tests: Is a directory"),
        ("man nowhere", "nowhere: no such folder"),
        ("keygen nowhere/x", "nowhere: no such folder"),
        ("report testdata/stats/unplugged.jsonl -o nowhere/x", "nowhere: no such folder"),
    ] {
        let output = run(line);
        let heard = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), heard),
            (Some(1), format!("viamillipede: {said}\n")),
            "{line}"
        );
    }
}

#[cfg(unix)]
#[test]
fn arguments_cannot_spoil_the_shape_of_an_error() {
    use std::os::unix::ffi::OsStrExt;
    for place in [&b"a\nviamillipede: b\x1b[2J\r:x"[..], b"\xff\xfe:1"] {
        let output =
            output(["tx", "--plain"].map(OsStr::new).iter().chain([&OsStr::from_bytes(place)]));
        let said = String::from_utf8(output.stderr).expect("UTF-8 on stderr");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("viamillipede: ")).count(), 1);
        assert!(said.lines().count() <= 2 && !said.contains('\x1b'), "{said:?}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for line in ["--help", "tx --help", "rx --help", "loop --help", "keygen --help", "--version"] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(output.stderr.is_empty(), "{line}");
        let shown = String::from_utf8(output.stdout).expect("UTF-8 on stdout");
        assert!(shown.contains("viamillipede") && !shown.contains('\x1b'), "{line}: {shown}");
    }
}

#[test]
fn help_has_help_like_any_command() {
    for (asked, as_asked) in [("help --help", "--help"), ("help tx -h", "tx --help")] {
        let [shown, expected] = [run(asked), run(as_asked)];
        assert_eq!(shown.status.code(), Some(0), "{asked}");
        assert!(shown.stdout == expected.stdout && shown.stderr.is_empty(), "{asked}");
    }
}

/// `-V` for programs, `--version` for reports of bugs.
#[test]
fn a_version_tells_what_was_built_and_a_short_one_does_not() {
    let shown = |flag| String::from_utf8(run(flag).stdout).expect("UTF-8 on stdout");
    let first = concat!("viamillipede ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(shown("-V"), first);
    let long = shown("--version");
    let rest = long.strip_prefix(first).unwrap_or_else(|| panic!("{long}"));
    let lines = rest.lines().map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{long}")));
    let lines: Vec<(&str, &str)> = lines.collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["protocol", "compression", "encryption", "platform"]);
    let told = |name| lines.iter().find(|line| line.0 == name).map(|line| line.1).expect("a line");
    let spoken = [VERSIONS.start(), VERSIONS.end()].map(u16::to_string);
    assert!(spoken.iter().all(|version| told("protocol").contains(version)), "{long}");
    let zstd = told("compression").strip_prefix("zstd ").and_then(|text| text.split_once(", lz4"));
    let numbers: Vec<&str> = zstd.unwrap_or_else(|| panic!("{long}")).0.split('.').collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|it| it.parse::<u32>().is_ok()), "{long}");
    assert!(told("encryption").starts_with("TLS 1.3 (rustls, aws-lc): X25519MLKEM768, TLS13_"));
    let here = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    assert!(told("platform").starts_with(&here), "{long}");
}

#[test]
fn help_names_every_option_and_shows_examples() {
    let shown = run("tx --help").stdout;
    let shown = String::from_utf8(shown).expect("UTF-8 on stdout");
    let options = [
        "--input",
        "--source",
        "--zstd",
        "--lz4",
        "--verify",
        "--workers",
        "--rate",
        "--bwlimit",
        "--foot-size",
        "--window",
        "--size",
        "--progress",
        "--plain",
        "--key-file",
        "--name",
        "--patience",
        "--quiet",
        "--verbose",
        "--listen",
    ];
    for option in options {
        assert!(shown.contains(option), "{option} is not in\n{shown}");
    }
    assert!(shown.contains("Examples:"));
    let shown = String::from_utf8(run("rx --help").stdout).expect("UTF-8 on stdout");
    for option in ["--output", "--force", "COMMAND"] {
        assert!(shown.contains(option), "{option} is not in\n{shown}");
    }
}

/// Both ends are one process, which makes their key.
#[test]
fn help_of_loop_speaks_of_no_other_end_that_must_hear_of_something() {
    let shown = String::from_utf8(run("loop --help").stdout).expect("UTF-8 on stdout");
    let options = ["--key-file", "--plain", "--name"];
    assert!(options.iter().all(|option| shown.contains(option)), "{shown}");
    for wrong in ["an end that waits", "must be said at both ends", "Must be the same at both ends"]
    {
        let one_line: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!one_line.contains(wrong), "{wrong}: {shown}");
    }
}

#[test]
fn a_pseudo_random_stream_is_made_and_verified() {
    let made = run("prbs --seed 5 --size 3MB");
    assert_eq!((made.status.code(), made.stdout.len()), (Some(0), 3_000_000));
    let check = |line: &str, stream: &[u8]| {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // It may have seen enough before the end.
        let _ = child.stdin.take().expect("a pipe").write_all(stream);
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8 on stderr"))
    };
    let right = (Some(0), "viamillipede: prbs: 3000000 bytes are right\n".to_owned());
    assert_eq!(check("prbs --check --seed 5", &made.stdout), right);
    assert_eq!(check("prbs --check --seed 5 -s 3MB", &made.stdout), right);
    let short = "viamillipede: prbs: it ends after 2999999 bytes of 3000000\n".to_owned();
    assert_eq!(check("prbs --check --seed 5 -s 3MB", &made.stdout[..2_999_999]), (Some(5), short));
    let (code, said) = check("prbs --check --seed 6", &made.stdout);
    assert_eq!(code, Some(5));
    assert!(said.starts_with("viamillipede: prbs: byte 0 is 0x"), "{said}");
}

#[test]
fn a_stream_without_end_ends_well_when_nobody_reads_it_any_more() {
    let mut command = Command::new(PROGRAM);
    let child = command.arg("prbs").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let mut first = [0; 100];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("it begins");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
