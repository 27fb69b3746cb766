//! Links as users have them: some dead, some slow to come, fewer places than were asked for, and
//! machines short of descriptors.

use super::process::{End, Pair};
use super::relay::{Relay, Way};
use super::stream::put;
use super::{LONG, MARGIN, SHORT, at_once};
use crate::harness::{self, Summary};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A port at which nobody listens.
fn closed_port() -> u16 {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    closed.local_addr().expect("it is bound").port()
}

/// The session has one place, and its number is that of a connection on the dead link.
#[test]
fn the_only_place_of_a_session_goes_to_the_link_that_works() {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --window 384K --patience {LONG}"));
    let port = rx.port();
    let dests = format!("127.0.0.1:{} 127.0.0.1:{port}", closed_port());
    let tx = End::start(&format!("tx {dests} --patience {SHORT}"));
    Pair { tx, rx, port }.deliver(3 << 20);
}

/// From too few to start with up to enough.
#[test]
fn want_of_descriptors_is_a_failure_of_this_machine() {
    at_once((5..21).map(|limit| short(limit) as Box<dyn FnOnce() + Send>).collect());
}

fn short(limit: u32) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
        let dest = format!("127.0.0.1:{}", rx.port());
        let line = format!("tx {dest} --patience {SHORT} --workers 2");
        let ended = End::limited(&format!("-n {limit}"), &line).ended(SHORT).expect("it ends");
        if ended.code != 0 {
            ended.failed(1, "Too many open files");
        }
        assert!(ended.code == 0 || limit < 20, "so many are enough: {ended:?}");
    })
}

#[test]
fn a_link_leaves_by_the_address_or_the_interface_asked_for() {
    for bind in if cfg!(target_os = "linux") { vec!["127.0.0.1", "lo"] } else { vec!["127.0.0.1"] }
    {
        let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
        let port = rx.port();
        let tx = End::start(&format!("tx 127.0.0.1:{port},bind={bind} --patience {SHORT}"));
        Pair { tx, rx, port }.deliver(1 << 20);
    }
    let mut tx = End::start(&format!("tx --listen 127.0.0.1:0 --patience {LONG}"));
    let port = tx.port();
    let dest = format!("127.0.0.1:{port},bind=127.0.0.1");
    let rx = End::start(&format!("rx --connect {dest} --patience {SHORT}"));
    Pair { tx, rx, port }.deliver(1 << 20);
}

/// It may be plugged in again: until patience is over the link is tried.
#[test]
fn a_link_bound_to_what_is_not_there_is_a_missed_one() {
    let gives_up = |bind: &str, why: &str| {
        let dest = format!("127.0.0.1:{},bind={bind}", closed_port());
        let mut tx = End::start(&format!("tx {dest} --patience {SHORT}"));
        tx.ended(SHORT).expect("patience ends").failed(4, &format!("{dest}: {why}"));
    };
    gives_up("no-such-if0", "there is no interface no-such-if0");
    gives_up("192.0.2.1", "192.0.2.1 is not an address of this machine");
}

#[test]
fn an_end_that_gives_up_names_each_link_and_its_cause() {
    let dests = [(); 2].map(|()| format!("127.0.0.1:{}", closed_port()));
    let mut tx = End::start(&format!("tx {} --patience {SHORT}", dests.join(" ")));
    let ended = tx.ended(SHORT).expect("patience ends");
    for dest in &dests {
        ended.failed(4, &format!("{dest}: Connection refused"));
    }

    let mut rx = End::start(&format!("rx 0 --patience {LONG}"));
    let port = rx.port();
    let dests = [1, 2].map(|host| format!("127.0.0.{host}:{port}"));
    let mut tx = End::start(&format!("tx {} --patience {SHORT}", dests.join(" ")));
    let mut source = tx.stdin();
    let drain = rx.drain();
    assert!(put(&mut source, 0, 4 << 20) && drain.has_seen(1 << 20, MARGIN));
    rx.signal(Signal::SIGKILL);
    let ended = tx.ended(SHORT).expect("patience ends");
    for dest in &dests {
        ended.failed(4, &format!("{dest}: "));
    }
}

#[test]
fn a_link_that_does_not_work_while_another_does_is_said_once() {
    let rx = harness::End::start("rx --plain 127.0.0.1:0");
    let dead = format!("127.0.0.1:{}", closed_port());
    let mut pair = [harness::End::start(&format!("tx --plain {dead} {}", rx.ready())), rx];
    let expected = format!("link {dead} is down: Connection refused; going on with 1 other\n");
    pair[0].hears(|said| said.contains(&expected).then_some(()));
    let codes = pair.each_mut().map(harness::End::code);
    assert_eq!(codes, [0, 0]);
    assert_eq!(pair[0].said().matches("link ").count(), 1, "{}", pair[0].said());
    assert_eq!(pair[1].said().matches("link ").count(), 0, "{}", pair[1].said());
}

#[test]
fn both_ends_record_which_link_has_lost_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let option = |name: &str| format!("--plain --stats {}", at(name).display());
    let rx = harness::End::start(&format!("rx {} 127.0.0.1:0", option("rx")));
    let port = rx.ready().port();
    let relay = Relay::start(port);
    let way = format!("127.0.0.1:{}", relay.port);
    let tx = harness::End::start(&format!("tx {} {way} 127.0.0.1:{port}", option("tx")));
    let mut ends = [tx, rx];
    let links = |name: &str| {
        let text = fs::read_to_string(at(name)).unwrap_or_default();
        let last = text.rsplit_terminator('\n').next()?.to_owned();
        serde_json::from_str::<Value>(&last).ok()?["links"].as_array().cloned()
    };
    let until = |is_so: fn(&Value) -> bool, name: &str| {
        let found = || links(name)?.first().filter(|first| is_so(first)).map(|_| ());
        harness::until_found(found, || format!("{name}: {:?}", links(name)));
    };
    for name in ["tx", "rx"] {
        until(|first| first["connections"] == 2 && first["loss_age_s"].is_null(), name);
    }
    relay.cut_all();
    for name in ["tx", "rx"] {
        until(|first| first["loss_age_s"].is_number(), name);
    }
    assert_eq!(ends.each_mut().map(harness::End::code), [0, 0]);
    for (name, named) in [("tx", &*way), ("rx", "from 127.0.0.1 (link 0)")] {
        let links = links(name).expect("a last line");
        assert!(
            links[0]["loss_age_s"].is_number() && links[1]["loss_age_s"].is_null(),
            "{links:?}"
        );
        assert_eq!(links[0]["name"], named);
    }
}

#[test]
fn a_link_that_leads_to_another_receiver_does_not_end_a_session_that_has_no_other_for_a_while() {
    let rx = harness::End::start("rx --plain 127.0.0.1:0");
    let relay = Relay::start(rx.ready().port());
    let way = format!("127.0.0.1:{}", relay.port);
    let wrong = format!("127.0.0.1:{}", closed_port());
    let mut pair = [harness::End::start(&format!("tx --plain {way} {wrong}")), rx];
    let says = |what: String| pair[0].hears(|said| said.contains(&what).then_some(()));
    says(format!("link {wrong} is down: Connection refused"));
    // Only now: whoever answers first is the other end.
    let other = harness::End::start(&format!("rx --plain {wrong}"));
    other.hears(|said| said.contains("session unknown").then_some(()));
    relay.weather(Way::Reset);
    says(format!("link {way} is down: "));
    relay.weather(Way::Open);
    says(format!("link {way} is back"));
    assert_eq!(pair.each_mut().map(harness::End::code), [0, 0]);
}

#[test]
fn who_dials_in_vain_says_so_and_that_it_has_connected() {
    // Bound and not listening: the port is nobody else's.
    let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    reserved.set_reuse_address(true).expect("every system has it");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    reserved.bind(&SockAddr::from(any)).expect("the address is ours");
    let dest = reserved.local_addr().ok().and_then(|at| at.as_socket()).expect("it is bound");
    let mut tx = harness::End::start(&format!("tx --plain {dest}"));
    let why = format!("cannot connect yet: {dest}: Connection refused; trying on for 120 s\n");
    tx.hears(|said| said.contains(&why).then_some(()));
    let mut rx = harness::End::start(&format!("rx --plain {dest}"));
    let connected = format!("connected over link {dest}\n");
    tx.hears(|said| said.contains(&connected).then_some(()));
    assert_eq!((tx.code(), rx.code()), (0, 0));
}

#[test]
fn a_name_may_have_several_addresses_or_none_for_a_while() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !cfg!(target_os = "linux") || !is_root {
        return eprintln!("skipped: names can be made up only by root");
    }
    let etc = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| fs::write(etc.path().join(file), text).expect("a file");
    let delivers = |mut tx: harness::End, mut rx: harness::End| {
        assert_eq!((tx.code(), rx.code()), (0, 0));
    };
    write("resolv.conf", "nameserver 127.0.0.1\n");

    write("hosts", "127.0.0.1 two.test\n127.0.0.2 two.test\n");
    let rx = with_names(etc.path(), "rx --plain two.test:0");
    let port = rx.ready().port();
    let other = format!("listening on 127.0.0.2:{port}\n");
    rx.hears(|said| said.contains(&other).then_some(()));
    delivers(harness::End::start(&format!("tx --plain 127.0.0.2:{port}")), rx);

    let rx = harness::End::start("rx --plain 127.0.0.1:0");
    let port = rx.ready().port();
    write("hosts", "127.0.0.9 two.test\n127.0.0.1 two.test\n");
    delivers(with_names(etc.path(), &format!("tx --plain two.test:{port}")), rx);

    let rx = harness::End::start("rx --plain 127.0.0.1:0");
    let port = rx.ready().port();
    let tx = with_names(etc.path(), &format!("tx --plain late.test:{port}"));
    let why = format!("cannot connect yet: late.test:{port}: failed to lookup");
    tx.hears(|said| said.contains(&why).then_some(()));
    write("hosts", "127.0.0.1 late.test\n");
    delivers(tx, rx);
}

/// The program on a machine whose names are in the files of `etc`: `hosts`, and a `resolv.conf` that
/// leads nowhere.
fn with_names(etc: &Path, line: &str) -> harness::End {
    let mount = "mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf";
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    let program = harness::viamillipede(line);
    let mut command = Command::new("unshare");
    command.current_dir(etc).args(["--mount", "sh", "-c", &script]).arg(program.get_program());
    command.args(program.get_args());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    harness::End::run(command)
}

/// The session is settled to two places, both in use by the link that leads to it.
#[test]
fn a_link_that_leads_to_another_receiver_costs_the_others_no_connection() {
    let rx = harness::End::start("rx --plain 127.0.0.1:0 --window 512K");
    let wrong = format!("127.0.0.1:{}", closed_port());
    let line = format!("tx --plain --workers 8 --foot-size 64K {} {wrong}", rx.ready());
    let mut pair = [harness::End::start(&line), rx];
    pair[0].hears(|said| {
        said.contains(&format!("link {wrong} is down: Connection refused")).then_some(())
    });
    // Only now: whoever answers first is the other end.
    let other = harness::End::start(&format!("rx --plain -v {wrong}"));
    other.hears(|said| (said.matches("session unknown").count() > 5).then_some(()));
    let codes = pair.each_mut().map(harness::End::code);
    assert_eq!(codes, [0, 0]);
    for end in &pair {
        let summary = Summary::find(&end.said()).expect("it delivered");
        assert_eq!(summary.lost_connections, 0, "{}", end.said());
    }
}

/// There are descriptors for a few of the connections: the others are not made, and that is said once.
#[cfg(target_os = "linux")]
#[test]
fn an_end_short_of_descriptors_goes_on_with_what_it_has() {
    let rx = harness::End::start("rx --plain 127.0.0.1:0");
    let line = format!("tx --plain -v --workers 16 {}", rx.ready());
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n 24; exec \"$0\" {line}"), harness::PROGRAM]);
    limited.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut pair = [harness::End::run(limited), rx];
    let short = "Too many open files";
    let note = format!("this machine cannot make more connections: {short}");
    // Of a run that is over nothing is said any more: it has to wait for the note as well.
    pair[0].hears(|said| (said.matches(short).count() > 20 && said.contains(&note)).then_some(()));
    assert_eq!(pair.each_mut().map(harness::End::code), [0, 0]);
    let notes = pair[0].said().matches(&note).count();
    assert_eq!(notes, 1, "{}", pair[0].said());
    let summary = Summary::find(&pair[1].said()).expect("it delivered");
    assert_eq!(summary.lost_connections, 0, "{}", pair[1].said());
}
