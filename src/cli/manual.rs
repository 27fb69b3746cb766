//! Man pages and shell completions, made from the same source as `--help`.
//!
//! Does not know what the options are, nor where pages are kept.

use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::{self, Write};
use viamillipede::error::Error;

/// What a page is of, at its foot.
const SOURCE: &str = concat!("viamillipede ", env!("CARGO_PKG_VERSION"));

/// The completion script of `shell`, of all that is for people.
pub(super) fn completions(shell: Shell, line: &Command) -> String {
    // clap_complete offers hidden commands too.
    let shown = line.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let shown = shown.map(|command| command.mut_args(|argument| with_hint(shell, argument)));
    let mut line = Command::new("viamillipede")
        .version(env!("CARGO_PKG_VERSION"))
        .args(line.get_arguments().cloned())
        .subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut line, "viamillipede", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// An option that says what its value is: a file, or nothing that a shell could know, for which clap_complete would
/// offer files.
fn with_hint(shell: Shell, argument: Arg) -> Arg {
    if !argument.get_action().takes_values() || !argument.get_possible_values().is_empty() {
        return argument;
    }
    match argument.get_value_hint() {
        // Only of these does bash know that they may be folders, and have blanks in them.
        ValueHint::AnyPath => argument.value_hint(ValueHint::FilePath),
        ValueHint::Unknown => argument.value_hint(ValueHint::Other),
        // The other shells know hosts.
        ValueHint::Hostname if shell == Shell::Bash => argument.value_hint(ValueHint::Other),
        _ => argument,
    }
}

/// Each page of section 1 with the name of its file: of the program first, then of each command.
pub(super) fn pages(line: Command) -> Result<Vec<(String, String)>, Error> {
    // A page is about the program, not about one build of it, and is help itself.
    let mut line = line.long_version(None).disable_help_subcommand(true);
    line.build();
    let commands = line.get_subcommands().filter(|command| !command.is_hide_set());
    // clap calls a command by its whole line; the pages of git and others have a dash there.
    let named = commands.map(|command| (format!("viamillipede-{}", command.get_name()), command));
    let named = std::iter::once(("viamillipede".into(), &line)).chain(named);
    named.map(|(name, command)| Ok((format!("{name}.1"), page(name, command)?))).collect()
}

fn page(name: String, command: &Command) -> Result<String, Error> {
    let mut roff = options(name, command).map_err(|error| Error::io("the manual", error))?;
    // What comes after the options is laid out already, and would be filled like prose.
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        let text = text.to_string();
        for part in text.split("\n\n") {
            let (head, lines) = match part.strip_prefix("Exit codes: ") {
                Some(codes) => ("EXIT STATUS", codes),
                None => ("EXAMPLES", part.split_once('\n').map_or(part, |(_, lines)| lines)),
            };
            roff += &format!(".SH \"{head}\"\n.nf\n");
            roff.extend(lines.lines().map(as_it_is));
            roff += ".fi\n";
        }
    }
    Ok(roff)
}

/// A page from its title to the last option.
fn options(name: String, command: &Command) -> io::Result<String> {
    let title = name.to_uppercase();
    let page = Man::new(command.clone().display_name(name).mut_args(with_aliases));
    let (page, mut roff) = (page.title(title).section("1").source(SOURCE), Vec::new());
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    // clap_mangen's own leaves out what options take, and that arguments may be several.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    write!(roff, ".SH SYNOPSIS\n{}", as_it_is(usage))?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut roff)?;
    }
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

/// An option whose help names its other names, which clap_mangen does not.
fn with_aliases(option: Arg) -> Arg {
    let Some(aliases) = option.get_visible_aliases() else { return option };
    let names: Vec<String> = aliases.iter().map(|alias| format!("--{alias}")).collect();
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    option.help(format!("{help} [also: {}]", names.join(", ")))
}

/// A line of text that roff shows as it is.
fn as_it_is(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let guard = if escaped.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{escaped}\n")
}

#[cfg(test)]
mod tests {
    use super::super::Line;
    use super::*;
    use clap::{CommandFactory, ValueEnum};

    #[test]
    fn every_option_is_in_its_page_and_in_every_completion() {
        let mut line = Line::command().disable_help_subcommand(true);
        line.build();
        let pages = pages(Line::command()).expect("nothing is written");
        for command in line.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("viamillipede-{}.1", command.get_name());
            let (_, page) = pages.iter().find(|(page, _)| *page == name).expect(&name);
            let options = command.get_arguments();
            for long in options.flat_map(|option| option.get_long_and_visible_aliases()).flatten() {
                let escaped = long.replace('-', "\\-");
                assert!(page.contains(&format!("\\-\\-{escaped}")), "{name}: --{long}");
                for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                    let script = completions(shell, &Line::command());
                    assert!(script.contains(long), "{shell}: --{long} of {name}");
                }
            }
        }
    }

    #[test]
    fn a_page_begins_with_what_may_be_typed() {
        let pages = pages(Line::command()).expect("nothing is written");
        let (_, tx) = pages.iter().find(|(name, _)| name.ends_with("tx.1")).expect("a page of tx");
        let usage = "viamillipede tx [OPTIONS] [DEST]... [\\-\\- <COMMAND>...]";
        assert!(tx.contains(&format!(".SH SYNOPSIS\n{usage}\n")), "{tx}");
    }

    #[test]
    fn examples_are_shown_line_by_line() {
        let pages = pages(Line::command()).expect("nothing is written");
        for (name, page) in pages.iter().filter(|(name, _)| name.ends_with("tx.1")) {
            let (_, examples) = page.split_once(".SH \"EXAMPLES\"\n.nf\n").expect(name);
            let (examples, codes) = examples.split_once(".fi\n.SH \"EXIT STATUS\"\n").expect(name);
            assert!(examples.lines().count() > 3 && codes.ends_with(".fi\n"), "{examples}{codes}");
            let lines = examples.lines().chain(codes.lines());
            assert!(
                lines
                    .map(|line| line.replace("\\(aq", "'").replace('\\', ""))
                    .all(|line| line.len() < 74),
                "{page}"
            );
        }
        assert_eq!(as_it_is(".a 'b' \\ --c"), "\\&.a \\(aqb\\(aq \\e \\-\\-c\n");
    }

    #[test]
    fn what_is_not_for_people_is_in_no_page() {
        let pages = pages(Line::command()).expect("nothing is written");
        assert_eq!(pages[0].0, "viamillipede.1");
        assert!(pages.iter().all(|(_, page)| !page.contains("\\-help(1)")));
        for shell in Shell::value_variants() {
            let script = completions(*shell, &Line::command()).replace("remote-path", "");
            assert!(!script.contains("remote") && !script.contains("stdio"), "{shell}: {script}");
            let commands = ["tx", "rx", "keygen", "man", "version"];
            assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
        }
        assert!(
            pages.iter().all(|(name, page)| !name.contains("remote") && !page.contains("stdio"))
        );
    }
}
