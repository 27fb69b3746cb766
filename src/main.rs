//! parse → run → one error line → exit code.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::panic;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use viamillipede::cli::{self, Request};
use viamillipede::command::guardian;
use viamillipede::config::{Command, Output};
use viamillipede::error::{Error, one_line};
use viamillipede::key::{self, Found, Key};
use viamillipede::news::News;
use viamillipede::source::Source;
use viamillipede::stats::{Role, Stats};
use viamillipede::tx::Delivered;
use viamillipede::watch::say::Say;
use viamillipede::watch::{self, Watch, ready};
use viamillipede::{both, report, rx, sink, ssh, tx};

/// How long the last words may take on a stderr that blocks.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn main() {
    if guardian::was_asked(std::env::args_os()) {
        return;
    }
    let say = Say::start();
    abort_on_defect(say.clone());
    let outcome = cli::parse(std::env::args_os()).and_then(|request| match request {
        Request::Show(text) => show(&text).map(|()| 0),
        Request::Prbs { check: false, stream } => {
            sink::open(&Output::Stdout).and_then(|sink| stream.make(sink)).map(|()| 0)
        }
        Request::Prbs { check: true, stream } => stream.check(io::stdin().lock()).map(|bytes| {
            say.always(&format!("viamillipede: prbs: {bytes} bytes are right"));
            0
        }),
        Request::Report { stats, html } => report::write(&stats, html.as_deref()).map(|()| 0),
        Request::Man(pages, dir) => man(&pages, dir.as_deref()).map(|()| 0),
        Request::Keygen(file) => keygen(file.as_deref()).map(|()| 0),
        Request::Remote => ssh::far::run(&say),
        Request::Run(run) => {
            run.find_key().and_then(|(command, key)| carry(&command, &key, &say)).map(|()| 0)
        }
    });
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            say.last(&error.report());
            error.exit_code()
        }
    };
    say.flush(LAST_WORDS);
    // Threads may be stuck in the kernel, so none is waited for.
    process::exit(code.into());
}

/// Carries the stream, watched.
fn carry(command: &Command, key: &Found, say: &Say) -> Result<(), Error> {
    command.shaping().map_or(Ok(()), tx::check)?;
    let (role, common, names) = match command {
        Command::Tx(tx) => (Role::Sender, &tx.common, tx.rendezvous.names()),
        Command::Rx(rx) => (Role::Receiver, &rx.common, rx.rendezvous.names()),
        Command::Loop(both) => (Role::Sender, &both.common, Vec::new()),
        Command::Ssh(pair) => (pair.near.role(), pair.common(), Vec::new()),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let stats = Arc::new(Stats::new(role, threads));
    let say = say.at(common.verbosity);
    watch::log(&say, common.verbosity);
    let (stop, interrupt) = bounded(2);
    let stop_on_signal = stop.clone();
    let on_signal = move |signal| {
        // Once for each end that may be in this process.
        let _ = stop_on_signal.try_send(Error::Signal(signal));
        let _ = stop_on_signal.try_send(Error::Signal(signal));
    };
    let watch = Watch::start(Arc::clone(&stats), &say, common, names, on_signal)?;
    let ready = |addresses: &[SocketAddr]| {
        if !addresses.is_empty() {
            say.always(&ready::lines(addresses, key));
        }
    };
    let outcome = between_ends(command, &stats, &say, ready, watch.news(), (stop, interrupt));
    let digest = outcome.as_ref().ok().and_then(|delivered| delivered.digest);
    watch.finish(outcome.as_ref().err(), digest.as_ref());
    outcome.map(drop)
}

fn between_ends(
    command: &Command,
    stats: &Arc<Stats>,
    say: &Say,
    mut ready: impl FnMut(&[SocketAddr]),
    news: News,
    (stop, interrupt): (Sender<Error>, Receiver<Error>),
) -> Result<Delivered, Error> {
    let stats = Arc::clone(stats);
    let announce = &mut ready;
    match command {
        Command::Tx(settings) => {
            let source = Source::open(&settings.input)?;
            tx::run(settings, tx::Ports { source, stats, news, interrupt, announce, spare: None })
        }
        Command::Rx(settings) => {
            let sink = sink::open(&settings.output)?;
            rx::run(settings, rx::Ports { sink, stats, news, interrupt, announce, spare: None })
        }
        Command::Loop(settings) => {
            let (source, sink) = (Source::open(&settings.input)?, sink::open(&settings.output)?);
            both::run(settings, both::Ports { source, sink, stats, news, interrupt })
        }
        Command::Ssh(pair) => {
            ssh::run(pair, ssh::Ports { stats, news, say: say.clone(), stop, interrupt })
        }
    }
}

/// Makes a key.
fn keygen(path: Option<&Path>) -> Result<(), Error> {
    let key = Key::generate()?;
    match path {
        Some(path) => key::file::create(path, &key),
        None => show(&key::file::line(&key)),
    }
}

/// Writes the pages of the manual into a folder, or the first one to stdout.
fn man(pages: &[(String, String)], dir: Option<&Path>) -> Result<(), Error> {
    let Some(dir) = dir else { return show(&pages[0].1) };
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|error| Error::io(path.display().to_string(), error))?;
    }
    Ok(())
}

/// Writes help, the version, a page or a key to stdout, the only things that are not the stream.
fn show(text: &str) -> Result<(), Error> {
    let mut stdout = sink::open(&Output::Stdout)?;
    stdout.write_all(text.as_bytes())?;
    stdout.close()
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
