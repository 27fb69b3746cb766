//! The page: a head with the totals, then the pictures, each with the words for its colours.
//!
//! It asks nobody for anything and runs nothing, and a policy in it forbids both, should it ever hold what it should
//! not. Every text that comes from a file goes through [`escaped`]. Does not know how pictures are drawn.

use super::date::date;
use super::draw::{self, Content, Line, Row, Shape, Time};
use super::ink::{self, Ink};
use super::links::State;
use super::read::Found;
use super::run::{OWN_WORDS, Run, Words};
use super::thin::{Mark, Piece, Sample};
use crate::error::one_line;
use crate::watch::figures;
use crate::watch::record::{Outcome, Record};
use std::time::Duration;

const STYLE: &str = include_str!("page.css");
/// Nothing is loaded, from nowhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of a file's last run.
pub(super) fn page(found: &Found) -> String {
    let run = &found.run;
    let title = match run.name.as_str() {
        "" => format!("viamillipede: {}", run.role),
        name => format!("viamillipede: {}, {}", escaped(name), run.role),
    };
    let style = format!("{}{STYLE}", ink::css());
    let (notes, totals, pictures) = (notes(found), totals(run), pictures(run));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{notes}{totals}{pictures}</main>\n</body>\n</html>\n"
    )
}

/// A text as it may stand in the page, between tags and in quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for letter in one_line(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// What must be known of the file.
fn notes(found: &Found) -> String {
    let mut notes = String::new();
    let mut note = |text: &str| notes.push_str(&format!("<p class=\"note\">{text}</p>\n"));
    if found.runs > 1 {
        let others = match found.runs - 1 {
            1 => "the other is not drawn".into(),
            others => format!("the {others} others are not drawn"),
        };
        let (runs, line) = (found.runs, found.first_line);
        note(&format!("The last of {runs} runs in the file, from line {line} on; {others}."));
    }
    match (found.bad_lines, found.first_bad) {
        (0, _) => {}
        (1, line) => note(&format!("Line {line} of the file is no line of --stats, and left out.")),
        (many, line) => note(&format!(
            "{many} lines of the file are no lines of --stats, and left out; line {line} is the first."
        )),
    }
    if found.is_cut {
        note("The file's last line is cut off, and left out.");
    }
    if found.run.end().is_none() {
        note("The file has no end of this run: it was killed, or still went on.");
    }
    notes
}

fn totals(run: &Run) -> String {
    let last = &run.last;
    let elapsed = Duration::from_secs_f64(last.elapsed_s);
    let mean = |bytes| figures::rate(figures::mean(bytes, elapsed));
    let ratio = figures::ratio(last.stream_bytes, last.wire_bytes);
    let bytes = |bytes: u64| format!("{bytes} bytes ({})", figures::bytes(bytes));
    let mut rows = outcome(last);
    rows.extend([
        ("stream", bytes(last.stream_bytes)),
        ("on the wire", bytes(last.wire_bytes)),
        ("ratio", ratio.map_or("none".into(), |ratio| format!("{ratio:.2}"))),
    ]);
    rows.extend(dates(run));
    rows.extend([
        ("time", duration(elapsed)),
        (
            "mean rate",
            format!("{} stream, {} wire", mean(last.stream_bytes), mean(last.wire_bytes)),
        ),
        ("feet", format!("{}, {} sent again", last.feet, last.resent_feet)),
        ("connections lost", last.lost_connections.to_string()),
    ]);
    if let Some(digest) = last.end.as_ref().and_then(|end| end.blake3.as_deref()) {
        rows.push(("blake3", format!("<code>{}</code>", escaped(digest))));
    }
    let row = |(head, text): (&str, String)| format!("<tr><th>{head}</th><td>{text}</td></tr>\n");
    let rows: String = rows.into_iter().map(row).collect();
    format!("<table class=\"totals\">\n{rows}</table>\n")
}

/// When the ends met, and when the run ended, as the clock of this end had it.
fn dates(run: &Run) -> Vec<(&'static str, String)> {
    let ended = if run.end().is_some() { "ended" } else { "last seen" };
    let rows = [("began", run.began_s.and_then(date)), (ended, date(run.last.unix_s))];
    rows.into_iter().filter_map(|(head, text)| Some((head, text?))).collect()
}

/// A time, and as a clock shows it, where it is long.
fn duration(time: Duration) -> String {
    let seconds = figures::seconds(time);
    let is_long = Time::of(time.as_secs_f64()).unit != "seconds";
    if is_long { format!("{seconds} ({})", figures::clock(time)) } else { seconds }
}

/// A moment, in what the pictures' axis counts.
fn moment(seconds: f64) -> String {
    match Time::of(seconds).unit {
        "seconds" => format!("{seconds:.1} s"),
        _ => figures::clock(Duration::from_secs_f64(seconds)),
    }
}

fn outcome(last: &Record) -> Vec<(&'static str, String)> {
    let Some(end) = &last.end else {
        return vec![("outcome", "<b class=\"bad\">unknown</b>".into())];
    };
    let (class, word) = match end.outcome {
        Outcome::Delivered => ("good", "delivered"),
        Outcome::Failed => ("bad", "failed"),
    };
    let mut rows = vec![
        ("outcome", format!("<b class=\"{class}\">{word}</b>")),
        ("exit code", end.exit_code.to_string()),
    ];
    if let Some(error) = &end.error {
        rows.push(("error", escaped(error)));
    }
    rows
}

/// Words for colours.
struct Legend(String);

impl Legend {
    fn new() -> Legend {
        Legend("<ul class=\"legend\">\n".into())
    }

    /// `shape` is a class of the style sheet: `line`, `box`, `cross`, `triangle` or `dot`.
    fn entry(&mut self, shape: &str, ink: Ink, text: &str) {
        let (name, text) = (ink.name, escaped(text));
        let mark = match shape {
            "cross" => "&#10005;",
            "triangle" => "&#9650;",
            "dot" => "&#9679;",
            _ => "",
        };
        let entry = format!(
            "<li><i class=\"{shape}\" style=\"color:var(--{name})\">{mark}</i>{text}</li>\n"
        );
        self.0.push_str(&entry);
    }

    fn end(self) -> String {
        self.0 + "</ul>\n"
    }
}

fn section(title: &str, unit: &str, rest: &str) -> String {
    format!("<section>\n<h2>{title}<small>{unit}</small></h2>\n{rest}</section>\n")
}

fn pictures(run: &Run) -> String {
    if run.seconds() <= 0.0 {
        return "<p class=\"note\">The ends had not met: there is nothing to draw.</p>\n".into();
    }
    let time = Time::of(run.seconds());
    let parts =
        [rates(run, time), happened(run, time), events(run), packing(run, time), window(run, time)];
    parts.concat()
        + &format!("<p class=\"small\">Time is in {} since the ends met.</p>\n", time.unit)
}

fn rates(run: &Run, time: Time) -> String {
    let curves = run.links.all.iter().map(|link| link.rate.items());
    let all = curves.clone().chain([run.stream.items(), run.wire.items()]).flatten();
    let most = all.map(|sample| sample.value).fold(0.0, f64::max);
    let (unit, name) = match most {
        1e12.. => (1e12, "TB/s"),
        1e9.. => (1e9, "GB/s"),
        1e6.. => (1e6, "MB/s"),
        1e3.. => (1e3, "kB/s"),
        _ => (1.0, "B/s"),
    };
    let (mut lines, mut legend) = (Vec::new(), Legend::new());
    let mut line = |samples, ink, width, text: &str| {
        lines.push(Line { samples, ink, width });
        legend.entry("line", ink, text);
    };
    if run.links.all.len() != 1 {
        line(run.wire.items(), ink::WIRE, 1, "all links");
    }
    for ((link, samples), ink) in run.links.all.iter().zip(curves).zip(ink::LINKS) {
        line(samples, ink, 2, &format!("{} ({})", link.name, figures::bytes(link.bytes)));
    }
    line(run.stream.items(), ink::STREAM, 2, "stream, verified");
    let moments = [(run.lost.items(), ink::LOST), (run.made.items(), ink::MADE)];
    for ((marks, ink), text) in moments.iter().zip(["connections lost", "connections made"]) {
        if !marks.is_empty() {
            legend.entry("across", *ink, text);
        }
    }
    let title = "Throughput";
    let picture = draw::curves(title, time, unit, &lines, &moments);
    section(title, name, &(legend.end() + &picture))
}

fn happened(run: &Run, time: Time) -> String {
    let (mut rows, mut legend) = (Vec::new(), Legend::new());
    let bars = bars(&run.bottleneck, ink::of_bottleneck);
    words(&run.bottleneck, ink::of_bottleneck, &mut legend);
    rows.push(Row { label: "bottleneck".into(), content: Content::Bars(bars) });
    for (link, own) in run.links.all.iter().zip(ink::LINKS) {
        let ink = |state| match state {
            State::Carries => own,
            State::Idle => ink::IDLE,
            State::Stuck => ink::STUCK,
            State::Down => ink::DOWN,
        };
        let mut pieces: Vec<&Piece<State>> = link.state.items().iter().collect();
        // The worst last, so that nothing hides it.
        pieces.sort_by_key(|piece| piece.kind);
        let bars = pieces.iter().map(|piece| (piece.from, piece.to, ink(piece.kind))).collect();
        rows.push(Row { label: one_line(&link.name), content: Content::Bars(bars) });
    }
    let has = |state| {
        let mut pieces = run.links.all.iter().flat_map(|link| link.state.items());
        pieces.any(|piece| piece.kind == state)
    };
    for (state, ink, text) in [
        (State::Idle, ink::IDLE, "link has nothing to carry"),
        (State::Stuck, ink::STUCK, "nothing moves on the link"),
        (State::Down, ink::DOWN, "link has no connection"),
    ] {
        if has(state) {
            legend.entry("box", ink, text);
        }
    }
    let marks: [(&[Mark], _, _, _, _); 3] = [
        (run.lost.items(), Shape::Cross, "cross", ink::LOST, "connections lost"),
        (run.made.items(), Shape::Triangle, "triangle", ink::MADE, "connections made"),
        (run.resent.items(), Shape::Dot, "dot", ink::RESENT, "feet sent again"),
    ];
    for (marks, shape, class, ink, text) in marks {
        if !marks.is_empty() {
            legend.entry(class, ink, text);
            rows.push(Row { label: text.into(), content: Content::Marks(marks, shape, ink) });
        }
    }
    let title = "What held it up, and what happened";
    section(title, "", &(legend.end() + &draw::rows(title, time, &rows)))
}

fn events(run: &Run) -> String {
    if run.told.is_empty() {
        return String::new();
    }
    let row = |told: &super::run::Told| {
        let what = figures::count(told.count, "connection", "connections");
        let became = if told.is_loss { "lost" } else { "made" };
        let links = escaped(&told.links.join(", "));
        let at = moment(told.at);
        format!("<tr><td>{at}</td><td>{what} {became}</td><td>{links}</td></tr>\n")
    };
    let rows: String = run.told.iter().map(row).collect();
    let more = match run.untold {
        0 => String::new(),
        more => format!("<p class=\"small\">{more} more are left out.</p>\n"),
    };
    let open = if run.told.len() <= 6 { " open" } else { "" };
    format!(
        "<details{open}><summary>Connections</summary>\n<table class=\"events\">\n{rows}</table>\n{more}</details>\n"
    )
}

fn packing(run: &Run, time: Time) -> String {
    if run.ratio.items().is_empty() {
        return String::new();
    }
    let line = Line { samples: run.ratio.items(), ink: ink::MADE, width: 2 };
    let title = "Compression";
    let mut parts = draw::curves(title, time, 1.0, &[line], &[]);
    if !run.packing.words.is_empty() {
        let mut legend = Legend::new();
        words(&run.packing, ink::of_packing, &mut legend);
        let content = Content::Bars(bars(&run.packing, ink::of_packing));
        let row = Row { label: "level".into(), content };
        parts = parts + &legend.end() + &draw::rows("Compression level", time, &[row]);
    }
    section(title, "raw bytes for each packed one", &parts)
}

fn window(run: &Run, time: Time) -> String {
    let (mut lines, mut legend) = (Vec::new(), Legend::new());
    for (curve, ink, text) in [
        (&run.window, ink::LINKS[5], "window, from the lowest missing foot"),
        (&run.in_flight, ink::LINKS[0], "sent, and not acknowledged"),
        (&run.unsent, ink::LINKS[1], "waiting for a connection"),
    ] {
        let is_used = |samples: &[Sample]| samples.iter().any(|sample| sample.value > 0.0);
        if is_used(curve.items()) {
            lines.push(Line { samples: curve.items(), ink, width: 2 });
            legend.entry("line", ink, text);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let title = "Window";
    section(title, "feet", &(legend.end() + &draw::curves(title, time, 1.0, &lines, &[])))
}

/// The pieces of a band of words.
fn bars(words: &Words, ink: impl Fn(&str) -> Ink) -> Vec<(f64, f64, Ink)> {
    let word = |number: usize| words.words.get(number).map_or("", String::as_str);
    let pieces = words.band.items().iter();
    pieces.map(|piece| (piece.from, piece.to, ink(word(piece.kind.0)))).collect()
}

fn words(words: &Words, ink: impl Fn(&str) -> Ink, legend: &mut Legend) {
    let mut entries: Vec<(Ink, &String)> =
        words.words.iter().map(|word| (ink(word), word)).collect();
    entries.sort_by_key(|(ink, _)| ink.name);
    entries.into_iter().for_each(|(ink, word)| legend.entry("box", ink, word));
    if words.band.items().iter().any(|piece| piece.kind.0 >= OWN_WORDS) {
        legend.entry("box", ink::OTHER, "others");
    }
}
