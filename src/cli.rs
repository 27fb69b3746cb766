//! The command line: what may be typed, and the [`Command`] that it means.
//!
//! Knows clap, and how to tell its errors in one line. Does not know what a command does, nor the
//! limits of the settings ([`viamillipede::config`]).

mod ends;
mod explain;
mod keys;
mod levels;
mod manual;
mod packing;
mod prbs;
mod report;
mod shaping;
mod ssh;
mod values;

pub use keys::Unkeyed;

use clap::{
    Arg, ArgAction, Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint,
};
use clap_complete::Shell;
use ends::{FarInputArgs, FarOutputArgs, InputArgs, OutputArgs};
use keys::{KeyArgs, refuse_keys};
use levels::join_levels;
use packing::{PACKING, PackingArgs, packaging};
use prbs::PrbsArgs;
use report::ReportArgs;
use shaping::ShapingArgs;
use ssh::SshArgs;
use std::ffi::OsString;
use std::path::PathBuf;
use values::{Patience, parse_name, parse_patience};
use viamillipede::config::bytes::parse_bytes;
use viamillipede::config::min_window_feet;
use viamillipede::config::{self, Command, Common, Dest, Listen, MIN_FOOT_BYTES, Rendezvous};
use viamillipede::config::{ProgressMode, Records, Verbosity, Workers};
use viamillipede::error::Error;
use viamillipede::prbs::Prbs;
use viamillipede::version;

/// What the arguments ask for.
#[derive(Debug)]
pub enum Request {
    /// A run.
    Run(Box<Unkeyed>),
    /// A new key into this new file, or to stdout.
    Keygen(Option<PathBuf>),
    /// A pseudo-random stream, made or verified.
    Prbs {
        /// Verify stdin instead of writing to stdout.
        check: bool,
        /// Which.
        stream: Prbs,
    },
    /// Pictures of the run that these lines of `--stats` tell of, into a file or to stdout.
    Report {
        /// The lines.
        stats: PathBuf,
        /// The page.
        html: Option<PathBuf>,
    },
    /// The far end, which a near end elsewhere has started through ssh.
    Remote,
    /// This text on stdout: help, the version, or a completion script.
    Show(String),
    /// Pages of the manual, by name: into this folder, or the first one to stdout.
    Man(Vec<(String, String)>, Option<PathBuf>),
}

/// Reads the arguments of the process, its own name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Error> {
    let typed = ask_once(arguments);
    refuse_keys(&typed)?;
    let line = match Line::try_parse_from(join_levels(typed.iter().cloned())) {
        Ok(line) => line,
        Err(error) => return explain::explain(&error, &typed).map(Request::Show),
    };
    if line.command.takes_program() {
        ends::refuse_no_command(&typed)?;
    }
    let run = |run| Request::Run(Box::new(run));
    match line.command {
        Sub::Tx(args) => tx(args).map(run),
        Sub::Rx(args) => rx(args).map(run),
        Sub::Loop(args) => both(args).map(run),
        Sub::Keygen(args) => Ok(Request::Keygen(args.file)),
        Sub::Prbs(args) => Ok(args.request()),
        Sub::Report(args) => Ok(args.request()),
        Sub::Completions { shell } => {
            Ok(Request::Show(manual::completions(shell, &Line::command())))
        }
        Sub::Man { dir } => Ok(Request::Man(manual::pages(Line::command())?, dir)),
        Sub::Remote { stdio: _ } => Ok(Request::Remote),
    }
}

/// `help --help` is help, as `help` is (clap has it for a command called `--help`).
fn ask_once(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|command| command == "help") {
        arguments.retain(|argument| argument != "--help" && argument != "-h");
    }
    arguments
}

// With the margin of a man page no line is longer than a terminal of 80 columns is wide.
const EXAMPLES: &str = "\
Examples:
  Receive, waiting on port 7000 (it prints a key), and transmit to it:
    viamillipede rx 7000 > copy
    VIAMILLIPEDE_KEY=vmkey1_... viamillipede tx host:7000 < original
  With a key that is kept at both hosts:
    viamillipede keygen ~/backup.key
    zfs send pool/fs@now |
      viamillipede tx --key-file ~/backup.key --zstd host:7000
  Over two networks, the first one preferred:
    viamillipede tx 10.0.0.2:7000 10.1.0.2:7000,bind=wlan0 < original
  Receive from one that waits with `tx --listen`:
    viamillipede rx --connect host:7000 > copy
  From program to program, so that a part is never taken for the whole:
    viamillipede rx 7000 -- zfs receive pool/copy
    viamillipede tx host:7000 --source 'zfs send pool/fs@now'
  Push and pull; ssh starts the other end:
    zfs send pool/fs@now |
      viamillipede tx --ssh backup@host -- zfs receive pool/copy
    viamillipede rx --ssh host --source 'zfs send pool@now' -o now.zfs

Exit codes: 0 delivered, 1 failed, 2 usage, 3 refused, 4 peer lost,
5 corrupt, 6 command failed, 7 busy, 128+N ended by signal N.";

/// Carries one pipe from a host to another over several TCP connections, whole or not at all
#[derive(Parser)]
#[command(name = "viamillipede", version, long_version = version::long())]
#[command(color = ColorChoice::Never, after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Transmit stdin, a file or what a program writes
    #[command(after_help = EXAMPLES)]
    Tx(TxArgs),
    /// Receive a stream into stdout, a file or a program
    #[command(after_help = EXAMPLES, mut_args(of_the_far_end))]
    Rx(RxArgs),
    /// Both ends in this process over 127.0.0.1
    #[command(mut_args(of_one_process))]
    Loop(LoopArgs),
    /// Make a key for both ends
    Keygen(KeygenArgs),
    /// Make a pseudo-random stream, or verify one: to try a way before something depends on it
    Prbs(PrbsArgs),
    /// Draw a run as a page of pictures, from its --stats file: rates by link, what held it up, lost connections
    #[command(after_help = report::EXAMPLE)]
    Report(ReportArgs),
    /// Print a completion script: source it from the shell's start-up file
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual's first page, or write all its pages into a folder
    Man {
        /// An existing folder, such as ~/.local/share/man/man1
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// The far end of --ssh
    #[command(hide = true)]
    Remote {
        #[arg(long, required = true)]
        stdio: bool,
    },
}

impl Sub {
    /// Whether what is behind `--` is run by one of the ends.
    fn takes_program(&self) -> bool {
        match self {
            Sub::Tx(args) => args.ssh.is_asked(),
            sub => matches!(sub, Sub::Rx(_) | Sub::Loop(_)),
        }
    }
}

#[derive(Args)]
struct TxArgs {
    /// Where the receiver waits: HOST:PORT or [V6]:PORT, perhaps with ,bind=ADDR or ,bind=IFACE
    /// (local address or interface) and ,workers=N; several are several ways to the same receiver,
    /// the preferred first. With --listen: PORT, HOST:PORT or [V6%SCOPE]:PORT
    #[arg(required_unless_present = "ssh", value_name = "DEST")]
    places: Vec<String>,
    /// Wait for the receiver instead of dialling it
    #[arg(long, help_heading = CONNECTIONS, conflicts_with = "ssh")]
    listen: bool,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: FarOutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
    #[command(flatten)]
    packing: PackingArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct RxArgs {
    /// Where to wait for the transmitter: PORT, HOST:PORT or [V6%SCOPE]:PORT; port 0 picks a free
    /// one. With --connect: HOST:PORT or [V6]:PORT, perhaps with ,bind=ADDR or ,bind=IFACE and
    /// ,workers=N
    #[arg(required_unless_present = "ssh", value_name = "LISTEN")]
    places: Vec<String>,
    /// Dial the transmitter instead of waiting for it
    #[arg(long, help_heading = CONNECTIONS, conflicts_with = "ssh")]
    connect: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    input: FarInputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
    #[command(flatten)]
    packing: PackingArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct LoopArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connections: ConnectionArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
    #[command(flatten)]
    packing: PackingArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct KeygenArgs {
    /// A new file, which only its owner can read; stdout if there is none
    file: Option<PathBuf>,
}

const CONNECTIONS: &str = "Connections";

/// What `rx` has of packing and of rates is for the transmitter that it starts.
fn of_the_far_end(argument: Arg) -> Arg {
    match (argument.get_help_heading(), argument.get_id().as_str()) {
        (Some(PACKING), _) | (_, "rate" | "congestion") => {
            argument.help_heading("Of the transmitter, with --ssh")
        }
        _ => argument,
    }
}

/// What `loop` has for the sake of scripts that try a line with it: it needs no word between its ends.
fn of_one_process(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "key_file" => argument
            .help("Take the key in FILE; without it `loop` makes one, which nobody has to know"),
        "plain" => argument.help("Neither encryption nor authentication between the two ends"),
        "name" => argument.help("A label for the stream, which --stats and --metrics repeat"),
        _ => argument,
    }
}

#[derive(Args)]
#[command(next_help_heading = CONNECTIONS)]
struct ConnectionArgs {
    /// TCP connections over all DESTs together, at least one each; only where this end dials. `auto`
    /// begins with 4, adds some while that brings throughput, up to 64, and drops what brings none; a
    /// DEST with ,workers=N keeps its N
    /// [default: 4]
    #[arg(long, value_name = "N|auto", value_parser = Workers::parse)]
    workers: Option<Workers>,
}

#[derive(Args)]
#[command(next_help_heading = "Both ends")]
struct CommonArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Hash the whole stream at both ends, compare, and print the digest; each foot is always
    /// checked
    #[arg(long)]
    verify: bool,
    /// Must be the same at both ends, so that a stream cannot land in the wrong receiver
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    #[arg(value_parser = parse_name)]
    name: String,
    /// Most stream bytes held in memory at once [default: 256MiB, or 1/8 of memory if less]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    window: Option<u64>,
    /// How long to go on without progress; 0 is for ever [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = parse_patience)]
    patience: Option<Patience>,
    /// Show progress on stderr; `auto` only on a terminal, if the stream itself is on none; `always` off a
    /// terminal is one line every 10 s
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    progress: When,
    /// Append the figures to FILE, a line of JSON a second and one at the end; - is stderr
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
    /// Write the same to FILE for Prometheus, in its place every 5 s and at the end
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Say nothing but errors and what was asked for
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more: each connection too; twice for how each comes about and goes
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

fn tx(args: TxArgs) -> Result<Unkeyed, Error> {
    let output = args.output.near();
    if args.ssh.is_asked() {
        let TxArgs { input, ssh, places, connections, shaping, packing, common, .. } = args;
        let pair = ssh::Pair { ssh, places: &places, connections, packing, common };
        return ssh::push(pair, shaping, input, output);
    }
    args.ssh.refuse()?;
    ends::no_output(&output)?;
    let input = args.input.read()?;
    let rendezvous = rendezvous(&args.places, !args.listen, args.connections.workers)?;
    let packaging = packaging(&args.packing);
    let shaping = args.shaping.read(rendezvous.workers())?;
    let key = args.common.key.source(args.listen);
    let common = common(args.common, rendezvous.least_feet(), packaging.foot_bytes)?;
    let settings = config::Tx { common, input, packaging, shaping, rendezvous };
    Ok(Unkeyed::new(Command::Tx(settings), key))
}

fn rx(args: RxArgs) -> Result<Unkeyed, Error> {
    let input = args.input.near();
    if args.ssh.is_asked() {
        let RxArgs { output, ssh, places, connections, shaping, packing, common, .. } = args;
        let pair = ssh::Pair { ssh, places: &places, connections, packing, common };
        return ssh::pull(pair, shaping, input, output);
    }
    args.ssh.refuse()?;
    ends::no_input(&input)?;
    args.packing.refuse()?;
    args.shaping.refuse()?;
    let output = args.output.read()?;
    let rendezvous = rendezvous(&args.places, args.connect, args.connections.workers)?;
    let key = args.common.key.source(!args.connect);
    // The size of a foot is the sender's to ask for; all that is certain is that it can be the
    // smallest.
    let common = common(args.common, rendezvous.least_feet(), MIN_FOOT_BYTES)?;
    Ok(Unkeyed::new(Command::Rx(config::Rx { common, output, rendezvous }), key))
}

fn both(args: LoopArgs) -> Result<Unkeyed, Error> {
    let (input, output) = (args.input.read()?, args.output.read()?);
    let workers = args.connections.workers.unwrap_or_default();
    let packaging = packaging(&args.packing);
    let shaping = args.shaping.read(Some(workers.at_first()))?;
    let least_feet = min_window_feet(workers.at_first());
    let key = args.common.key.source_of_both();
    let common = common(args.common, least_feet, packaging.foot_bytes)?;
    let settings = config::Loop { common, input, output, packaging, shaping, workers };
    Ok(Unkeyed::new(Command::Loop(settings), key))
}

fn rendezvous(
    places: &[String],
    dials: bool,
    workers: Option<Workers>,
) -> Result<Rendezvous, Error> {
    if dials {
        let dests = places.iter().map(|place| Dest::parse(place)).collect::<Result<_, _>>()?;
        return Rendezvous::dial(dests, workers.unwrap_or_default());
    }
    let listens = places.iter().map(|place| Listen::parse(place)).collect::<Result<_, _>>()?;
    match workers {
        None => Ok(Rendezvous::Listen(listens)),
        Some(_) => Err(Error::usage("--workers", "this end waits for connections")
            .with_hint("say --workers at the end that dials")),
    }
}

fn common(args: CommonArgs, least_feet: u64, foot_bytes: u32) -> Result<Common, Error> {
    Ok(Common {
        window_bytes: config::window_bytes(args.window, least_feet, foot_bytes)?,
        verify: args.verify,
        // Until the key is found; nobody gets at it before (`Unkeyed`).
        security: config::Security::Plain,
        name: args.name,
        patience: args.patience.map_or(Some(config::DEFAULT_PATIENCE), |asked| asked.0),
        progress: match args.progress {
            When::Auto => ProgressMode::Auto,
            When::Always => ProgressMode::Always,
            When::Never => ProgressMode::Never,
        },
        verbosity: match (args.quiet, args.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, 2..) => Verbosity::VeryVerbose,
        },
        records: Records { stats: args.stats, metrics: args.metrics },
    })
}

#[cfg(test)]
mod tests;
