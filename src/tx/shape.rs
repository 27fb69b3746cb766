//! What this end's connections keep to: whether the machine can do it, and the rate as it is now.
//!
//! Does not know how it is kept ([`crate::link`]).

use crate::cancel::Cancel;
use crate::config::{Rate, Shaping};
use crate::error::{Error, plain};
use crate::link::Limit;
use crate::net;
use crate::news::{Fact, News};
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Somebody who writes a file may just have emptied it: so much later it is looked at again.
const AGAIN: Duration = Duration::from_millis(50);

/// Whether this machine can do what is asked for, to be known before anything is started anywhere.
pub fn check(shaping: &Shaping) -> Result<(), Error> {
    shaping.rate.as_ref().map_or(Ok(()), |rate| rate.now().map(drop))?;
    shaping.congestion.as_deref().map_or(Ok(()), check_congestion)
}

fn check_congestion(name: &str) -> Result<(), Error> {
    let Err(error) = net::check_congestion(name) else { return Ok(()) };
    let cause = match error.kind() {
        ErrorKind::NotFound => "the kernel has none of that name".into(),
        ErrorKind::PermissionDenied => "only root may use that".into(),
        ErrorKind::Unsupported => "not on this system".into(),
        _ => plain(&error),
    };
    let refused = Error::usage(format!("--congestion {name}"), cause);
    Err(match net::congestions() {
        Some(names) => refused.with_hint(format!("this machine lets anybody use {names}")),
        None => refused,
    })
}

/// The limit that all connections keep to, if there is one; where it is in a file, it follows that. How many `workers` it
/// must do for is not known where this end listens.
pub(super) fn limit(
    shaping: &Shaping,
    workers: Option<u16>,
    news: &News,
    cancel: &Cancel,
) -> Result<Option<Limit>, Error> {
    let Some(rate) = &shaping.rate else { return Ok(None) };
    let read = move |rate: &Rate| workers.map_or_else(|| rate.now(), |it| rate.now_for(it));
    let limit = Limit::new(read(rate)?);
    if matches!(rate, Rate::File(_)) {
        let (rate, news, cancel, followed) =
            (rate.clone(), news.clone(), cancel.clone(), limit.clone());
        thread::Builder::new()
            .name("rate".into())
            .spawn(move || follow(|| read(&rate), &followed, &news, &cancel))
            .map_err(|error| Error::io("a thread for --rate", error))?;
    }
    Ok(Some(limit))
}

/// Reads the file until all is stopped. While it holds no rate that will do the last one counts, which is told once.
fn follow(read: impl Fn() -> Result<u64, Error>, limit: &Limit, news: &News, cancel: &Cancel) {
    let mut is_told = false;
    while matches!(cancel.sleep(LOOK), Ok(false)) {
        let rate = read().or_else(|_| {
            drop(cancel.sleep(AGAIN));
            read()
        });
        match rate {
            Ok(bytes_per_second) => {
                limit.set(bytes_per_second);
                is_told = false;
            }
            Err(_) if is_told => {}
            Err(error) => {
                news.tell(Fact::RateKept(error.to_string()));
                is_told = true;
            }
        }
    }
}
