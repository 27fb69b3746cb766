//! `report`: a page of pictures from what `--stats` wrote, or one line that says why not.

mod page;
mod when;

use crate::harness::viamillipede;
use crate::transfers::stream::{Pair, Stream};
use page::Page;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;

/// The end of that run, to a quarter of a second.
const END: f64 = 12.25;

/// Two links of 10 MB/s, one of which has no connection from 4 s to 7.25 s.
fn unplugged() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/stats/unplugged.jsonl");
    let text = fs::read_to_string(path).expect("it is in the repository");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What `report -` makes of this: its code, stdout and stderr.
fn report(stats: impl AsRef<[u8]> + Send) -> (i32, String, String) {
    let mut process = viamillipede("report -").spawn().expect("the program starts");
    let mut stdin = process.stdin.take().expect("stdin is a pipe");
    let output = thread::scope(|scope| {
        // It reads no further than to a line that is too long, or newer.
        scope.spawn(move || drop(stdin.write_all(stats.as_ref())));
        process.wait_with_output().expect("it ends")
    });
    let words = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), words(output.stdout), words(output.stderr))
}

fn page(stats: &str) -> Page {
    let (code, page, said) = report(stats);
    assert_eq!((code, said.as_str()), (0, ""));
    Page::parse(page)
}

/// The one line that is said of a file of which there is no page.
fn complaint(stats: impl AsRef<[u8]> + Send) -> String {
    let (code, page, said) = report(stats);
    assert_eq!((code, page.as_str(), said.lines().count()), (1, "", 1), "{said}");
    let cause = said.strip_prefix("viamillipede: stdin: ");
    cause.unwrap_or_else(|| panic!("{said}")).trim_end().to_owned()
}

#[test]
fn a_page_of_a_real_run_has_its_totals_and_needs_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let option = |name: &str| format!("--verify --name a<b>&\"c --stats {}", at(name));
    let mut pair = Pair::start(&format!("{} --zstd", option("tx")), &option("rx"));
    let tally = pair.carry(Stream::new(1, (3 << 20) + 11));
    for (name, role) in [("tx", "sender"), ("rx", "receiver")] {
        let html = at(&format!("{name}.html"));
        fs::write(&html, "an older page").expect("a file");
        let mut command = viamillipede(&format!("report {} -o {html}", at(name)));
        let output = command.output().expect("the program starts");
        assert_eq!(
            (output.status.code(), output.stdout.len(), output.stderr.len()),
            (Some(0), 0, 0)
        );
        let page = Page::parse(fs::read_to_string(&html).expect("it was written"));
        let stats = fs::read_to_string(at(name)).expect("it was written");
        let end: Value = serde_json::from_str(stats.lines().last().expect("a line")).expect("JSON");
        let total = |field: &str| end[field].as_u64().expect("a number");
        assert_eq!(total("raw_bytes"), tally.bytes, "all feet are counted");
        let stream = format!("{} bytes (3.15 MB)", total("stream_bytes"));
        assert_eq!(page.total("stream"), stream);
        assert!(page.total("on the wire").starts_with(&format!("{} bytes", total("wire_bytes"))));
        let feet = format!("{}, {} sent again", total("feet"), total("resent_feet"));
        assert_eq!(page.total("feet"), feet);
        assert_eq!(page.total("connections lost"), total("lost_connections").to_string());
        assert_eq!(
            (page.total("outcome"), page.total("exit code")),
            ("delivered".into(), "0".into())
        );
        assert_eq!(page.total("blake3"), tally.hash.to_string());
        assert!(
            page.html.contains(&format!("<h1>viamillipede: a&lt;b&gt;&amp;&quot;c, {role}</h1>"))
        );
        page.needs_nothing_else();
        assert_eq!(page.pictures("wide"), page.pictures("narrow"));
        assert!(
            page.pictures("wide").starts_with(&["Throughput".into()]),
            "{:?}",
            page.pictures("wide")
        );
    }
    let names: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(names.len(), 4, "nothing is left beside the pages");
}

#[test]
fn the_page_of_a_loop_is_that_of_its_sender() {
    let mut process = viamillipede("loop --stats -").spawn().expect("the program starts");
    drop(process.stdin.take());
    let output = process.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let lines: String =
        said.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect();
    let page = page(&lines);
    assert!(page.html.contains("<h1>viamillipede: sender</h1>"));
    assert_eq!(page.total("stream"), "0 bytes (0 B)");
}

#[test]
fn what_happened_is_marked_when_it_did() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/stats.schema.json");
    let schema = fs::read_to_string(schema).expect("the schema");
    let schema = serde_json::from_str(&schema).expect("the schema is JSON");
    let schema = jsonschema::validator_for(&schema).expect("the schema is one");
    let lines = unplugged();
    assert!(lines.iter().all(|line| schema.is_valid(line)), "the lines are some");
    let page = page(&text(&lines));
    page.needs_nothing_else();
    for class in ["wide", "narrow"] {
        let happened = page.picture(class, "What held it up, and what happened");
        // A link without a connection, a foot sent again, connections lost and made, the window as bottleneck.
        assert_eq!(happened.bars("down"), [(4.0, 7.25)]);
        assert_eq!(happened.bars("window"), [(4.0, 7.0)]);
        assert_eq!(happened.bars("link-0"), [(0.0, 4.0), (7.25, END)]);
        assert_eq!(happened.bars("link-1"), [(0.0, END)]);
        assert_eq!(happened.moments("lost"), [4.0]);
        assert_eq!(happened.moments("made"), [7.25]);
        assert_eq!(happened.moments("resent"), [6.0]);
        let rates = page.picture(class, "Throughput");
        assert_eq!(rates.moments("lost"), [4.0]);
        assert_eq!(rates.moments("made"), [7.25]);
        // In MB/s, at half past each second.
        let seconds = (0..12).map(|second| f64::from(second) + 0.5);
        let of = |ink| seconds.clone().map(|at| rates.value(ink, at)).collect::<Vec<f64>>();
        assert_eq!(of("link-0"), [10., 10., 10., 10., 0., 0., 0., 5., 10., 10., 10., 9.]);
        assert_eq!(of("stream")[1..], [20., 20., 20., 10., 10., 10., 15., 20., 20., 20., 19.]);
        let ratio = page.picture(class, "Compression");
        assert_eq!(ratio.value("made", 6.5), 2.0);
        let level = page.picture(class, "Compression level");
        assert_eq!(level.bars("packing-4"), [(4.0, 7.0)]);
        let window = page.picture(class, "Window");
        assert_eq!((window.value("link-0", 6.5), window.value("link-1", 6.5)), (8.0, 9.0));
        assert_eq!(window.value("link-5", 6.5), 32.0);
    }
    for row in [
        "<td>4.0 s</td><td>2 connections lost</td><td>192.0.2.1:7000</td>",
        "<td>2 connections made</td><td>192.0.2.1:7000</td>",
    ] {
        assert!(page.html.contains(row), "{row}");
    }
}

#[test]
fn the_last_second_is_drawn_as_it_was_and_not_as_most_of_the_run() {
    let mut lines = unplugged();
    lines.last_mut().expect("an end")["bottleneck"] = json!("window");
    let page = page(&text(&lines));
    let happened = page.picture("wide", "What held it up, and what happened");
    assert_eq!(happened.bars("window"), [(4.0, 7.0)]);
}

#[test]
fn nothing_in_a_file_becomes_part_of_the_page() {
    let evil = "</title></style></svg><script>alert(1)</script><img src=x onerror='y'>\"&\u{202e}";
    let mut lines = unplugged();
    for line in &mut lines {
        for field in ["name", "bottleneck", "packing"] {
            line[field] = json!(evil);
        }
        for link in line["links"].as_array_mut().expect("links") {
            link["name"] = json!(format!("{evil}{}", link["link"]));
        }
    }
    let end = lines.last_mut().expect("an end");
    (end["outcome"], end["exit_code"]) = (json!("failed"), json!(4));
    (end["error"], end["blake3"]) = (json!(evil), json!(evil));
    let page = page(&text(&lines));
    let html = &page.html;
    for tag in ["<script", "<img", "\u{202e}"] {
        assert!(!html.contains(tag), "{tag}");
    }
    assert_eq!((html.matches("</style>").count(), html.matches("</title>").count()), (1, 1));
    let harmless = "&lt;script&gt;alert(1)&lt;/script&gt;";
    assert!(html.matches(harmless).count() >= 10, "it is told all the same");
    assert_eq!((page.total("outcome"), page.total("exit code")), ("failed".into(), "4".into()));
}

#[test]
fn a_run_without_an_end_has_a_page_that_says_so() {
    let lines = unplugged();
    let (whole, last) = (text(&lines[..7]), text(&lines[7..8]));
    let says_so = "The file has no end of this run";
    let is_cut = "The file's last line is cut off";
    let page_of = |stats: &str| {
        let page = page(stats);
        assert!(page.html.contains(says_so));
        assert_eq!(
            (page.total("outcome"), page.total("time")),
            ("unknown".into(), "7.000 s".into())
        );
        page
    };
    assert!(!page_of(&whole).html.contains(is_cut));
    for cut in [1, 30, last.len() / 2, last.len() - 2] {
        assert!(page_of(&(whole.clone() + &last[..cut])).html.contains(is_cut), "{cut}");
    }
    // All that is missing is the end of the line.
    assert_eq!(page(&(whole + last.trim_end())).total("time"), "8.000 s");
    assert!(!page(&text(&lines)).html.contains(says_so));
}

#[test]
fn of_several_runs_the_last_is_drawn() {
    let lines = unplugged();
    let (run, killed) = (text(&lines), text(&lines[..5]));
    let page_of = |stats: String, on_page: &str, aloud: &str| {
        let (code, html, said) = report(&stats);
        assert_eq!((code, said), (0, format!("viamillipede: stdin has {aloud}\n")));
        assert!(html.contains(&format!("The last of {on_page}.")), "{on_page}");
        html
    };
    let html = page_of(
        run.clone() + &killed,
        "2 runs in the file, from line 14 on; the other is not drawn",
        "2 runs: the last is drawn, from line 14 on; `head -n 13` of it has the other",
    );
    assert!(html.contains("has no end of this run"));
    let both = page_of(
        killed.clone() + &run,
        "2 runs in the file, from line 6 on; the other is not drawn",
        "2 runs: the last is drawn, from line 6 on; `head -n 5` of it has the other",
    );
    assert_eq!(both.matches("2 connections lost").count(), 1);
    page_of(
        killed.clone() + &killed + &run,
        "3 runs in the file, from line 11 on; the 2 others are not drawn",
        "3 runs: the last is drawn, from line 11 on; `head -n 10` of it has the 2 others",
    );
    assert!(!page(&run).html.contains("The last of"));
}

#[test]
fn a_run_that_was_killed_in_its_first_second_is_not_taken_for_the_next_one_s_beginning() {
    let lines = unplugged();
    let mut next = lines.clone();
    for line in &mut next {
        line["unix_s"] = json!(line["unix_s"].as_f64().expect("a number") + 60.0);
    }
    next[0]["elapsed_s"] = json!(next[0]["elapsed_s"].as_f64().expect("a number") + 0.05);
    let (_, html, _) = report(text(&lines[..1]) + &text(&next));
    assert!(html.contains("The last of 2 runs in the file, from line 2 on"));
    // The machine has slept, in the middle of the run.
    let (_, html, _) = report(text(&lines[..6]) + &text(&next[6..]));
    assert!(!html.contains("The last of"));
}

/// The other end has not heard of the end yet, and does not answer.
#[test]
fn what_is_waited_for_after_the_stream_does_not_move_its_beginning() {
    let mut lines = unplugged();
    let began = page(&text(&lines)).total("began");
    let end = lines.pop().expect("an end");
    for second in 1..=30 {
        let mut line = lines[11].clone();
        line["unix_s"] = json!(line["unix_s"].as_f64().expect("a number") + f64::from(second));
        lines.push(line);
    }
    let mut end = end;
    end["unix_s"] = json!(end["unix_s"].as_f64().expect("a number") + 30.0);
    lines.push(end);
    let page = page(&text(&lines));
    assert_eq!((page.total("began"), page.total("ended").contains("08:00:42")), (began, true));
    assert!(!page.html.contains("The last of"));
}

#[test]
fn the_page_says_when_it_was() {
    let mut lines = unplugged();
    let whole = page(&text(&lines));
    let (began, ended) = (whole.total("began"), whole.total("ended"));
    assert_eq!((&*began, &*ended), ("2027-01-15 08:00:00 UTC", "2027-01-15 08:00:12 UTC"));
    let killed = page(&text(&lines[..5]));
    assert_eq!(
        (killed.total("began"), killed.total("last seen")),
        (began, "2027-01-15 08:00:05 UTC".into())
    );
    // A clock that was never set, and what no clock says.
    for unix_s in [-5.0, 1e300] {
        lines[12]["unix_s"] = json!(unix_s);
        let end = page(&text(&lines[12..]));
        assert!(!end.html.contains(" UTC"), "{unix_s}");
    }
    lines[12]["elapsed_s"] = json!(0.0);
    lines[12]["unix_s"] = json!(1_800_000_000.0);
    let unmet = page(&text(&lines[12..]));
    assert_eq!(unmet.total("ended"), "2027-01-15 08:00:00 UTC");
    assert!(!unmet.html.contains("began"));
}

#[test]
fn an_end_that_never_met_the_other_has_a_page_without_pictures() {
    let mut end = unplugged().pop().expect("an end");
    (end["elapsed_s"], end["outcome"], end["exit_code"]) = (json!(0.0), json!("failed"), json!(4));
    end["error"] = json!("h:1: no progress for 1 s");
    let page = page(&text(&[end]));
    assert_eq!(page.total("error"), "h:1: no progress for 1 s");
    assert!(page.html.contains("there is nothing to draw") && page.pictures("wide").is_empty());
}

#[test]
fn what_is_no_file_of_stats_is_told_with_the_line() {
    let lines = unplugged();
    let good = text(&lines[..2]);
    let with = |field: &str, value: Value| {
        let mut line = lines[2].clone();
        line[field] = value;
        good.clone() + &text(&[line])
    };
    let none = "has no line of --stats";
    for (stats, words) in [
        (String::new(), none),
        ("\n\n".into(), none),
        ("hello\n".into(), "line 1 is no line of --stats (seen at column 1)"),
        (text(&lines)[..100].into(), "line 1 is no line of --stats"),
        ("{\"a\":1}\n".into(), "line 1 is no line of --stats"),
        ("\n[1]\n[1]\n".into(), "line 2 is no line of --stats"),
        (with("v", json!(2)), "line 3 is of version 2, and only 1 is known here"),
        ("{\"v\":3,\"other\":[]}\n".into(), "line 1 is of version 3"),
        ("x".repeat(2 << 20), "line 1 is longer than 1048576 bytes"),
    ] {
        assert!(complaint(&stats).starts_with(words), "{words}: {}", complaint(&stats));
    }
    complaint([0, 0xff, 0x80, b'\n']);
}

#[test]
fn what_is_no_line_among_others_is_left_out_and_counted() {
    let lines = unplugged();
    let with = |field: &str, value: Value| {
        let mut line = lines[4].clone();
        line[field] = value;
        text(&[line])
    };
    let (begin, rest) = (text(&lines[..4]), text(&lines[5..]));
    for bad in [
        "[1]\n".into(),
        text(&lines[4..5])[..40].to_owned() + "\n",
        with("v", json!(0)),
        with("elapsed_s", json!(-1.0)),
        with("elapsed_s", json!(1e300)),
        with("event", json!("end")),
        with("stream_bytes", json!(-1)),
    ] {
        let (code, html, said) = report(begin.clone() + &bad + &rest);
        let expected = "viamillipede: stdin: line 5 is no line of --stats, and left out\n";
        assert_eq!((code, &*said), (0, expected), "{bad}");
        assert!(html.contains("Line 5 of the file is no line of --stats, and left out."), "{bad}");
        assert_eq!(Page::parse(html).total("time"), "12.1 s");
        let (code, html, said) = report(bad.clone() + &begin + &bad + &rest);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(
            "stdin: 2 lines are no lines of --stats, and left out; line 1 is the first\n"
        ));
        assert!(html.contains("2 lines of the file are no lines of --stats"));
    }
}

#[test]
fn a_page_for_a_minus_goes_to_stdout() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("stats"), text(&unplugged())).expect("a file");
    let mut command = viamillipede("report stats -o -");
    let output = command.current_dir(folder.path()).output().expect("the program starts");
    let page = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(Page::parse(page).total("outcome"), "delivered");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn a_page_that_cannot_be_written_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (stats, html, link) = (at("stats"), at("page.html"), at("link"));
    fs::write(&stats, text(&unplugged())).expect("a file");
    fs::write(&html, "an older page").expect("a file");
    std::os::unix::fs::symlink(&stats, &link).expect("a link");
    let code = |line: String| {
        let output = viamillipede(&line).output().expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        output.status.code()
    };
    for name in [&stats, &link] {
        assert_eq!(code(format!("report {stats} -o {name}")), Some(2));
    }
    assert_eq!(code(format!("report {stats} -o /nowhere/at/all")), Some(1));
    assert_eq!(code(format!("report {} -o {html}", at("missing"))), Some(1));
    assert_eq!(code(format!("report {} -o {html}", folder.path().display())), Some(1));
    let read = |path: &str| fs::read_to_string(path).expect("it is there");
    assert_eq!((read(&stats), read(&html)), (text(&unplugged()), "an older page".into()));
}

#[test]
fn a_long_run_over_many_links_is_drawn_small_and_keeps_its_extremes() {
    let link = |link: u64, bytes: u64| json!({"link": link, "name": format!("192.0.2.{link}:1"), "connections": 1, "busy": 1, "wire_bytes": bytes, "wire_bytes_per_s": 0.0});
    let template = unplugged().remove(0);
    // Seven hours, of which the first link stands still for one second.
    let still = 13_000;
    let line = |second: u64| {
        let mut line = template.clone();
        let moved = if second > still { second - 1 } else { second };
        line["elapsed_s"] = json!(second);
        let seconds = |number| if number == 0 { moved } else { second };
        line["links"] = (0..12).map(|number| link(number, seconds(number) * 1_000_000)).collect();
        line["wire_bytes"] = json!(moved * 1_000_000);
        line["lost_connections"] = json!(u64::from(second > still));
        line
    };
    let lines: String = (1..=25_000).map(|second| format!("{}\n", line(second))).collect();
    let page = page(&lines);
    assert!(page.html.len() < 1_000_000, "{} bytes", page.html.len());
    for link in ["192.0.2.7:1 (", "4 other links (100 GB)"] {
        assert!(page.html.contains(link), "{link}");
    }
    assert!(!page.html.contains("192.0.2.8:1"), "it is one of the others");
    assert!(page.html.contains("Time is in hours"));
    assert_eq!(page.total("time"), "25000.0 s (6:56:40)");
    assert!(page.html.contains("<td>3:36:41</td><td>1 connection lost</td>"));
    let rates = page.picture("wide", "Throughput");
    let hours = still as f64 / 3600.0;
    let (least, at) = rates.least("link-0");
    assert_eq!(least, 0.0);
    assert!((at - hours).abs() < 0.05, "{at}, not {hours}");
    assert_eq!(rates.least("link-1").0, 1.0);
    let happened = page.picture("wide", "What held it up, and what happened");
    assert_eq!(happened.moments_to("lost", 0.1), [(hours * 10.0).round() / 10.0]);
}
