//! A run as the program makes it: with a bar, a summary, figures in files, signals, and a ready line.
//!
//! [`carry`] does what a [`Command`] says; [`far_end`] what another machine orders through ssh. Both take the
//! process's signals over and speak on stderr, so they are for programs whose whole purpose this is. Does not
//! know the command line.

use crate::config::{Command, Common, Input, Output, ProgressMode};
use crate::error::Error;
use crate::key::Found;
use crate::news::News;
use crate::ports::Ports;
use crate::source::Source;
use crate::stats::{Role, Stats};
use crate::tx::Delivered;
use crate::watch::say::Say;
use crate::watch::{self, Watch, ready};
use crate::{both, rx, sink, ssh, tx};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;

pub use crate::ssh::far::run as far_end;

/// Carries the stream, watched. `key` is what was found for this command; an end that waits shows it if it is
/// new.
///
/// # Errors
///
/// Whatever can go wrong, as an [`Error`] with its exit code; nothing was said of it yet.
pub fn carry(command: &Command, key: &Found, say: &Say) -> Result<Delivered, Error> {
    command.shaping().map_or(Ok(()), tx::check)?;
    let (role, names) = match command {
        Command::Tx(tx) => (Role::Sender, tx.rendezvous.names()),
        Command::Rx(rx) => (Role::Receiver, rx.rendezvous.names()),
        Command::Loop(_) => (Role::Sender, vec![both::HERE.to_owned()]),
        Command::Ssh(pair) => (pair.near.role(), Vec::new()),
    };
    let common = command.common();
    let stats = Arc::new(Stats::of(role));
    let say = say.at(common.verbosity);
    watch::log(&say, common.verbosity, "");
    let (stop, interrupt) = bounded(2);
    let stop_on_signal = stop.clone();
    let on_signal = move |signal| {
        // Once for each end that may be in this process.
        let _ = stop_on_signal.try_send(Error::Signal(signal));
        let _ = stop_on_signal.try_send(Error::Signal(signal));
    };
    let common = with_progress(common, command);
    let watch = Watch::start(Arc::clone(&stats), &say, &common, names, on_signal)?;
    let ready = |addresses: &[SocketAddr]| {
        if !addresses.is_empty() {
            say.always(&ready::lines(addresses, key));
        }
    };
    let outcome = between_ends(command, &stats, &say, ready, watch.news(), (stop, interrupt));
    say.settle(outcome.as_ref().err().map_or(0, Error::exit_code));
    let digest = outcome.as_ref().ok().and_then(|delivered| delivered.digest);
    watch.finish(outcome.as_ref().err(), digest.as_ref());
    outcome
}

/// The settings, where what is typed or read on a terminal leaves no room for a bar there.
fn with_progress(common: &Common, command: &Command) -> Common {
    let (input, output) = command.ends();
    let is_typed = input == Some(&Input::Stdin) && io::stdin().is_terminal();
    let is_read = output == Some(&Output::Stdout) && io::stdout().is_terminal();
    let progress = match common.progress {
        ProgressMode::Auto if is_typed || is_read => ProgressMode::Never,
        said => said,
    };
    Common { progress, ..common.clone() }
}

fn between_ends(
    command: &Command,
    stats: &Arc<Stats>,
    say: &Say,
    mut ready: impl FnMut(&[SocketAddr]),
    news: News,
    (stop, interrupt): (Sender<Error>, Receiver<Error>),
) -> Result<Delivered, Error> {
    if let Command::Ssh(pair) = command {
        let (stats, say) = (Arc::clone(stats), say.clone());
        return ssh::run(pair, ssh::Ports { stats, news, say, stop, interrupt });
    }
    let (stats, announce) = (Some(Arc::clone(stats)), Some(&mut ready as &mut dyn FnMut(&[_])));
    let ports = Ports { stats, news, interrupt, announce, ..Ports::default() };
    match command {
        Command::Tx(settings) => tx::run(settings, open_source(&settings.input, say)?, ports),
        Command::Rx(settings) => rx::run(settings, sink::open(&settings.output)?, ports),
        Command::Loop(settings) => {
            let source = open_source(&settings.input, say)?;
            let sink = sink::open(&settings.output)?;
            both::run(settings, source, sink, ports)
        }
        Command::Ssh(_) => unreachable!("it has been run"),
    }
}

/// Opens it, and says what should be known of it.
pub(crate) fn open_source(input: &Input, say: &Say) -> Result<Source, Error> {
    let source = Source::open(input)?;
    if let Some(warning) = source.warning() {
        say.note(&format!("viamillipede: {warning}"));
    }
    Ok(source)
}
