//! The near end: starts the far end through ssh, dials it, and sees that it ends.
//!
//! Does not know how ssh finds its way, nor what the far end does beyond its order.

use super::child::{self, Ssh};
use super::order::{MAX_ORDER_BYTES, Order};
use super::packet::{self, Greeting, WORDS};
use super::reply::{MAX_REPLY_BYTES, Reply};
use super::tunnel::Tunnel;
use crate::config::{self, Dest, Direct, Near, Rendezvous};
use crate::error::{Error, plain};
use crate::key::{Key, Security};
use crate::link::Spare;
use crate::news::News;
use crate::source::Source;
use crate::stats::Stats;
use crate::tx::Delivered;
use crate::watch::say::Say;
use crate::{rx, sink, tx};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::net::IpAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// How long direct connections have the stream for themselves.
const FALLBACK: Duration = Duration::from_secs(3);
/// How long ssh may take to end after the far end has.
const ENDING: Duration = Duration::from_secs(2);
/// How long the far end may take to end when there was no success, so that what its program says is
/// still heard.
const FAILING: Duration = Duration::from_millis(500);
/// The same after a signal: somebody waits.
const SIGNALLED: Duration = Duration::from_millis(100);

/// What a run needs beside its settings.
pub struct Ports {
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Hears what becomes of links.
    pub news: News,
    /// Says that the stream goes through ssh.
    pub say: Say,
    /// Ends the run.
    pub stop: Sender<Error>,
    /// What ends the run.
    pub interrupt: Receiver<Error>,
}

/// Where the far end waits.
struct Place {
    port: u16,
    host: Option<IpAddr>,
}

/// Starts the far end, and carries the stream to it or from it.
pub fn run(config: &config::Ssh, ports: Ports) -> Result<Delivered, Error> {
    let near = Opened::open(&config.near)?;
    let security = if config.is_plain { Security::Plain } else { Security::Keyed(Key::generate()?) };
    let order = Order { security: security.clone(), ..config.order.clone() };
    let session = Session::start(config, &order, &ports)?;
    let outcome = session.await_place(&ports.interrupt).and_then(|place| {
        let dests = dests(config, &place)?;
        carry(config, near, dests, security, &session, ports)
    });
    session.finish(&outcome);
    outcome
}

/// Our own end of the stream.
enum Opened {
    Source(Source),
    Sink(Box<dyn sink::Sink>),
}

impl Opened {
    /// Before anything is started elsewhere.
    fn open(near: &Near) -> Result<Opened, Error> {
        Ok(match near {
            Near::Tx(tx) => Opened::Source(Source::open(&tx.input)?),
            Near::Rx(rx) => Opened::Sink(sink::open(&rx.output)?),
        })
    }
}

fn carry(
    config: &config::Ssh,
    opened: Opened,
    dests: Vec<Dest>,
    security: Security,
    session: &Session,
    ports: Ports,
) -> Result<Delivered, Error> {
    let Ports { stats, news, say, interrupt, .. } = ports;
    let rendezvous = Rendezvous::Dial { dests, workers: config.workers };
    let spare = session.spare(config, say);
    let announce = &mut |_| {};
    match (&config.near, opened) {
        (Near::Tx(tx), Opened::Source(source)) => {
            let common = config::Common { security, ..tx.common.clone() };
            let ports = tx::Ports { source, stats, news, interrupt, announce, spare };
            tx::run(&config::Tx { common, rendezvous, ..tx.clone() }, ports)
        }
        (Near::Rx(rx), Opened::Sink(sink)) => {
            let common = config::Common { security, ..rx.common.clone() };
            let ports = rx::Ports { sink, stats, news, interrupt, announce, spare };
            rx::run(&config::Rx { common, rendezvous, ..rx.clone() }, ports)
        }
        _ => unreachable!("each end was opened for what it is"),
    }
}

/// The ways to the far end: those that were named, or else the address that ssh has come to, or at least
/// the name that it took.
fn dests(config: &config::Ssh, place: &Place) -> Result<Vec<Dest>, Error> {
    if config.direct == Direct::Never {
        return Ok(Vec::new());
    }
    let mut dests = config.dests.clone();
    if dests.is_empty() {
        let named = || child::configured_name(&config.command);
        let host = place.host.map(|host| host.to_string()).or_else(named).ok_or_else(|| {
            let what = config.command.host.clone();
            Error::Unstarted { what, cause: "its address is not known".into(), hint: DEST_HINT.into() }
        })?;
        dests.push(Dest { host, port: 0, bind: None, workers: None });
    }
    for dest in dests.iter_mut().filter(|dest| dest.port == 0) {
        dest.port = place.port;
    }
    Ok(dests)
}

const DEST_HINT: &str = "name it: --ssh HOST ADDRESS:0";
const PATH_HINT: &str = "say where it is with --remote-path PROGRAM";

/// An ssh session with the far end at its other side.
struct Session {
    ssh: Arc<Ssh>,
    tunnel: Tunnel,
    place: Receiver<Place>,
    /// Disconnected once ssh has ended.
    over: Receiver<()>,
}

impl Session {
    fn start(config: &config::Ssh, order: &Order, ports: &Ports) -> Result<Session, Error> {
        let bytes = order.encode();
        if bytes.len() > MAX_ORDER_BYTES {
            return Err(Error::usage("COMMAND", format!("{} bytes are too many", bytes.len())));
        }
        let (ssh, to, from) = Ssh::start(&config.command)?;
        let (ssh, tunnel) = (Arc::new(ssh), Tunnel::new(to));
        let ((found, place), (ending, over)) = (bounded(1), bounded::<()>(0));
        let ear = Ear {
            host: config.command.host.clone(),
            program: config.command.program.clone(),
            ssh: Arc::clone(&ssh),
            tunnel: tunnel.clone(),
            found,
            failed: None,
        };
        let (stats, stop) = (Arc::clone(&ports.stats), ports.stop.clone());
        let listen = move || {
            let error = ear.listen(BufReader::new(from), &bytes);
            // In a session the end of ssh is not fatal, and who is in it knows better why it failed.
            if stats.snapshot().elapsed.is_none() {
                let _ = stop.try_send(error);
            }
            drop(ending);
        };
        let spawned = thread::Builder::new().name("ssh".into()).spawn(listen);
        spawned.map_err(|error| Error::io("a thread", error))?;
        Ok(Session { ssh, tunnel, place, over })
    }

    fn await_place(&self, interrupt: &Receiver<Error>) -> Result<Place, Error> {
        select! {
            recv(interrupt) -> error => Err(error.unwrap_or_else(|_| ended("ssh", "unknown"))),
            recv(self.place) -> place => place.or_else(|_| {
                // Why there is none is said there.
                Err(interrupt.recv().unwrap_or_else(|_| ended("ssh", "unknown")))
            }),
        }
    }

    /// The way through ssh itself, where it may be taken.
    fn spare(&self, config: &config::Ssh, say: Say) -> Option<Spare> {
        let (tunnel, host) = (self.tunnel.clone(), config.command.host.clone());
        let told = AtomicBool::new(config.direct == Direct::Never);
        let after = match config.direct {
            Direct::Auto => FALLBACK,
            Direct::Never => Duration::ZERO,
            Direct::Always => return None,
        };
        let open = move || {
            let socket = tunnel.open()?;
            if !told.swap(true, Relaxed) {
                let after = FALLBACK.as_secs();
                say.note(&format!(
                    "viamillipede: no direct connection to {host} for {after} s: using the ssh session itself"
                ));
            }
            Ok(socket)
        };
        Some(Spare { name: SPARE_NAME.to_owned(), after, open: Arc::new(open) })
    }

    /// Sees that ssh ends, and with it the far end.
    fn finish(&self, outcome: &Result<Delivered, Error>) {
        let time = match outcome {
            Ok(_) => ENDING,
            Err(Error::Signal(_)) => SIGNALLED,
            Err(_) => FAILING,
        };
        let _ = self.over.recv_timeout(time);
        self.ssh.kill();
        let _ = self.over.recv_timeout(SIGNALLED);
    }
}

/// What the way through ssh is called.
pub const SPARE_NAME: &str = "the ssh session";

/// Listens to the far end.
struct Ear {
    host: String,
    program: String,
    ssh: Arc<Ssh>,
    tunnel: Tunnel,
    found: Sender<Place>,
    /// Why the far end says that it has failed.
    failed: Option<Error>,
}

impl Ear {
    /// Gives the order and listens until ssh ends; returns why a session could not begin, if none did.
    fn listen(mut self, mut from: BufReader<File>, order: &[u8]) -> Error {
        let greeting = packet::await_greeting(&mut from).unwrap_or_default();
        let is_greeted = greeting.is_some();
        let is_sane = greeting.is_none_or(|greeting| {
            self.understands(&greeting) && self.tunnel.say(order).is_ok() && self.hear(&mut from)
        });
        self.tunnel.end();
        drop(from); // who still has something to say hears that nobody listens
        if !is_sane {
            self.ssh.kill();
        }
        let status = self.ssh.wait();
        self.failed.take().unwrap_or_else(|| self.unfinished(status, is_greeted))
    }

    fn understands(&mut self, greeting: &Greeting) -> bool {
        let Greeting { version, release } = greeting;
        if *version == packet::VERSION {
            return true;
        }
        let ours = (packet::VERSION, env!("CARGO_PKG_VERSION"));
        let cause = format!(
            "viamillipede {release} there speaks version {version} of --ssh, {} here {}",
            ours.1, ours.0
        );
        let hint = "install the same version at both ends, or name it with --remote-path".to_owned();
        self.failed = Some(Error::Refused { what: self.host.clone(), cause, hint: Some(hint) });
        false
    }

    /// Hears packets until there are no more; says whether that is all, or there was something else.
    fn hear(&mut self, from: &mut BufReader<File>) -> bool {
        loop {
            let packet = match packet::receive(from, MAX_REPLY_BYTES) {
                Ok(Some(packet)) => packet,
                Ok(None) => return true,
                Err(_) => return false,
            };
            if packet.conversation != WORDS {
                self.tunnel.deliver(&packet, || Err(ErrorKind::Unsupported.into()));
                continue;
            }
            match Reply::decode(&packet.bytes) {
                // Nobody waits for it when we are ending already.
                Some(Reply::Waits { port, host }) => drop(self.found.try_send(Place { port, host })),
                Some(Reply::Failed { code, reason }) => {
                    self.failed = Some(Error::Peer { code, reason });
                }
                None => return false,
            }
        }
    }

    /// Why nothing came of it, as far as the end of ssh tells.
    fn unfinished(&self, status: io::Result<ExitStatus>, is_greeted: bool) -> Error {
        let (host, program) = (&self.host, &self.program);
        let status = match status {
            Ok(status) => status,
            Err(error) => return ended(host, &plain(&error)),
        };
        let unstarted = |cause, hint: &str| {
            Error::Unstarted { what: host.clone(), cause, hint: hint.to_owned() }
        };
        match status.code() {
            Some(255) | None => ended(&format!("ssh to {host}"), &told(status)),
            _ if is_greeted => ended(host, &format!("the far end has ended: {}", told(status))),
            Some(126 | 127) => unstarted(format!("cannot run {program} there"), PATH_HINT),
            _ => {
                let cause = format!("{program} there does not answer as viamillipede: {}", told(status));
                unstarted(cause, "is it the same version as here? --remote-path PROGRAM names another")
            }
        }
    }
}

fn told(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

fn ended(what: &str, cause: &str) -> Error {
    Error::PeerLost { what: what.to_owned(), cause: cause.to_owned() }
}
