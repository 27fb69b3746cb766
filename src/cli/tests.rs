//! What is typed, and what it means.

use super::*;
use std::time::Duration;
use viamillipede::config::{Input, Output, Packaging, Packing, Task};
use viamillipede::key::{Key, KeySource};

fn request(line: &str) -> Result<Request, Error> {
    parse(line.split_whitespace().map(OsString::from))
}

fn command(line: &str) -> Command {
    match request(&format!("viamillipede {line}")) {
        Ok(Request::Run(run)) => run.find_key().expect("nothing to look for").0,
        other => panic!("{line}: {other:?}"),
    }
}

fn complaint(line: &str) -> String {
    match request(&format!("viamillipede {line}")) {
        Err(error) => error.report(),
        other => panic!("{line}: {other:?}"),
    }
}

fn packing(line: &str) -> Packing {
    match command(line) {
        Command::Tx(tx) => tx.packaging.packing,
        Command::Loop(both) => both.packaging.packing,
        Command::Rx(_) | Command::Ssh(_) => panic!("{line} does not pack"),
    }
}

#[test]
fn the_argument_after_zstd_is_its_level_only_if_it_is_an_integer() {
    assert_eq!(packing("tx --plain -z h:1"), Packing::Zstd(3));
    assert_eq!(packing("tx --plain --zstd h:1"), Packing::Zstd(3));
    assert_eq!(packing("tx --plain --zstd 5 h:1"), Packing::Zstd(5));
    assert_eq!(packing("tx --plain -z -5 h:1"), Packing::Zstd(-5));
    assert_eq!(packing("tx --plain --zstd=7 h:1"), Packing::Zstd(7));
    assert_eq!(packing("tx --plain -z19 h:1"), Packing::Zstd(19));
    assert_eq!(packing("tx --plain -vz 1 h:1"), Packing::Zstd(1));
    assert_eq!(packing("tx h:1 --plain --zstd"), Packing::Zstd(3));
    assert_eq!(packing("tx --zstd --plain h:1"), Packing::Zstd(3));
    assert_eq!(packing("loop -z 0"), Packing::Zstd(0));
    assert_eq!(packing("loop --lz4"), Packing::Lz4);
    assert_eq!(packing("loop --adapt"), Packing::Adapt);
    assert_eq!(packing("loop"), Packing::None);
}

#[test]
fn defaults_are_those_of_the_manual() {
    let Command::Tx(tx) = command("tx --plain h:1") else { panic!("tx is Tx") };
    assert_eq!(tx.packaging, Packaging { packing: Packing::None, foot_bytes: 1 << 20, size: None });
    assert_eq!(tx.common.patience, Some(Duration::from_secs(120)));
    assert_eq!(tx.common.progress, ProgressMode::Auto);
    assert_eq!(tx.common.verbosity, Verbosity::Normal);
    assert!(!tx.common.verify && tx.common.name.is_empty());
    let dests = vec![Dest { host: "h".into(), port: 1, bind: None, workers: None }];
    assert_eq!(tx.rendezvous, Rendezvous::Dial { dests, workers: Workers::Count(4) });
}

#[test]
fn every_option_arrives() {
    let line = "tx --plain --verify --name n --patience 0.5 --progress never -v --workers 2 \
                --foot-size 64K --window 1M -s 5GB a:1 [::1]:2,workers=1";
    let Command::Tx(tx) = command(line) else { panic!("tx is Tx") };
    assert_eq!((tx.packaging.foot_bytes, tx.packaging.size), (65536, Some(5_000_000_000)));
    assert_eq!(tx.common.window_bytes, 1 << 20);
    assert_eq!(tx.common.patience, Some(Duration::from_millis(500)));
    assert_eq!(tx.common.verbosity, Verbosity::Verbose);
    assert_eq!(tx.common.name, "n");
    assert!(tx.common.verify);
    let Command::Rx(rx) = command("rx --plain --patience 0 -q 5000") else { panic!("rx is Rx") };
    assert_eq!((rx.common.patience, rx.common.verbosity), (None, Verbosity::Quiet));
}

#[test]
fn either_end_dials_or_listens() {
    let listens = Rendezvous::Listen(vec![Listen { host: None, port: 5000 }]);
    let Command::Rx(rx) = command("rx --plain 5000") else { panic!("rx is Rx") };
    assert_eq!(rx.rendezvous, listens);
    let Command::Tx(tx) = command("tx --plain --listen 5000") else { panic!("tx is Tx") };
    assert_eq!(tx.rendezvous, listens);
    let Command::Rx(rx) = command("rx --plain --connect h:1 --workers 7") else {
        panic!("rx is Rx")
    };
    assert!(matches!(rx.rendezvous, Rendezvous::Dial { workers: Workers::Count(7), .. }));
}

#[test]
fn connections_may_be_as_many_as_bring_something() {
    let Command::Tx(tx) = command("tx --plain --workers auto a:1 b:1,workers=2") else {
        panic!("tx is Tx")
    };
    // Those that there are at first: four, of which `a` has all, and two.
    assert_eq!(tx.rendezvous.workers(), Some(6));
    assert!(matches!(tx.rendezvous, Rendezvous::Dial { workers: Workers::Auto, .. }));
    assert!(complaint("tx --plain --workers many a:1").contains("nor auto"));
    assert!(complaint("rx --plain --workers auto 1").contains("--workers"));
}

#[test]
fn the_window_is_judged_by_the_end_that_knows() {
    // Dialling, 4 workers: 12 feet. Listening: 6, of the smallest size unless this end packs.
    assert!(complaint("tx --plain --window 11M h:1").contains("12 feet of 1MiB"));
    command("tx --plain --window 12M h:1");
    command("tx --plain --window 3M --foot-size 256K h:1");
    command("rx --plain --window 768K --connect h:1");
    assert!(complaint("rx --plain --window 767K --connect h:1").contains("12 feet of 64KiB"));
    command("rx --plain --window 384K 5000");
    assert!(complaint("rx --plain --window 383K 5000").contains("6 feet of 64KiB"));
    assert!(complaint("tx --plain --window 5M --listen 5000").contains("6 feet of 1MiB"));
    assert!(complaint("loop --workers 1 --window 5M").contains("6 feet of 1MiB"));
    command("loop --workers 256 --foot-size 16M");
}

#[test]
fn sources_and_sinks_arrive() {
    let Command::Loop(both) = command("loop -i from --output to --force") else {
        panic!("loop is Loop")
    };
    assert_eq!(both.input, Input::File("from".into()));
    assert_eq!(both.output, Output::File { path: "to".into(), replaces: true });
    let Command::Loop(both) = command("loop --source cat -- tar -x -z") else {
        panic!("loop is Loop")
    };
    assert_eq!(both.input, Input::Source("cat".into()));
    assert_eq!(both.output, Output::Command(["tar", "-x", "-z"].map(OsString::from).into()));
    let Command::Loop(both) = command("loop -i - -o -") else { panic!("loop is Loop") };
    assert_eq!((both.input, both.output), (Input::Stdin, Output::Stdout));
}

#[test]
fn help_and_version_are_shown() {
    for line in ["--help", "-h", "tx --help", "rx -h", "loop --help", "--version"] {
        assert!(matches!(request(&format!("viamillipede {line}")), Ok(Request::Show(_))), "{line}");
    }
}

#[test]
fn the_program_after_two_dashes_is_left_alone() {
    let after: Vec<_> = ["x", "--", "-z", "5"].map(OsString::from).into();
    assert_eq!(join_levels(after.clone()), after);
}

#[test]
fn a_key_among_our_arguments_is_refused_and_those_of_the_program_are_left_alone() {
    let key = Key::generate().expect("there are random numbers").text();
    let said = complaint(&format!("tx --name {} h:1", *key));
    assert!(said.contains("arguments: a key is among them") && !said.contains(&key[7..20]));
    let after: Vec<_> = ["x", "--", &key].map(OsString::from).into();
    assert!(refuse_keys(&after).is_ok());
}

#[test]
fn the_key_is_looked_for_where_the_arguments_say() {
    let source = |line: &str| match request(&format!("viamillipede {line}")) {
        Ok(Request::Run(run)) => run.source().clone(),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(source("rx 5000"), KeySource::Unsaid { listens: true });
    assert_eq!(source("tx --listen 5000"), KeySource::Unsaid { listens: true });
    assert_eq!(source("tx h:1"), KeySource::Unsaid { listens: false });
    assert_eq!(source("rx --connect h:1"), KeySource::Unsaid { listens: false });
    assert_eq!(source("rx --plain 5000"), KeySource::Plain);
    assert_eq!(source("tx --key-file a/b h:1"), KeySource::File("a/b".into()));
    assert_eq!(source("loop"), KeySource::Own);
    assert_eq!(source("loop --plain"), KeySource::Plain);
    assert_eq!(source("loop --key-file k"), KeySource::File("k".into()));
}

#[test]
fn clap_finds_no_fault_with_the_definition() {
    use clap::CommandFactory;
    Line::command().debug_assert();
}

fn pair(line: &str) -> config::Ssh {
    match command(line) {
        Command::Ssh(pair) => *pair,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_push_has_its_sink_there_and_a_pull_its_source() {
    let push = pair("tx --ssh u@h -z --window 64M -- cat -n");
    assert!(matches!(push.near, config::Near::Tx(_)));
    let argv = ["cat", "-n"].map(OsString::from).to_vec();
    assert_eq!(push.task, Task::Receive(Output::Command(argv)));
    assert_eq!(
        (push.command.host.as_str(), push.command.program.as_str()),
        ("u@h", "viamillipede")
    );
    assert_eq!((push.command.words, push.workers), (vec!["ssh".to_owned()], Workers::Count(4)));
    assert_eq!((push.direct, push.dests.len()), (config::Direct::Auto, 0));
    assert_eq!(push.window_asked, Some(64 << 20));
    let pull = pair("rx --ssh h -e ssh --direct always --workers 2 a:0 b:7,workers=1 -i f -- cat");
    let Task::Send(Input::File(path), ..) = &pull.task else { panic!("{:?}", pull.task) };
    assert_eq!(path.as_os_str(), "f");
    assert_eq!((pull.dests.len(), pull.dests[0].port, pull.workers), (2, 0, Workers::Count(2)));
    assert!(matches!(pull.near, config::Near::Rx(rx) if matches!(rx.output, Output::Command(_))));
}

#[test]
fn each_session_through_ssh_has_a_key_of_its_own() {
    let security = || pair("tx --ssh h -- cat").common().security.clone();
    let (one, other) = (security(), security());
    assert!(matches!(one, config::Security::Keyed(_)) && one != other);
    assert_eq!(pair("tx --plain --ssh h -- cat").common().security, config::Security::Plain);
}

#[test]
fn what_goes_with_ssh_only_and_what_ssh_needs_is_told() {
    for (line, words) in [
        ("tx --ssh h", "nothing says where the stream goes on HOST"),
        ("rx --ssh h", "nothing says where the stream comes from on HOST"),
        ("tx --ssh=-oProxyCommand=x -- cat", "is no host"),
        ("tx --ssh h --direct never a:1 -- cat", "leaves nothing to dial"),
        ("tx --ssh h a:b -- cat", "the port is not a number"),
        ("tx --ssh h -e ' -- cat", "a quote that is not closed"),
        ("tx --plain --output f h:1", "--output: goes with --ssh HOST only"),
        ("rx --plain --source x 5000", "--source: goes with --ssh HOST only"),
        ("rx --plain --lz4 5000", "--lz4: goes with --ssh HOST only"),
        ("tx --plain h:0", "port 0 cannot be dialled"),
        ("tx --plain --remote-path x h:1", "--ssh"),
    ] {
        assert!(complaint(line).contains(words), "{line}: {}", complaint(line));
    }
}
