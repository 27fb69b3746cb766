//! `--zstd LEVEL`, whose LEVEL may be left out.
//!
//! Does not know which levels there are, nor any other option but those that may stand before `z`.

use std::ffi::OsString;

/// Makes `--zstd LEVEL` one argument where the next argument is an integer, since clap would take
/// any next argument (`tx --zstd host:1`), or none.
pub(super) fn join_levels(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined = Vec::new();
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            joined.push(argument);
            break;
        }
        let text = argument.to_str().unwrap_or_default();
        let flags = short_flags_before_zstd(text);
        let level = rest.peek().and_then(|next| next.to_str()).filter(|next| is_integer(next));
        match (flags, level, text.strip_prefix("-z")) {
            (Some(flags), Some(level), _) => {
                joined.extend((!flags.is_empty()).then(|| format!("-{flags}").into()));
                joined.push(format!("--zstd={level}").into());
                rest.next();
            }
            (_, _, Some(level)) if is_integer(level) => {
                joined.push(format!("--zstd={level}").into());
            }
            _ => joined.push(argument),
        }
    }
    joined.extend(rest);
    joined
}

/// For `--zstd`, `-z` and `-vz`: the flags that are before the `z`.
fn short_flags_before_zstd(argument: &str) -> Option<&str> {
    if argument == "--zstd" {
        return Some("");
    }
    let flags = argument.strip_prefix('-')?.strip_suffix('z')?;
    flags.bytes().all(|flag| b"qv".contains(&flag)).then_some(flags)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
}
