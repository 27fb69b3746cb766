//! Push and pull as they are typed: `tx --ssh` and `rx --ssh`, and what goes with either.
//!
//! Knows which ends of the stream are here and which are there. Does not run ssh.

use super::ends::{InputArgs, OutputArgs};
use super::keys::Unkeyed;
use super::packing::{PackingArgs, packaging};
use super::shaping::ShapingArgs;
use super::{CommonArgs, ConnectionArgs, common};
use clap::{Args, ValueEnum, ValueHint};
use viamillipede::config::MIN_FOOT_BYTES;
use viamillipede::config::split_words;
use viamillipede::config::{
    self, Command, Dest, Direct, Input, Near, Output, Rendezvous, SshCommand, Task,
};
use viamillipede::error::Error;

const SSH: &str = "ssh";
const PROGRAM: &str = "viamillipede";

#[derive(Args)]
#[command(next_help_heading = "Through ssh")]
pub(super) struct SshArgs {
    /// Start the other end on HOST through ssh; DESTs are other addresses of HOST then, port 0 the
    /// one that it picks. What is not direct TCP goes through ssh; neither needs a key
    #[arg(long, value_name = "[USER@]HOST", value_hint = ValueHint::Hostname)]
    ssh: Option<String>,
    /// The ssh to use, with its arguments [default: ssh]
    #[arg(short = 'e', long, value_name = "CMD", value_parser = parse_command)]
    #[arg(value_hint = ValueHint::CommandString)]
    ssh_command: Option<Words>,
    /// viamillipede on HOST, as the shell there reads it [default: viamillipede]
    #[arg(long, value_name = "PROGRAM")]
    remote_path: Option<String>,
    /// Whether data goes over direct TCP connections; `auto` takes the ssh session where none comes up
    /// within 3 s [default: auto]
    #[arg(long, value_name = "WHEN")]
    direct: Option<When>,
}

/// The words of a command. (clap would read a `Vec` its own way.)
#[derive(Clone)]
struct Words(Vec<String>);

#[derive(Clone, Copy, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl SshArgs {
    /// Whether the other end is to be started.
    pub(super) fn is_asked(&self) -> bool {
        self.ssh.is_some()
    }

    /// Refuses what goes with `--ssh` only, where that was not said.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        let said = [
            ("--ssh-command", self.ssh_command.is_some()),
            ("--remote-path", self.remote_path.is_some()),
            ("--direct", self.direct.is_some()),
        ];
        refuse_said(&said, "without --ssh each end is started by hand")
    }

    fn command(&self) -> Result<SshCommand, Error> {
        let host = self.ssh.clone().unwrap_or_default();
        // ssh would take it for an option, which may run any command.
        if host.is_empty() || host.starts_with('-') {
            return Err(Error::usage("--ssh", format!("{host:?} is no host")));
        }
        let words = self.ssh_command.clone().map_or_else(|| vec![SSH.to_owned()], |words| words.0);
        let program = self.remote_path.clone().unwrap_or_else(|| PROGRAM.to_owned());
        Ok(SshCommand { words, host, program })
    }
}

impl From<When> for Direct {
    fn from(when: When) -> Direct {
        match when {
            When::Auto => Direct::Auto,
            When::Always => Direct::Always,
            When::Never => Direct::Never,
        }
    }
}

/// What `tx` and `rx` have in common where they start the other end.
pub(super) struct Pair<'a> {
    pub(super) ssh: SshArgs,
    pub(super) places: &'a [String],
    pub(super) connections: ConnectionArgs,
    pub(super) packing: PackingArgs,
    pub(super) common: CommonArgs,
}

/// `tx --ssh`: the stream comes from here, and `output` is there.
pub(super) fn push(
    pair: Pair<'_>,
    shaping: ShapingArgs,
    input: InputArgs,
    output: OutputArgs,
) -> Result<Unkeyed, Error> {
    let (input, output) = (input.read()?, output.read()?);
    if output == Output::Stdout {
        return Err(Error::usage("--ssh", "nothing says where the stream goes on HOST")
            .with_hint("say --output FILE or -- COMMAND; both are on HOST"));
    }
    // Which addresses there are is known later.
    let workers = Some(pair.connections.workers.unwrap_or_default().at_first());
    pair.settle(Task::Receive(output), |common, packaging, rendezvous| {
        let shaping = shaping.read(rendezvous.workers().max(workers))?;
        Ok(Near::Tx(config::Tx { common, input, packaging, shaping, rendezvous }))
    })
}

/// `rx --ssh`: the stream comes from `input` there.
pub(super) fn pull(
    pair: Pair<'_>,
    shaping: ShapingArgs,
    input: InputArgs,
    output: OutputArgs,
) -> Result<Unkeyed, Error> {
    let (input, output) = (input.read()?, output.read()?);
    if input == Input::Stdin {
        return Err(Error::usage("--ssh", "nothing says where the stream comes from on HOST")
            .with_hint("say --source CMD or --input FILE; both are on HOST"));
    }
    let workers = pair.connections.workers.unwrap_or_default().at_first();
    let task = Task::Send(input, packaging(&pair.packing), shaping.read_for_far_end(workers)?);
    pair.settle(task, |common, _, rendezvous| {
        Ok(Near::Rx(config::Rx { common, output, rendezvous }))
    })
}

impl Pair<'_> {
    fn settle(
        self,
        task: Task,
        near: impl FnOnce(config::Common, config::Packaging, Rendezvous) -> Result<Near, Error>,
    ) -> Result<Unkeyed, Error> {
        let Pair { ssh, places, connections, packing, common: args } = self;
        let dests = places.iter().map(|place| Dest::parse_unsettled(place));
        let dests = dests.collect::<Result<Vec<_>, _>>()?;
        let direct = ssh.direct.map_or(Direct::Auto, Direct::from);
        if let (Direct::Never, Some(dest)) = (direct, dests.first()) {
            let cause = "--direct never leaves nothing to dial";
            return Err(Error::usage(dest.to_string(), cause));
        }
        let command = ssh.command()?;
        let workers = connections.workers.unwrap_or_default();
        // Which addresses there are is known later; there is one at least, beside the way through ssh.
        let rendezvous = Rendezvous::dial(dests.clone(), workers)?;
        let total = rendezvous.workers().unwrap_or(0).max(workers.at_first()) + 1;
        let least_feet = config::min_window_feet(total);
        let packaging = packaging(&packing);
        let foot_bytes = match &task {
            Task::Receive(_) => packaging.foot_bytes,
            Task::Send(..) => MIN_FOOT_BYTES,
        };
        let window_asked = args.window;
        let key = args.key.source_of_both();
        let near = near(common(args, least_feet, foot_bytes)?, packaging, rendezvous)?;
        let ssh = config::Ssh { near, command, dests, workers, direct, window_asked, task };
        Ok(Unkeyed::new(Command::Ssh(Box::new(ssh)), key))
    }
}

/// Refuses the first option that was said, of those that go with `--ssh` only.
pub(super) fn refuse_said(options: &[(&str, bool)], hint: &str) -> Result<(), Error> {
    let said = options.iter().find(|(_, is_said)| *is_said);
    said.map_or(Ok(()), |(option, _)| Err(only_with_ssh(option, hint)))
}

/// What only goes with `--ssh`, where there is none.
pub(super) fn only_with_ssh(what: &str, hint: &str) -> Error {
    Error::usage(what, "goes with --ssh HOST only").with_hint(hint)
}

fn parse_command(text: &str) -> Result<Words, String> {
    let words = split_words(text).filter(|words| words.first().is_some_and(|it| !it.is_empty()));
    words.map(Words).ok_or_else(|| "no command, or a quote that is not closed".into())
}
