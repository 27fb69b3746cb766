//! Where a stream comes from and where it goes, as it is typed.
//!
//! Knows which of them cannot go together. Does not open anything.

use super::ssh::only_with_ssh;
use clap::{Args, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;
use viamillipede::config::{Input, Output};
use viamillipede::error::Error;

/// As a file: stdin, or stdout.
const STANDARD: &str = "-";

#[derive(Args)]
#[command(next_help_heading = "Source")]
pub(super) struct InputArgs {
    /// Read FILE instead of stdin
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Run CMD with `sh -c` once the ends have met, and transmit what it writes; unlike the end of
    /// stdin, the end of that counts only when CMD exits with 0, each part of a pipeline too where
    /// `sh` has pipefail
    #[arg(long, value_name = "CMD", conflicts_with = "input")]
    #[arg(value_hint = ValueHint::CommandString)]
    source: Option<OsString>,
}

#[derive(Args)]
#[command(next_help_heading = "Sink")]
pub(super) struct OutputArgs {
    /// Write FILE instead of stdout: as FILE.part, which is renamed when the stream is whole and
    /// removed when it is not; devices and FIFOs are written in place
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Let --output replace a FILE or FILE.part that is there, or write to a block device
    #[arg(long)]
    force: bool,
    /// Run COMMAND once the ends have met, and write to its stdin; its own stdout is ours. It must
    /// take all of the stream and exit with 0, and is killed before it could take a part for the
    /// whole
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

/// Where the stream comes from on the host that `rx --ssh` names.
#[derive(Args)]
#[command(next_help_heading = "Through ssh")]
pub(super) struct FarInputArgs {
    /// With --ssh: transmit FILE, on HOST
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// With --ssh: run CMD with `sh -c` on HOST and transmit what it writes; it counts only when CMD exits
    /// with 0
    #[arg(long, value_name = "CMD", conflicts_with = "input")]
    #[arg(value_hint = ValueHint::CommandString)]
    source: Option<OsString>,
}

/// Where the stream goes on the host that `tx --ssh` names.
#[derive(Args)]
#[command(next_help_heading = "Through ssh")]
pub(super) struct FarOutputArgs {
    /// With --ssh: write FILE, on HOST: as FILE.part, which is renamed when the stream is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With --ssh: let --output replace a FILE or FILE.part that is there, or write to a block device
    #[arg(long)]
    force: bool,
    /// With --ssh: run COMMAND on HOST and write to its stdin; its arguments arrive as they are, without
    /// any shell, and its stdout goes to stderr here
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl FarInputArgs {
    /// The same, as if they were of this end.
    pub(super) fn near(&self) -> InputArgs {
        InputArgs { input: self.input.clone(), source: self.source.clone() }
    }
}

impl FarOutputArgs {
    /// The same, as if they were of this end.
    pub(super) fn near(&self) -> OutputArgs {
        let FarOutputArgs { output, force, command } = self;
        OutputArgs { output: output.clone(), force: *force, command: command.clone() }
    }
}

impl InputArgs {
    pub(super) fn read(self) -> Result<Input, Error> {
        match (self.input, self.source) {
            (_, Some(source)) if source.is_empty() => {
                Err(Error::usage("--source", "an empty command writes nothing"))
            }
            (_, Some(source)) => Ok(Input::Source(source)),
            (Some(path), None) if path.as_os_str() != STANDARD => Ok(Input::File(path)),
            _ => Ok(Input::Stdin),
        }
    }
}

impl OutputArgs {
    pub(super) fn read(self) -> Result<Output, Error> {
        if self.command.first().is_some_and(|program| program.is_empty()) {
            return Err(no_command());
        }
        if self.force && self.output.is_none() {
            let hint = "--output names the file that may be replaced";
            return Err(Error::usage("--force", "there is no --output").with_hint(hint));
        }
        if let (Some(_), Some(command)) = (&self.output, self.command.first()) {
            let cause = format!("cannot go with a COMMAND ({})", command.display());
            return Err(Error::usage("--output", cause).with_hint("the stream goes to one of them"));
        }
        match self.output {
            Some(path) if path.as_os_str() != STANDARD => {
                Ok(Output::File { path, replaces: self.force })
            }
            Some(_) => Ok(Output::Stdout),
            None if self.command.is_empty() => Ok(Output::Stdout),
            None => Ok(Output::Command(self.command)),
        }
    }
}

/// Refuses a `--` with nothing behind it, of which clap says nothing: somebody meant a COMMAND, and the stream
/// would go elsewhere.
pub(super) fn refuse_no_command(arguments: &[OsString]) -> Result<(), Error> {
    match arguments.iter().position(|argument| argument == "--") {
        Some(dashes) if dashes + 1 == arguments.len() => Err(no_command()),
        _ => Ok(()),
    }
}

fn no_command() -> Error {
    let hint = "after -- there is none; in a script, see that its variable is set";
    Error::usage("COMMAND", "missing").with_hint(hint)
}

/// Nothing that is for the end where a stream comes from.
pub(super) fn no_input(input: &InputArgs) -> Result<(), Error> {
    let hint = "without --ssh it is for the transmitting end";
    match input {
        InputArgs { input: Some(_), .. } => Err(only_with_ssh("--input", hint)),
        InputArgs { source: Some(_), .. } => Err(only_with_ssh("--source", hint)),
        _ => Ok(()),
    }
}

/// Nothing that takes a stream, at the end where one comes from.
pub(super) fn no_output(output: &OutputArgs) -> Result<(), Error> {
    let hint = "without --ssh it is for the receiving end";
    match output {
        OutputArgs { output: Some(_), .. } => return Err(only_with_ssh("--output", hint)),
        OutputArgs { force: true, .. } => return Err(only_with_ssh("--force", hint)),
        _ => {}
    }
    let Some(first) = output.command.first() else { return Ok(()) };
    let cause = "a COMMAND is for the receiving end";
    let hint =
        "--source 'CMD' transmits what a program writes; --ssh HOST -- COMMAND runs one there";
    Err(Error::usage(first.to_string_lossy(), cause).with_hint(hint))
}
