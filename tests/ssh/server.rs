//! An sshd with its own keys on a free port of 127.0.0.1, an ssh that finds it, and what is to be seen of
//! what they start.
//!
//! Does not know what is sent through them.

use crate::harness::{End, PROGRAM, until_found};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
/// Somebody else may take a port between the choice of it and its use.
const TRIES: u32 = 5;

/// A machine called `far`, behind sshd.
pub struct Far {
    folder: TempDir,
    sshd: Child,
    port: u16,
    /// What ssh is told besides.
    options: &'static str,
}

impl Far {
    /// None, said aloud, where there is no sshd.
    pub fn start() -> Option<Far> {
        Far::saying("")
    }

    /// The same with these lines in its configuration.
    pub fn saying(lines: &str) -> Option<Far> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: there is no {SSHD}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        // Where sshd wants an empty folder that only root can write to.
        let _ = fs::create_dir_all("/run/sshd");
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at(name));
            assert!(keygen.status().expect("it comes with ssh").success());
        }
        fs::copy(at("user.pub"), at("authorized")).expect("a file");
        symlink(PROGRAM, at("viamillipede")).expect("a link");
        // Who has started ssh is known by its number.
        let script =
            format!("echo $$ >{0}/ssh.pid; exec ssh -F {0}/config \"$@\"\n", at("").display());
        fs::write(at("ssh"), script).expect("a file");
        let (sshd, port) = serve(folder.path(), lines);
        let far = Far { folder, sshd, port, options: "" };
        fs::write(far.at("config"), far.host("far", port)).expect("a file");
        Some(far)
    }

    /// A file there, which is here too.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn name(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// The same behind another sshd, with the same keys and these lines in its configuration.
    pub fn behind_another(mut self, lines: &str) -> (Far, Far) {
        let (sshd, port) = serve(self.folder.path(), lines);
        let empty = tempfile::tempdir().expect("a folder");
        let mut config = fs::read_to_string(self.at("config")).expect("a file");
        config += &self.host("between", port);
        fs::write(self.at("config"), config).expect("a file");
        self.options = "-J between";
        (self, Far { folder: empty, sshd, port, options: "" })
    }

    /// What ssh knows of a machine.
    fn host(&self, name: &str, port: u16) -> String {
        let at = self.folder.path().display();
        format!(
            "Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {at}/user\n \
             IdentitiesOnly yes\n UserKnownHostsFile {at}/known\n GlobalKnownHostsFile none\n \
             StrictHostKeyChecking accept-new\n LogLevel ERROR\n BatchMode yes\n"
        )
    }

    /// `viamillipede tx --ssh far` or `rx --ssh far` with these arguments and then `rest`, as it is.
    pub fn end(&self, line: &str, rest: &[&str]) -> End {
        End::run(self.command(line, rest))
    }

    /// The same, not yet started.
    pub fn command(&self, line: &str, rest: &[&str]) -> Command {
        self.command_through(line, "far", &self.name("viamillipede"), rest)
    }

    /// The same to this host, for this program there.
    pub fn command_through(&self, line: &str, host: &str, program: &str, rest: &[&str]) -> Command {
        let (role, line) = line.split_once(' ').unwrap_or((line, ""));
        let mut command = Command::new(PROGRAM);
        command.args([role, "--ssh", host, "--remote-path", program]);
        command.args(["-e", &format!("sh '{}' {}", self.name("ssh"), self.options)]);
        command.args(line.split_whitespace()).args(rest).env_remove("VIAMILLIPEDE_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What this command writes there.
    pub fn output_of(&self, command: &str) -> String {
        let mut ssh = Command::new("sh");
        ssh.args([&self.name("ssh"), "far", command]).stdin(Stdio::null());
        let output = ssh.output().expect("every system has a shell");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The number of the ssh that was started last.
    pub fn ssh_pid(&self) -> i32 {
        let number = fs::read_to_string(self.at("ssh.pid")).expect("ssh was started");
        number.trim().parse().expect("a number")
    }

    /// The processes that are there because of us, by their command lines, and the ssh that leads there.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let folder = self.name("");
        let mut found = processes();
        // The near end was called by its own name, and sshd is ours.
        found.retain(|(pid, line)| {
            !line.starts_with(PROGRAM)
                && !line.contains(SSHD)
                && (line.contains(&folder) || self.is_there(&environment(*pid)))
        });
        found
    }

    /// Whether a process with this environment is there: all that a session has started has its connection.
    pub fn is_there(&self, environment: &str) -> bool {
        let mut lines = environment.split_inclusive('\0');
        let connection = lines.find(|line| line.starts_with("SSH_CONNECTION="));
        connection.is_some_and(|line| line.ends_with(&format!(" {}\0", self.port)))
    }

    /// Waits until there are none.
    pub fn until_nothing_is_left(&self) {
        self.until_there_is_no("");
    }

    /// Waits until there are none with this in their command line.
    pub fn until_there_is_no(&self, what: &str) {
        let is_there = || self.processes().iter().any(|(_, line)| line.contains(what));
        until_found(
            || (!is_there()).then_some(()),
            || format!("left behind: {:?}", self.processes()),
        );
    }

    /// Waits until this file holds these bytes.
    pub fn until_there_is_in(&self, file: &str, bytes: &[u8]) {
        until_found(
            || fs::read(self.at(file)).ok().filter(|it| it == bytes),
            || format!("{file} is another"),
        );
    }

    /// Waits until there is a process of this kind there, and returns its number.
    pub fn until_there_is(&self, what: &str) -> i32 {
        until_found(
            || Some(self.processes().into_iter().find(|(_, line)| line.contains(what))?.0),
            || format!("there is no {what}: {:?}", self.processes()),
        )
    }
}

impl Far {
    /// Waits until there is a far end, and returns its number.
    pub fn until_there_is_one(&self) -> i32 {
        let line = format!("{} remote --stdio ", self.name("viamillipede"));
        until_found(
            || Some(self.processes().into_iter().find(|(_, found)| *found == line)?.0),
            || format!("there is no far end: {:?}", self.processes()),
        )
    }

    /// Waits until sshd serves nobody: what it has started is cut off from here.
    pub fn until_sshd_is_alone(&self) {
        let parent = self.sshd.id().to_string();
        let is_served =
            || processes().iter().any(|(pid, _)| parent_of(*pid).as_ref() == Some(&parent));
        until_found(|| (!is_served()).then_some(()), || "sshd serves somebody still".to_owned());
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// How many lines of what an end said are its own: the shell over there may have words too, of its start-up files.
pub fn own_lines(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("viamillipede: ")).count()
}

/// All command lines that can be seen, their words divided by spaces.
fn processes() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let line = |pid| Some((pid, fs::read(format!("/proc/{pid}/cmdline")).ok()?));
    let text =
        |(pid, line): (i32, Vec<u8>)| (pid, String::from_utf8_lossy(&line).replace('\0', " "));
    pids.filter_map(line).map(text).collect()
}

/// The number of who started a process.
fn parent_of(pid: i32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Some(parent.trim().to_owned())
}

/// The environment that a process was started with, as far as we may read it.
pub fn environment(pid: i32) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&environment).into()
}

/// Starts sshd; returns it once it listens.
fn serve(folder: &Path, lines: &str) -> (Child, u16) {
    let at = folder.display();
    for _ in 0..TRIES {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("there are free ports").port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile none\n\
             AuthorizedKeysFile {at}/authorized\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n{lines}\n"
        );
        let file = folder.join(format!("sshd.{port}"));
        fs::write(&file, config).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-e", "-f"]).arg(&file).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut sshd = sshd.spawn().expect("sshd starts");
        let mut said = BufReader::new(sshd.stderr.take().expect("it is a pipe")).lines();
        let is_up =
            said.by_ref().map_while(Result::ok).any(|line| line.contains("Server listening"));
        if is_up {
            // It shall not wait for who reads what it says.
            thread::spawn(move || said.for_each(drop));
            return (sshd, port);
        }
        let _ = sshd.wait();
    }
    panic!("sshd does not listen");
}
