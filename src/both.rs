//! Both ends in this process, over 127.0.0.1: the same code path as two processes.
//!
//! The session's name is random, so that no other process of this machine can come in by mistake.

use crate::config::{Dest, Listen, Loop, Rendezvous, Rx, Tx};
use crate::error::Error;
use crate::ports::Ports;
use crate::sink::Sink;
use crate::source::Source;
use crate::stats::{Role, Stats};
use crate::tx::Delivered;
use crate::{link, rx, tx};
use crossbeam_channel::bounded;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Where both ends meet.
pub(crate) const HERE: &str = "127.0.0.1";
/// How long the receiver may take to fail after the sender.
const AFTERTHOUGHT: Duration = Duration::from_secs(1);

/// Carries the source to the sink. What is counted and told is the sending end's.
///
/// # Errors
///
/// As for either end; the graver of both.
pub fn run(
    config: &Loop,
    source: Source,
    sink: Box<dyn Sink>,
    ports: Ports<'_>,
) -> Result<Delivered, Error> {
    let Ports { stats, news, interrupt, .. } = ports;
    let common = crate::config::Common { name: link::random_name()?, ..config.common.clone() };
    let listen = Rendezvous::Listen(vec![Listen { host: Some(HERE.into()), port: 0 }]);
    let output = config.output.clone();
    let receiving = Rx { common: common.clone(), output, rendezvous: listen };
    let (address, listening) = bounded(1);
    let interrupt_receiver = interrupt.clone();
    let (result, results) = bounded(1);
    let alarm = source.alarm();
    let receiver = move || {
        let announce = &mut |all: &[SocketAddr]| {
            // Nobody waits for it only when this run is over.
            let _ = all.iter().try_for_each(|at| address.send(*at));
        };
        let stats = Some(Arc::new(Stats::new(Role::Receiver, 1)));
        let ports = Ports { stats, interrupt: interrupt_receiver, ..Ports::default() };
        let received = rx::run(&receiving, sink, ports.announced(announce));
        // Where the ends have not met the sender would go on looking for it.
        if let Some((code, reason)) = received.as_ref().err().and_then(Error::farewell) {
            alarm.ring(Error::Peer { code, reason });
        }
        let _ = result.send(received);
    };
    thread::Builder::new()
        .name("receiver".into())
        .spawn(receiver)
        .map_err(|error| Error::io("the receiving thread", error))?;
    let Ok(at) = listening.recv() else {
        // It could not listen, and says why.
        return results.recv().unwrap_or_else(|_| Err(gone()));
    };

    let dest = Dest { host: HERE.into(), port: at.port(), bind: None, workers: None };
    let sending = Tx {
        common,
        input: config.input.clone(),
        packaging: config.packaging,
        shaping: config.shaping.clone(),
        rendezvous: Rendezvous::Dial { dests: vec![dest], workers: config.workers },
    };
    let ports = Ports { stats, news, interrupt, ..Ports::default() };
    let sent = tx::run(&sending, source, ports);
    match sent {
        Ok(delivered) => results.recv().unwrap_or_else(|_| Err(gone())).map(|_| delivered),
        // The receiver may know better why, but may also wait for a sender that never came.
        Err(error) => match results.recv_timeout(AFTERTHOUGHT) {
            Ok(Err(other)) => Err(error.or_graver(other)),
            // A signal came too late.
            Ok(Ok(delivered)) => Ok(delivered),
            Err(_) => Err(error),
        },
    }
}

fn gone() -> Error {
    Error::io("the receiving thread", io::ErrorKind::BrokenPipe.into())
}
