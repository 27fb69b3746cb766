//! What both ends write for programs: lines of `--stats`, pages of `--metrics`.

use super::stream::{Pair, Stream};
use crate::harness::{End, until_found, viamillipede};
use jsonschema::Validator;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use prometheus_parse::{Scrape, Value as Sample};
use serde_json::Value;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread;

const SIZE: u64 = (3 << 20) + 11;

fn schema() -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/stats.schema.json");
    let text = fs::read_to_string(path).expect("the schema");
    let schema = serde_json::from_str(&text).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

/// The lines of this text, each of which keeps to the schema; the last one is the end.
fn lines(text: &str) -> Vec<Value> {
    let schema = schema();
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a line is JSON");
        if let Some(error) = schema.iter_errors(&value).next() {
            panic!("{error}: {line}");
        }
        value
    };
    let lines: Vec<Value> = text.lines().map(line).collect();
    let ends = lines.iter().filter(|line| line["event"] == "end").count();
    assert_eq!((ends, &lines.last().expect("there is an end")["event"]), (1, &"end".into()));
    lines
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it was written")
}

#[test]
fn the_last_line_has_totals_that_equal_the_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let option = |name: &str| format!("--verify --name n --stats {}", at(name).display());
    let mut pair = Pair::start(&option("tx"), &option("rx"));
    let tally = pair.carry(Stream::new(1, SIZE));
    for (name, role) in [("tx", "sender"), ("rx", "receiver")] {
        let lines = lines(&read(&at(name)));
        let end = lines.last().expect("there is an end");
        assert_eq!((&end["stream_bytes"], &end["role"]), (&tally.bytes.into(), &role.into()));
        assert_eq!(
            (&end["outcome"], &end["raw_bytes"]),
            (&"delivered".into(), &tally.bytes.into())
        );
        assert_eq!(end["exit_code"], 0);
        let said = [&pair.tx, &pair.rx][usize::from(name == "rx")].said();
        let digest = end["blake3"].as_str().expect("--verify was said");
        assert!(said.contains(&format!("blake3 {digest}")), "{said}");
        let links = end["links"].as_array().expect("links");
        let carried: u64 = links.iter().filter_map(|link| link["wire_bytes"].as_u64()).sum();
        assert!(carried >= SIZE, "all of it went over links: {end}");
    }
}

#[test]
fn the_last_line_is_of_the_whole_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("stats");
    let mut line = viamillipede(&format!("loop --plain --rate 1MB --stats {}", at.display()));
    line.stdout(Stdio::null());
    let mut end = End::run(line);
    let mut stream = end.stdin.take().expect("a pipe");
    stream.write_all(&[0x55; 3 << 20]).expect("it reads");
    // Three seconds of --rate, and then the source is what is waited for.
    let last = || read(&at).lines().last().unwrap_or_default().to_owned();
    until_found(
        || last().contains("\"bottleneck\":\"source\"").then_some(()),
        || format!("the source is silent, and this is said: {}", last()),
    );
    drop(stream);
    assert_eq!(end.code(), 0);
    let lines = lines(&read(&at));
    let end = lines.last().expect("there is an end");
    let figure = |name: &str| end[name].as_f64().expect("a number");
    assert_eq!(end["bottleneck"], "rate", "for most of the time");
    for bytes in ["stream_bytes", "wire_bytes"] {
        let mean = figure(bytes) / figure("elapsed_s");
        let told = figure(&format!("{bytes}_per_s"));
        assert!((told / mean - 1.0).abs() < 0.01, "{bytes}: {told}, not {mean}");
    }
}

/// A run so short that nobody has looked at it while it went on.
#[test]
fn the_last_line_and_the_summary_say_the_same() {
    let mut run = End::start("loop --stats -");
    drop(run.stdin.take());
    assert_eq!(run.code(), 0);
    let said = run.said();
    let json: String = said.lines().filter(|line| line.starts_with('{')).collect();
    let end = lines(&json).pop().expect("there is an end");
    let (_, summary) = said.split_once("; bottleneck: ").expect("a summary");
    let bottleneck = end["bottleneck"].as_str().expect("a text");
    assert!(summary.starts_with(&format!("{bottleneck} (")), "{bottleneck}: {summary}");
    let links = end["links"].as_array().expect("links");
    let connections: u64 = links.iter().filter_map(|link| link["connections"].as_u64()).sum();
    assert_eq!((end["connections"].as_u64(), connections > 0), (Some(connections), true), "{end}");
    assert_eq!((links.len(), &links[0]["name"]), (1, &"127.0.0.1".into()));
}

/// Its sink has failed, and the other end, which must hear of it, is stopped.
#[test]
fn who_stays_after_the_end_of_the_stream_has_no_rates_any_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    mkfifo(&at("cue"), Mode::S_IRWXU).expect("a FIFO");
    let line = format!("rx --plain --stats {} 127.0.0.1:0 -- sh -c", at("stats").display());
    let mut rx = viamillipede(&line);
    let script = "exec 3<&0; cat <&3 >/dev/null & read cue <\"$0\"; exit 9";
    rx.arg(script).arg(at("cue"));
    let mut rx = End::run(rx);
    let mut tx = End::start(&format!("tx --plain --rate 1MB {}", rx.ready()));
    let mut stream = tx.stdin.take().expect("a pipe");
    // Until nobody reads it any more.
    let feeder = thread::spawn(move || while stream.write_all(&[0x55; 1 << 16]).is_ok() {});
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(at("stats")).unwrap_or_default();
        text.lines().flat_map(serde_json::from_str).collect()
    };
    let rates = |line: &Value| {
        let link = line["links"][0]["wire_bytes_per_s"].as_f64()?;
        Some([line["stream_bytes_per_s"].as_f64()?, line["wire_bytes_per_s"].as_f64()?, link])
    };
    let moves = || rates(lines().last()?).filter(|all| all.iter().all(|rate| *rate > 0.0));
    until_found(moves, || format!("nothing moves: {:?}", lines()));
    tx.signal(Signal::SIGSTOP);
    fs::write(at("cue"), "now\n").expect("COMMAND reads it");
    let stays = || {
        let lines = lines();
        let [.., before, last] = &lines[..] else { return None };
        (before["elapsed_s"] == last["elapsed_s"]).then(|| rates(last))
    };
    let still = until_found(stays, || format!("it goes on: {:?}", lines()));
    assert_eq!(still, Some([0.0; 3]));
    tx.signal(Signal::SIGCONT);
    assert_eq!((tx.code(), rx.code()), (6, 6));
    feeder.join().expect("it ends");
}

#[test]
fn a_sink_that_takes_nothing_is_what_both_ends_wait_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let option = |name: &str| format!("--stats {}", at(name).display());
    let mut pair = Pair::start(&option("tx"), &option("rx"));
    let mut stream = pair.tx.stdin.take().expect("a pipe");
    stream.write_all(&[0x55; 3 << 20]).expect("it reads");
    let waits_for = |name: &str, what: &str| {
        let lines = || fs::read_to_string(at(name)).unwrap_or_default();
        let told = format!("\"bottleneck\":\"{what}\"");
        until_found(|| lines().lines().last()?.contains(&told).then_some(()), lines);
    };
    waits_for("tx", "sink");
    waits_for("rx", "sink");
    let mut written = pair.rx.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || io::copy(&mut written, &mut io::sink()));
    waits_for("tx", "source");
    waits_for("rx", "network or sender");
    drop(stream);
    pair.end_well();
    assert_eq!(reader.join().expect("it reads").expect("it reads"), 3 << 20);
}

#[test]
fn a_run_that_fails_says_so_in_its_last_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("stats");
    fs::write(&at, "").expect("a file");
    let line = format!("tx --plain --patience 1 --stats {} 127.0.0.1:1", at.display());
    for runs in 1..=2 {
        assert_eq!(End::start(&line).code(), 4);
        let text = read(&at);
        let ends: Vec<&str> = text.lines().filter(|line| line.contains("\"end\"")).collect();
        assert_eq!(ends.len(), runs, "a run is appended to the others");
        let end = lines(ends[runs - 1]).remove(0);
        assert_eq!((&end["outcome"], &end["exit_code"]), (&"failed".into(), &4.into()));
        assert_eq!((&end["stream_bytes"], &end["elapsed_s"]), (&0.into(), &0.0.into()));
        let words = end["error"].as_str().expect("it has an error");
        assert!(words.contains("127.0.0.1:1"), "{words}");
    }
}

#[test]
fn figures_may_go_to_stderr_and_never_to_stdout() {
    let mut end = End::start("loop -q --stats -");
    drop(end.stdin.take());
    assert_eq!(end.code(), 0);
    assert_eq!(lines(&end.said()).len(), 1);
}

#[test]
fn metrics_are_a_page_of_prometheus() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("run.prom");
    let option = format!("--name a\"b\\c --metrics {}", at.display());
    let mut pair = Pair::start(&option, "--name a\"b\\c");
    let tally = pair.carry(Stream::new(2, SIZE));
    let text = read(&at);
    let page = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("it parses");
    let sample = |name: &str| {
        let name = format!("viamillipede_{name}");
        let found = page.samples.iter().find(|sample| sample.metric == name);
        let found = found.unwrap_or_else(|| panic!("no {name}: {text}"));
        assert_eq!(found.labels.get("role"), Some("sender"));
        match found.value {
            Sample::Counter(value) | Sample::Gauge(value) => value,
            ref other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(sample("stream_bytes_total") as u64, tally.bytes);
    assert_eq!(sample("exit_code"), 0.0);
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/metrics.md");
    let documented = read(&documented);
    for sample in &page.samples {
        let metric = &sample.metric;
        assert!(documented.contains(&format!("`{metric}")), "{metric} is not documented");
        let help = |line: &&str| line.starts_with(&format!("# HELP {metric} "));
        assert_eq!(text.lines().filter(help).count(), 1, "{metric}");
    }
    let names = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 1, "nothing is left beside it");
}

#[test]
fn what_cannot_be_written_is_told_at_the_start() {
    for (option, code) in [
        ("--stats /nowhere/at/all", 1),
        ("--metrics /nowhere/at/all", 1),
        ("--metrics /dev/null", 2),
        ("--metrics /", 2),
    ] {
        let mut end = End::start(&format!("loop {option}"));
        assert_eq!(end.code(), code, "{option}");
        assert_eq!(end.said().lines().count(), 1, "{}", end.said());
    }
}

#[test]
fn a_disk_that_is_full_costs_figures_only() {
    let mut pair = Pair::start("--stats /dev/full", "");
    pair.carry(Stream::new(3, SIZE));
    let said = pair.tx.said();
    assert_eq!(
        said.matches("/dev/full: No space left on device; going on without it").count(),
        1,
        "{said}"
    );
}
