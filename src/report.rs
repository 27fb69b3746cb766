//! Pictures of a run, from the lines that `--stats` wrote of it: one page of HTML that needs nothing else.
//!
//! `read` takes the lines one by one, `run` makes curves, bands and marks of them (`links` those of links, `step` tells what became
//! of connections between two lines), of which `thin` keeps no more
//! than a picture can show, `draw` draws these as SVG, and `page` puts everything together. Whatever a file says is
//! data: it is bounded while it is read, and escaped where it is written. Does not know a run that is still going on
//! from one that was killed, nor anything that is not in the file.

mod date;
mod draw;
mod ink;
mod links;
mod page;
mod read;
mod run;
mod step;
mod thin;

use crate::config::Output;
use crate::error::Error;
use crate::files::are_same;
use crate::sink;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// Writes the page of the last run in the file `stats` (`-` is stdin) to the file `html`, in place of what is there, or to stdout (as
/// for `-`). Tells in a line each of other runs in it, and of what is no line of `--stats`, if there is any. A file that cannot be
/// read, or holds nothing else, is [`Error::Io`]; then nothing is written.
pub fn write(stats: &Path, html: Option<&Path>) -> Result<Vec<String>, Error> {
    let name = if stats.as_os_str() == "-" { "stdin".into() } else { stats.display().to_string() };
    let found = if stats.as_os_str() == "-" {
        read::read(io::stdin().lock())
    } else {
        File::open(stats).and_then(|file| read::read(BufReader::new(file)))
    };
    let found = found.map_err(|error| Error::io(&name, error))?;
    let page = page::page(&found);
    let output = match html.filter(|path| path.as_os_str() != "-") {
        None => Output::Stdout,
        Some(path) if are_same(stats, path) => {
            let what = format!("--output {}", path.display());
            return Err(Error::usage(what, "is the file that is read"));
        }
        Some(path) => Output::File { path: path.into(), replaces: true },
    };
    let mut sink = sink::open(&output)?;
    let remains = sink.remains();
    sink.write_all(page.as_bytes()).and_then(|()| sink.close())?;
    drop(remains);
    Ok(others(&name, &found).into_iter().chain(left_out(&name, &found)).collect())
}

/// That there are other runs in the file of this name, and where.
fn others(name: &str, found: &read::Found) -> Option<String> {
    let (runs, first) = (found.runs, found.first_line);
    let others = match runs {
        ..=1 => return None,
        2 => "other".into(),
        _ => format!("{} others", runs - 1),
    };
    let drawn = format!("{name} has {runs} runs: the last is drawn, from line {first} on");
    Some(format!("{drawn}; `head -n {}` of it has the {others}", first - 1))
}

/// That there are lines in the file of this name that are none.
fn left_out(name: &str, found: &read::Found) -> Option<String> {
    let first = found.first_bad;
    match found.bad_lines {
        0 => None,
        1 => Some(format!("{name}: line {first} is no line of --stats, and left out")),
        many => Some(format!(
            "{name}: {many} lines are no lines of --stats, and left out; line {first} is the first"
        )),
    }
}
