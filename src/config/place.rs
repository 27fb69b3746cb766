//! Where the ends meet: DEST and LISTEN as they are written on the command line.
//!
//! Knows their grammar. Does not resolve names, open sockets or know which end says which.

use super::MAX_WORKERS;
use crate::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One way to the other end: `HOST:PORT` or `[V6]:PORT`, perhaps with `,bind=ADDR`, `,bind=IFACE` and
/// `,workers=N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// A name or an address, without brackets; a v6 address may end in `%SCOPE`.
    pub host: String,
    /// TCP port; 0 only where the other end is yet to say which it is.
    pub port: u16,
    /// Where connections leave this machine; none leaves it to the system.
    pub bind: Option<Bind>,
    /// Connections of its own, outside the count of `--workers`.
    pub workers: Option<u16>,
}

/// Where connections leave this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// From this address, and so to addresses of its family only.
    Address(IpAddr),
    /// Through this interface. Whether there is one is seen when it is used: it may come and go.
    Interface(String),
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
        let dest = Dest::parse_unsettled(text)?;
        if dest.port == 0 {
            return Err(Error::usage(text, "port 0 cannot be dialled").with_hint(DEST_HINT));
        }
        Ok(dest)
    }

    /// Reads a DEST whose port may be 0, for the one that the other end picks.
    pub fn parse_unsettled(text: &str) -> Result<Dest, Error> {
        let wrong = |cause: String| Error::usage(text, cause).with_hint(DEST_HINT);
        let mut parts = text.split(',');
        let (host, port) = split_place(parts.next().unwrap_or_default()).map_err(wrong)?;
        let host = host.ok_or_else(|| wrong("no host before the port".into()))?;
        let mut dest = Dest { host, port, bind: None, workers: None };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let of_key = |cause| wrong(format!("{key}: {cause}"));
            let is_twice = match key {
                "bind" => dest.bind.replace(Bind::parse(value).map_err(of_key)?).is_some(),
                "workers" => dest.workers.replace(parse_workers(value).map_err(of_key)?).is_some(),
                _ => return Err(wrong(format!("unknown key {key:?}"))),
            };
            if is_twice {
                return Err(wrong(format!("{key} is given twice")));
            }
        }
        if let (Some(Bind::Address(from)), Ok(to)) = (&dest.bind, dest.host.parse::<IpAddr>())
            && from.is_ipv4() != to.is_ipv4()
        {
            return Err(wrong("bind: v4 leads only to v4, and v6 to v6".into()));
        }
        Ok(dest)
    }
}

impl Bind {
    /// Reads an address, v6 with or without brackets, or the name of an interface.
    fn parse(text: &str) -> Result<Bind, String> {
        let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match (bare, text.parse()) {
            (Some(bare), _) => match bare.parse() {
                Ok(v6) => Ok(Bind::Address(IpAddr::V6(v6))),
                Err(_) => Err("not a v6 address between the brackets".into()),
            },
            (None, Ok(address)) => Ok(Bind::Address(address)),
            (None, Err(_)) if is_interface_name(text) => Ok(Bind::Interface(text.into())),
            (None, Err(_)) => Err("not an address or the name of an interface".into()),
        }
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

const DEST_HINT: &str =
    "a DEST is HOST:PORT or [V6]:PORT, perhaps with ,bind=ADDR, ,bind=IFACE or ,workers=N";
/// Longest name of an interface, in bytes: as in Linux and the BSDs.
const MAX_INTERFACE_BYTES: usize = 15;
const LISTEN_HINT: &str = "a LISTEN is PORT, HOST:PORT or [V6%SCOPE]:PORT";

/// Splits `PORT`, `HOST:PORT` or `[V6%SCOPE]:PORT`; a lone port has no host.
fn split_place(text: &str) -> Result<(Option<String>, u16), String> {
    if text.contains("://") {
        return Err("no URL is needed, but HOST:PORT".into());
    }
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

/// Whether the system could have an interface of this name. Digits and dots alone are rather an
/// address with an error in it.
fn is_interface_name(text: &str) -> bool {
    let is_address_like = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let is_foreign = text.contains(|c| is_foreign_to_names(c) || "%:".contains(c));
    text.len() <= MAX_INTERFACE_BYTES && !is_address_like && !is_foreign
}

fn is_foreign_to_names(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "[]/@,=\"'".contains(c)
}

/// As a way is named: two ways to one address differ in where they leave this machine.
impl fmt::Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.host, self.port)?;
        self.bind.iter().try_for_each(|bind| write!(f, ",bind={bind}"))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Address(address) => address.fmt(f),
            Bind::Interface(name) => name.fmt(f),
        }
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
            "h:1,bind",
            "h:1,bind=",
            "h:1,bind=eth0,bind=eth1",
            "h:1,bind=10.0.0.256",
            "h:1,bind=[10.0.0.1]",
            "h:1,bind=[::1",
            "h:1,bind=fe80::1%eth0",
            "h:1,bind=eth0:1",
            "h:1,bind=eth/0",
            "h:1,bind=sixteen-bytes-ab",
            "10.0.0.1:1,bind=::1",
            "[::1]:1,bind=10.0.0.1",
        ];
        for text in wrong {
            assert_eq!(dest(text), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Dest::parse("h:1,speed=9").expect_err("nobody can ask for speed");
        assert!(error.to_string().contains("\"speed\""), "{error}");
    }

    #[test]
    fn a_dest_may_be_bound_to_an_address_or_an_interface() {
        let bind = |text: &str| Dest::parse(text).expect("a DEST of this test").bind;
        let address = |text: &str| Some(Bind::Address(text.parse().expect("an address")));
        let interface = |text: &str| Some(Bind::Interface(text.into()));
        assert_eq!(bind("h:1"), None);
        assert_eq!(bind("h:1,bind=10.0.0.1"), address("10.0.0.1"));
        assert_eq!(bind("[::1]:1,bind=fd00::1,workers=2"), address("fd00::1"));
        assert_eq!(bind("h:1,workers=2,bind=[fd00::1]"), address("fd00::1"));
        assert_eq!(bind("10.0.0.1:1,bind=eth0.100"), interface("eth0.100"));
        assert_eq!(bind("h:1,bind=wlan-fifteen_ab"), interface("wlan-fifteen_ab"));
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
        fn what_is_shown_reads_the_same(text in "\\PC{0,12}:[0-9]{1,5}|\\[[0-9a-f:%]{2,8}\\]:[0-9]{1,4}|h:1,bind=(\\PC{1,12}|[0-9.]{7,9}|\\[?[0-9a-f:]{2,8}\\]?)") {
            if let Ok(listen) = Listen::parse(&text) {
                prop_assert_eq!(Listen::parse(&listen.to_string()).expect("was read once"), listen);
            }
            if let Ok(dest) = Dest::parse(&text) {
                prop_assert_eq!(Dest::parse(&dest.to_string()).expect("was read once"), dest);
            }
        }
    }
}
