//! The recipes under `doc/recipes`: each command is run as it is written there.
//!
//! A recipe is Markdown. Its blocks marked `sender` and `receiver` are run side by side, the next pair after it; comments that begin
//! with `setup`, `check`, `needs` and `sshd` say what else there must be. The stage (`recipes/stage.sh`) is a
//! namespace, so these tests want root on Linux, and say so where there is none. Does not know what a recipe is about.

use crate::harness::{End, PROGRAM};
use std::env;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A piece of a recipe that is done.
#[derive(Debug, PartialEq)]
enum Step {
    /// Lines of the stage's own, to prepare or to check.
    Aside(String),
    /// What one types at this host.
    Typed { at_sender: bool, block: String },
}

/// A recipe as the stage needs it.
#[derive(Debug, Default)]
struct Recipe {
    needs: Vec<String>,
    steps: Vec<Step>,
}

impl Recipe {
    fn read(text: &str) -> Recipe {
        let mut recipe = Recipe::default();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut until = |end| {
                lines
                    .by_ref()
                    .take_while(|line| *line != end)
                    .fold(String::new(), |all, line| all + line + "\n")
            };
            match line {
                "```sh sender" | "```sh receiver" => {
                    let at_sender = line.ends_with("sender");
                    recipe.steps.push(Step::Typed { at_sender, block: until("```") });
                }
                "<!-- setup" | "<!-- check" => recipe.steps.push(Step::Aside(until("-->"))),
                "<!-- sshd -->" => recipe.steps.push(Step::Aside("serve_ssh\n".into())),
                _ => {
                    let needs = line
                        .strip_prefix("<!-- needs: ")
                        .and_then(|line| line.strip_suffix(" -->"));
                    recipe
                        .needs
                        .extend(needs.into_iter().flat_map(str::split_whitespace).map(Into::into));
                }
            }
        }
        recipe
    }

    /// The first program that it needs and that is not here.
    fn misses(&self) -> Option<&str> {
        let has = |program: &str| folders().any(|folder| folder.join(program).exists());
        self.needs.iter().map(String::as_str).find(|program| !has(program))
    }

    /// What the stage does; blocks go into `folder`.
    fn script(&self, folder: &Path) -> String {
        let mut script = String::new();
        for (number, step) in self.steps.iter().enumerate() {
            let (at_sender, block) = match step {
                Step::Aside(lines) => {
                    script += lines;
                    continue;
                }
                Step::Typed { at_sender, block } => (*at_sender, block),
            };
            let file = folder.join(format!("{number}.sh"));
            fs::write(&file, block).expect("a file");
            let waits = if at_sender {
                "\nif [[ -n ${receiver-} ]]; then wait $receiver; receiver=; fi"
            } else {
                " & receiver=$!"
            };
            writeln!(script, "bash {}{waits}", file.display())
                .expect("a String takes all that is written");
        }
        script
    }
}

/// Where programs are looked for: those of the system's keeper too, and where Debian has PostgreSQL's.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let servers = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let servers = servers.map(|version| version.path().join("bin"));
    folders.into_iter().chain(["/usr/sbin".into(), "/sbin".into()]).chain(servers)
}

/// Does all that a recipe says; nothing but a word where that cannot be.
fn cook(name: &str) {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("doc/recipes");
    let recipe = Recipe::read(&fs::read_to_string(recipes.join(name)).expect("a recipe"));
    assert!(recipe.steps.iter().any(|step| matches!(step, Step::Typed { .. })), "nothing is run");
    if fs::metadata("/proc/self").expect("Linux has it").uid() != 0 {
        return eprintln!("skipped: the stage of {name} needs root");
    }
    if let Some(program) = recipe.misses() {
        return eprintln!("skipped: {name} needs {program}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    fs::write(&script, recipe.script(folder.path())).expect("a file");
    let bin = Path::new(PROGRAM).parent().expect("it is in a folder").to_path_buf();
    let path = env::join_paths(std::iter::once(bin).chain(folders())).expect("no colons");
    let mut stage = Command::new("unshare");
    stage.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash"]);
    stage.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes/stage.sh"));
    stage.arg(folder.path()).arg(script).env("PATH", path);
    stage.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let code = End::run(stage).code();
    assert_eq!(code, 0, "{name}");
}

#[test]
fn blocks_and_comments_are_told_apart() {
    let text = "<!-- needs: tar zstd -->\n<!-- sshd -->\n```sh\nnot run\n```\n<!-- setup\na\nb\n-->\n```sh sender\nc\n```\n";
    let recipe = Recipe::read(text);
    assert_eq!(recipe.needs, ["tar", "zstd"]);
    let aside = |text: &str| Step::Aside(text.into());
    let typed = Step::Typed { at_sender: true, block: "c\n".into() };
    assert_eq!(recipe.steps, [aside("serve_ssh\n"), aside("a\nb\n"), typed]);
}

#[test]
fn tar() {
    cook("tar.md");
}

#[test]
fn disk() {
    cook("disk.md");
}

#[test]
fn two_networks() {
    cook("two-networks.md");
}

#[test]
fn ssh() {
    cook("ssh.md");
}

#[test]
fn postgresql() {
    cook("postgresql.md");
}

#[test]
fn nightly() {
    cook("nightly.md");
}
