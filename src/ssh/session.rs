//! The ssh session as the near end has it: started, ordered, listened to, and ended.
//!
//! Does not know how ssh finds its way, nor how the stream is carried.

use super::child::Ssh;
use super::order::{MAX_ORDER_BYTES, Order};
use super::packet::{self, Greeting, WORDS};
use super::reply::{MAX_REPLY_BYTES, Reply};
use super::tunnel::Tunnel;
use crate::config::SshCommand;
use crate::error::{Error, plain};
use crate::stats::Stats;
use crate::tx::Delivered;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::net::IpAddr;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long ssh may take to end after the far end has.
const ENDING: Duration = Duration::from_secs(2);
/// How long the far end may take to end when there was no success, so that what its program says is
/// still heard.
const FAILING: Duration = Duration::from_millis(500);
/// The same after a signal: somebody waits.
const SIGNALLED: Duration = Duration::from_millis(100);

/// How long a signal of our own has to be the reason: a terminal gives it to ssh too, which may end of it before it is
/// heard here.
const SIGNAL_FIRST: Duration = Duration::from_millis(50);
/// How long direct connections may seem to be there once the far end's program has ended.
const LINGERING: Duration = Duration::from_secs(5);
/// How often is looked for them.
const LOOK: Duration = Duration::from_millis(100);

const NONSENSE: &str = "something else than viamillipede answers there";
const PATH_HINT: &str = "say where it is with --remote-path PROGRAM";
const VERSION_HINT: &str = "is it the same version as here? --remote-path PROGRAM names another";

/// Where the far end waits.
pub(super) struct Place {
    pub(super) port: u16,
    /// Its address, as ssh has found it.
    pub(super) host: Option<IpAddr>,
}

/// An ssh session with the far end at its other side.
pub(super) struct Session {
    host: String,
    ssh: Arc<Ssh>,
    tunnel: Tunnel,
    place: Receiver<Place>,
    /// Disconnected once ssh has ended.
    over: Receiver<()>,
}

impl Session {
    /// Starts ssh and has the far end do this. `stop` hears of an end of ssh that ends everything.
    pub(super) fn start(
        command: &SshCommand,
        order: &Order,
        stats: Arc<Stats>,
        stop: Sender<Error>,
    ) -> Result<Session, Error> {
        let bytes = order.encode();
        if bytes.len() > MAX_ORDER_BYTES {
            return Err(Error::usage("COMMAND", format!("{} bytes are too many", bytes.len())));
        }
        let (ssh, to, from) = Ssh::start(command)?;
        let (ssh, tunnel) = (Arc::new(ssh), Tunnel::new(to));
        let ((found, place), (ending, over)) = (bounded(1), bounded::<()>(0));
        let host = command.host.clone();
        let ear = Ear {
            host: host.clone(),
            program: command.program.clone(),
            ssh: Arc::clone(&ssh),
            tunnel: tunnel.clone(),
            found,
            stop: stop.clone(),
            failed: None,
        };
        let direct_links = order.direct_links;
        let listen = move || {
            let (error, is_far_over) = ear.listen(BufReader::new(from), &bytes);
            // Who waits for the end of ssh needs not to know what it means.
            drop(ending);
            thread::sleep(SIGNAL_FIRST); // no event to wait for: mostly no signal of ours comes
            if stats.has_known(direct_links) {
                if !is_far_over {
                    return; // where there were direct connections the end of ssh is not fatal
                }
                await_loneliness(&stats);
            }
            let _ = stop.try_send(error);
        };
        let spawned = thread::Builder::new().name("ssh".into()).spawn(listen);
        spawned.map_err(|error| Error::io("a thread", error))?;
        Ok(Session { host, ssh, tunnel, place, over })
    }

    /// Connections through the session.
    pub(super) fn tunnel(&self) -> Tunnel {
        self.tunnel.clone()
    }

    /// Waits until the far end waits. Nobody has to type a password in no time.
    pub(super) fn await_place(
        &self,
        patience: Option<Duration>,
        interrupt: &Receiver<Error>,
    ) -> Result<Place, Error> {
        let interrupted = || interrupt.recv().unwrap_or_else(|_| ended("ssh", "it ended"));
        select! {
            recv(interrupt) -> error => Err(error.unwrap_or_else(|_| ended("ssh", "it ended"))),
            // Why there is none is said there.
            recv(self.place) -> place => place.map_err(|_| interrupted()),
            recv(patience.map_or_else(never, after)) -> _ => {
                let what = format!("ssh to {}", self.host);
                Err(ended(&what, "no answer of viamillipede there within --patience"))
            },
        }
    }

    /// Sees that ssh ends, and with it the far end.
    pub(super) fn finish(&self, outcome: &Result<Delivered, Error>) {
        let time = match outcome {
            Ok(_) => ENDING,
            Err(Error::Signal(_)) => SIGNALLED,
            Err(_) => FAILING,
        };
        // One that has succeeded ends by itself.
        if outcome.is_err() {
            self.hang_up();
        }
        let _ = self.over.recv_timeout(time);
        self.hang_up();
        self.ssh.kill();
        let _ = self.over.recv_timeout(SIGNALLED);
    }

    /// Tells the far end in words that this one ends: that ssh does would tell it nothing. Does not wait for an ssh that
    /// takes none.
    fn hang_up(&self) {
        let tunnel = self.tunnel();
        drop(thread::Builder::new().name("goodbye".into()).spawn(move || tunnel.hang_up()));
    }
}

/// Waits until no connection is left, but not for long: one that was cut in silence seems to be there.
fn await_loneliness(stats: &Stats) {
    let until = Instant::now() + LINGERING;
    while stats.live_workers() > 0 && Instant::now() < until {
        thread::sleep(LOOK); // nobody tells when the last connection is lost
    }
}

/// Listens to the far end.
struct Ear {
    host: String,
    program: String,
    ssh: Arc<Ssh>,
    tunnel: Tunnel,
    found: Sender<Place>,
    /// Ends the run.
    stop: Sender<Error>,
    /// Why the far end says that it has failed.
    failed: Option<Error>,
}

impl Ear {
    /// Gives the order and listens until ssh ends; returns why a session could not begin, if none did, and whether it
    /// is known that the far end's program has ended, and badly.
    fn listen(mut self, mut from: BufReader<File>, order: &[u8]) -> (Error, bool) {
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
        // 255 is ssh's own.
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        let is_far_over = code.is_some_and(|code| code != 0 && code != 255);
        let error = self.failed.take().unwrap_or_else(|| self.unfinished(status, is_greeted));
        (error, is_far_over)
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
        let hint =
            "install the same version at both ends, or name it with --remote-path".to_owned();
        self.failed = Some(Error::Refused { what: self.host.clone(), cause, hint: Some(hint) });
        false
    }

    /// Hears packets until there are no more; says whether that is all, or there was something else.
    fn hear(&mut self, from: &mut BufReader<File>) -> bool {
        loop {
            let packet = match packet::receive(from, MAX_REPLY_BYTES) {
                Ok(Some(packet)) => packet,
                Ok(None) => return true,
                Err(error) => {
                    if error.kind() == ErrorKind::InvalidData {
                        self.failed = Some(ended(&self.host, NONSENSE));
                    }
                    return false;
                }
            };
            if packet.conversation != WORDS {
                self.tunnel.deliver(&packet, || Err(ErrorKind::Unsupported.into()));
                continue;
            }
            match Reply::decode(&packet.bytes) {
                // Nobody waits for it when we are ending already.
                Some(Reply::Waits { port, host }) => {
                    let _ = self.found.try_send(Place { port, host });
                }
                // What is wrong with the settings is wrong at both ends.
                Some(Reply::Failed { code: 2, reason }) => {
                    self.failed = Some(Error::usage(&self.host, reason));
                }
                Some(Reply::Failed { code, reason }) => {
                    let error = |reason| Error::Peer { code, reason };
                    // It stands, whatever becomes of direct connections. Who hears it there too hears the same.
                    if error(String::new()).is_to_be_heard() {
                        let _ = self.stop.try_send(error(reason.clone()));
                    }
                    self.failed = Some(error(reason));
                }
                None => {
                    self.failed = Some(ended(&self.host, NONSENSE));
                    return false;
                }
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
        let unstarted = |cause, hint: &str| Error::Unstarted {
            what: host.clone(),
            cause,
            hint: hint.to_owned(),
        };
        match status.code() {
            Some(255) | None => ended(&format!("ssh to {host}"), &told(status)),
            _ if is_greeted => ended(host, &format!("the far end has ended: {}", told(status))),
            Some(126 | 127) => unstarted(format!("cannot run {program} there"), PATH_HINT),
            _ => {
                let cause =
                    format!("{program} there does not answer as viamillipede: {}", told(status));
                unstarted(cause, VERSION_HINT)
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
