//! parse → run → one error line → exit code.

use std::io::{self, Write};
use std::panic;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use viamillipede::cli::{self, Request};
use viamillipede::config::Command;
use viamillipede::error::{Error, one_line};
use viamillipede::stats::{Report, Role, Stats};
use viamillipede::watch::Watch;
use viamillipede::watch::say::Say;

/// How long the last words may take on a stderr that blocks.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn main() {
    let say = Say::start();
    abort_on_defect(say.clone());
    let outcome = cli::parse(std::env::args_os()).and_then(|request| match request {
        Request::Show(text) => show(&text),
        Request::Run(command) => run(&command, &say),
    });
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => {
            say.always(&error.report());
            error.exit_code()
        }
    };
    say.flush(LAST_WORDS);
    // Threads may be stuck in the kernel, so none is waited for.
    process::exit(code.into());
}

/// Carries the stream, watched.
fn run(command: &Command, say: &Say) -> Result<(), Error> {
    let (role, common) = match command {
        Command::Tx(tx) => (Role::Sender, &tx.common),
        Command::Rx(rx) => (Role::Receiver, &rx.common),
        Command::Loop(both) => (Role::Sender, &both.common),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let stats = Arc::new(Stats::new(role, threads));
    let say = say.at(common.verbosity);
    let watch = Watch::start(Arc::clone(&stats), &say, common, cancel_seam)?;
    let outcome = engine_seam(command, &stats, &say);
    let digest = outcome.as_ref().ok().and_then(|report| report.digest);
    watch.finish(digest.as_ref());
    outcome.map(drop)
}

/// Seam: this becomes the calls of `tx`, `rx` and `loop`.
fn engine_seam(_: &Command, _: &Stats, _: &Say) -> Result<Report, Error> {
    Err(Error::io("the engine", io::ErrorKind::Unsupported.into()))
}

/// Seam: this becomes the call that makes the engine end with `Error::Signal`.
fn cancel_seam(_signal: i32) {}

/// Writes help or the version to stdout, the only thing that is not the stream.
fn show(text: &str) -> Result<(), Error> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Error::io("stdout", error))
}

/// A panic on any thread is a defect: it ends the process at once, and is told in the shape of an
/// error.
fn abort_on_defect(say: Say) {
    panic::set_hook(Box::new(move |defect| {
        say.always(&format!("viamillipede: defect: {}", one_line(&defect.to_string())));
        say.always("hint: this should not happen, whatever the input; please report it");
        say.flush(LAST_WORDS);
        process::abort();
    }));
}
