//! parse → run → one error line → exit code.

mod cli;

use cli::Request;
use std::fs;
use std::panic;
use std::path::Path;
use std::process;
use std::time::Duration;
use viamillipede::config::Output;
use viamillipede::error::{Error, one_line};
use viamillipede::key::{self, Key};
use viamillipede::{Say, guardian, report, run, sink};

/// How long the last words may take on a stderr that blocks.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn main() {
    if guardian::was_asked(std::env::args_os()) {
        return;
    }
    let say = Say::start();
    abort_on_defect(say.clone());
    let outcome = cli::parse(std::env::args_os()).and_then(|request| match request {
        Request::Show(text) => show(&text).map(|()| 0),
        Request::Prbs { check: false, stream } => {
            sink::open(&Output::Stdout).and_then(|sink| stream.make(sink)).map(|()| 0)
        }
        Request::Prbs { check: true, stream } => stream.check_stdin().map(|bytes| {
            say.always(&format!("viamillipede: prbs: {bytes} bytes are right"));
            0
        }),
        Request::Report { stats, html } => report::write(&stats, html.as_deref()).map(|others| {
            others.iter().for_each(|line| say.always(&format!("viamillipede: {}", one_line(line))));
            0
        }),
        Request::Man(pages, dir) => man(&pages, dir.as_deref()).map(|()| 0),
        Request::Keygen(file) => keygen(file.as_deref()).map(|()| 0),
        Request::Remote => run::far_end(&say),
        Request::Run(wanted) => {
            wanted.find_key().and_then(|(command, key)| run::carry(&command, &key, &say)).map(|_| 0)
        }
    });
    let code = match &outcome {
        Ok(code) => *code,
        Err(error) => error.exit_code(),
    };
    say.settle(code);
    if let Err(error) = outcome {
        say.always(&error.report());
    }
    say.flush(LAST_WORDS);
    // Threads may be stuck in the kernel, so none is waited for.
    process::exit(code.into());
}

/// Makes a key.
fn keygen(path: Option<&Path>) -> Result<(), Error> {
    let key = Key::generate()?;
    match path {
        Some(path) => key::file::create(path, &key),
        None => show(&key::file::line(&key)),
    }
}

/// Writes the pages of the manual into a folder, or the first one to stdout.
fn man(pages: &[(String, String)], dir: Option<&Path>) -> Result<(), Error> {
    let Some(dir) = dir else { return show(&pages[0].1) };
    for (name, page) in pages {
        let path = dir.join(name);
        fs::write(&path, page).map_err(|error| Error::making("", &path, error))?;
    }
    Ok(())
}

/// Writes help, the version, a page or a key to stdout, the only things that are not the stream.
fn show(text: &str) -> Result<(), Error> {
    let mut stdout = sink::open(&Output::Stdout)?;
    stdout.write_all(text.as_bytes())?;
    stdout.close()
}

/// A panic on any thread is a defect: it ends the process at once, and is told in the shape of an
/// error.
fn abort_on_defect(say: Say) {
    panic::set_hook(Box::new(move |defect| {
        say.always(&format!("viamillipede: defect: {}", one_line(&defect.to_string())));
        say.always("hint: this should not happen, whatever the input; please report it");
        say.flush(LAST_WORDS);
        process::abort();
    }));
}
