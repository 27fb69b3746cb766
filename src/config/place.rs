//! Where the ends meet: DEST and LISTEN as they are written on the command line.
//!
//! Knows their grammar. Does not resolve names, open sockets or know which end says which.

use super::MAX_WORKERS;
use crate::error::Error;
use std::fmt;
use std::net::Ipv6Addr;

/// One way to the other end: `HOST:PORT` or `[V6]:PORT`, perhaps with `,workers=N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// A name or an address, without brackets; a v6 address may end in `%SCOPE`.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
    /// Connections of its own, outside the count of `--workers`.
    pub workers: Option<u16>,
}

/// One place to wait at: `PORT`, `HOST:PORT`, `[V6]:PORT` or `[V6%SCOPE]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address, without brackets; none is every address of this machine.
    pub host: Option<String>,
    /// TCP port; 0 picks a free one.
    pub port: u16,
}

impl Dest {
    /// Reads a DEST.
    pub fn parse(text: &str) -> Result<Dest, Error> {
        let wrong = |cause: String| Error::usage(text, cause).with_hint(DEST_HINT);
        let mut parts = text.split(',');
        let (host, port) = split_place(parts.next().unwrap_or_default()).map_err(wrong)?;
        let host = host.ok_or_else(|| wrong("no host before the port".into()))?;
        if port == 0 {
            return Err(wrong("port 0 cannot be dialled".into()));
        }
        let mut dest = Dest { host, port, workers: None };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key != "workers" {
                return Err(wrong(format!("unknown key {key:?}")));
            }
            let count = parse_workers(value).map_err(|cause| wrong(format!("workers: {cause}")))?;
            if dest.workers.replace(count).is_some() {
                return Err(wrong("workers is given twice".into()));
            }
        }
        Ok(dest)
    }
}

impl Listen {
    /// Reads a LISTEN.
    pub fn parse(text: &str) -> Result<Listen, Error> {
        let (host, port) =
            split_place(text).map_err(|cause| Error::usage(text, cause).with_hint(LISTEN_HINT))?;
        Ok(Listen { host, port })
    }
}

/// Reads a number of connections.
pub fn parse_workers(text: &str) -> Result<u16, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_WORKERS).contains(count));
    count.ok_or_else(|| format!("not a number from 1 to {MAX_WORKERS}"))
}

const DEST_HINT: &str = "a DEST is HOST:PORT or [V6]:PORT, perhaps with ,workers=N";
const LISTEN_HINT: &str = "a LISTEN is PORT, HOST:PORT or [V6%SCOPE]:PORT";

/// Splits `PORT`, `HOST:PORT` or `[V6%SCOPE]:PORT`; a lone port has no host.
fn split_place(text: &str) -> Result<(Option<String>, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        None if text.bytes().all(|c| c.is_ascii_digit()) => (None, text),
        None => return Err("no port".into()),
        Some((host, port)) => (Some(host_name(host)?), port),
    };
    // `parse` alone would take a sign.
    let digits = !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits);
    Ok((host, port.ok_or("the port is not a number from 0 to 65535")?))
}

fn host_name(host: &str) -> Result<String, String> {
    let Some(inner) = host.strip_prefix('[') else {
        return match host {
            "" => Err("no host before the port".into()),
            _ if host.contains(':') => Err("a v6 address needs brackets round it".into()),
            _ if host.contains(is_foreign_to_names) => Err("not a host name or address".into()),
            _ => Ok(host.into()),
        };
    };
    let inner = inner.strip_suffix(']').ok_or("the bracket is not closed before the port")?;
    let (address, scope) = inner.split_once('%').map_or((inner, None), |(a, s)| (a, Some(s)));
    let scope_is_sane = scope.is_none_or(|s| !s.is_empty() && !s.contains(is_foreign_to_names));
    if address.parse::<Ipv6Addr>().is_err() || !scope_is_sane {
        return Err("not a v6 address between the brackets".into());
    }
    Ok(inner.into())
}

fn is_foreign_to_names(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "[]/@,=\"'".contains(c)
}

impl fmt::Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.host, self.port)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write_place(f, host, self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dest(text: &str) -> Option<(String, u16, Option<u16>)> {
        Dest::parse(text).ok().map(|d| (d.host, d.port, d.workers))
    }

    fn listen(text: &str) -> Option<(Option<String>, u16)> {
        Listen::parse(text).ok().map(|l| (l.host, l.port))
    }

    #[test]
    fn a_dest_is_a_host_a_port_and_perhaps_workers() {
        assert_eq!(dest("h.example:5000"), Some(("h.example".into(), 5000, None)));
        assert_eq!(dest("10.0.0.1:1,workers=256"), Some(("10.0.0.1".into(), 1, Some(256))));
        assert_eq!(dest("[::1]:65535"), Some(("::1".into(), 65535, None)));
        assert_eq!(dest("[fe80::1%eth0]:9"), Some(("fe80::1%eth0".into(), 9, None)));
    }

    #[test]
    fn anything_else_is_no_dest() {
        let wrong = [
            "",
            "h",
            "5000",
            ":5000",
            "h:",
            "h:0",
            "h:65536",
            "h:+5",
            "h:-5",
            "h:http",
            "::1:5000",
            "[::1]",
            "[::1:5000",
            "::1]:5000",
            "[h]:5000",
            "[::1%]:5000",
            "a b:1",
            "user@h:1",
            "h:1,",
            "h:1,workers",
            "h:1,workers=",
            "h:1,workers=0",
            "h:1,workers=257",
            "h:1,workers=2,workers=2",
            "h:1,bind=eth0",
        ];
        for text in wrong {
            assert_eq!(dest(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Dest::parse("h:1,bind=eth0").expect_err("bind is not known yet");
        assert!(error.to_string().contains("\"bind\""), "{error}");
    }

    #[test]
    fn a_listen_is_a_port_perhaps_with_a_host() {
        assert_eq!(listen("0"), Some((None, 0)));
        assert_eq!(listen("5000"), Some((None, 5000)));
        assert_eq!(listen("localhost:5000"), Some((Some("localhost".into()), 5000)));
        assert_eq!(listen("[fe80::1%2]:0"), Some((Some("fe80::1%2".into()), 0)));
        for text in ["", "x", "65536", ":1", "*:1 ", "h:1,workers=2", "[::1]5", "+5"] {
            assert_eq!(listen(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(text in "\\PC{0,12}:[0-9]{1,5}|\\[[0-9a-f:%]{2,8}\\]:[0-9]{1,4}") {
            if let Ok(listen) = Listen::parse(&text) {
                prop_assert_eq!(Listen::parse(&listen.to_string()).expect("was read once"), listen);
            }
            if let Ok(dest) = Dest::parse(&text) {
                prop_assert_eq!(Dest::parse(&dest.to_string()).expect("was read once"), dest);
            }
        }
    }
}
