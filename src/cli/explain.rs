//! clap's errors in our shape: `what: cause`, and perhaps a hint.
//!
//! Knows what clap tells of an error, and whose an option is. Does not know what options mean.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use std::error::Error as _;
use std::ffi::OsString;
use viamillipede::error::Error;

/// The text to show if help or the version was asked for; otherwise what is wrong with the
/// arguments, as they were typed.
pub(super) fn explain(error: &clap::Error, typed: &[OsString]) -> Result<String, Error> {
    let told = |kind| told(error, kind);
    let argument = || told(ContextKind::InvalidArg).unwrap_or_else(|| "arguments".into());
    let value = || told(ContextKind::InvalidValue).unwrap_or_default();
    let usage = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Ok(error.to_string()),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Error::usage(
                "no command",
                "one of tx, rx, loop, keygen, prbs, report, completions and man is needed",
            )
        }
        ErrorKind::InvalidSubcommand => {
            let what = told(ContextKind::InvalidSubcommand).unwrap_or_default();
            Error::usage(
                what,
                "unknown command; there are tx, rx, loop, keygen, prbs, report, completions and man",
            )
        }
        ErrorKind::UnknownArgument if !argument().starts_with('-') => {
            let usage = told(ContextKind::Usage).unwrap_or_default();
            let usage = usage.lines().next().unwrap_or_default().replace("Usage: ", "");
            let surplus = Error::usage(argument(), "unknown here: one argument too many");
            return Err(surplus.with_hint(format!("what may be said is {usage}")));
        }
        ErrorKind::UnknownArgument => Error::usage(argument(), "unknown here"),
        ErrorKind::MissingRequiredArgument if plain_name(&argument()) == "SHELL" => {
            let names = Shell::value_variants().iter().map(ToString::to_string);
            let names = names.collect::<Vec<String>>().join(", ");
            return Err(Error::usage("SHELL", "missing").with_hint(format!("one of {names}")));
        }
        ErrorKind::MissingRequiredArgument => Error::usage(plain_name(&argument()), "missing"),
        ErrorKind::InvalidValue if value().is_empty() => {
            Error::usage(plain_name(&argument()), "a value is missing")
        }
        ErrorKind::InvalidValue => {
            let choices = told(ContextKind::ValidValue).unwrap_or_default();
            Error::usage(with_value(&argument(), &value()), format!("not one of {choices}"))
        }
        ErrorKind::ValueValidation => {
            let cause = error.source().map_or_else(|| "not valid".into(), ToString::to_string);
            let usage = Error::usage(with_value(&argument(), &value()), cause);
            return Err(match value_hint(&plain_name(&argument()), &value(), typed) {
                Some(hint) => usage.with_hint(hint),
                None => usage,
            });
        }
        ErrorKind::ArgumentConflict => {
            let (argument, prior) = (argument(), told(ContextKind::PriorArg).unwrap_or_default());
            let cause = if prior == argument || prior.is_empty() {
                "given twice".into()
            } else {
                format!("cannot go with {}", plain_name(&prior))
            };
            Error::usage(plain_name(&argument), cause)
        }
        ErrorKind::TooManyValues => Error::usage(plain_name(&argument()), "takes no such value"),
        ErrorKind::InvalidUtf8 => Error::usage("arguments", "not UTF-8"),
        // What is left is about clap's own workings; its first line says it.
        _ => Error::usage("arguments", error.to_string().lines().next().unwrap_or_default()),
    };
    Err(usage.with_hint(suggestion(error)))
}

/// `--zstd=<LEVEL>` and `<DEST>...` without the decoration.
fn plain_name(argument: &str) -> String {
    let bare = argument.split(['=', ' ', '[']).next().filter(|bare| !bare.is_empty());
    bare.unwrap_or(argument).trim_end_matches("...").trim_matches(['<', '>']).into()
}

fn with_value(argument: &str, value: &str) -> String {
    format!("{} {value}", plain_name(argument))
}

/// What was rather meant by a value that is not one of this option's.
fn value_hint(option: &str, value: &str, typed: &[OsString]) -> Option<String> {
    let is_number = !value.is_empty() && value.bytes().all(|c| c.is_ascii_digit());
    match option {
        // Where it belongs to the option as it is typed nothing else can be meant.
        "--zstd" if !typed.iter().any(|argument| argument == value) => None,
        "--zstd" => Some("a number after --zstd is its level; put another option between".into()),
        "--rate" if is_number => {
            Some(format!("without a unit it is in bytes: say {value}MB or {value}Mbit"))
        }
        "--patience" => {
            let said = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
            let a_unit = match &value[said.len()..] {
                "s" | "sec" => 1,
                "m" | "min" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return None,
            };
            // No time at all would be for ever.
            let number = said.parse::<u32>().ok().filter(|number| *number > 0)?;
            let seconds = number.checked_mul(a_unit)?;
            Some(format!("it is in seconds, without a unit: --patience {seconds}"))
        }
        _ => None,
    }
}

fn suggestion(error: &clap::Error) -> String {
    let typed = told(error, ContextKind::InvalidArg)
        .or_else(|| told(error, ContextKind::InvalidSubcommand))
        .unwrap_or_default();
    if ["--version", "-V", "version"].contains(&typed.as_str()) {
        return "viamillipede --version tells it".into();
    }
    let is_unknown = error.kind() == ErrorKind::UnknownArgument;
    if let Some(owners) = owners(&typed).filter(|_| is_unknown) {
        return format!("{typed} is for {owners}");
    }
    let similar = told(error, ContextKind::SuggestedArg)
        .or_else(|| told(error, ContextKind::SuggestedSubcommand))
        // Who mistypes a word begins it right; clap finds likenesses where there are none.
        .filter(|similar| initial(similar) == initial(&typed))
        .or_else(|| {
            let value = told(error, ContextKind::InvalidValue).unwrap_or_default();
            let similar = told(error, ContextKind::SuggestedValue);
            similar.filter(|similar| initial(similar) == initial(&value))
        });
    match similar {
        Some(similar) => format!("did you mean {similar}?"),
        None => "viamillipede --help lists the commands, COMMAND --help the options of each".into(),
    }
}

fn initial(word: &str) -> Option<char> {
    word.trim_start_matches('-').chars().next()
}

/// The commands that know an option which another one does not.
fn owners(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let line = super::Line::command();
    let owners = line.get_subcommands().filter(|command| {
        let mut options = command.get_arguments().filter_map(|argument| argument.get_long());
        !command.is_hide_set() && options.any(|known| known == long)
    });
    let names: Vec<&str> = owners.map(Command::get_name).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

fn told(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        ContextValue::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
