//! Servers as processes of their own, and what `/proc` reports about them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use signal_hook::consts::{SIGCONT, SIGSTOP};

use super::{connect_to, wait_until};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pinloop");

/// A free port on loopback.
const ANY_PORT: &str = "127.0.0.1:0";

/// A running server. Dropping it kills the process.
pub(crate) struct Running {
    child: Child,
    line: String,
}

impl Running {
    /// Starts the binary on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Running {
        Running::from(Command::new(BINARY).args(arguments).args(["--addr", ANY_PORT]))
    }

    /// Starts the binary with one thread that is not pinned.
    pub(crate) fn start_unpinned(arguments: &[&str]) -> Running {
        Running::start(&[&["--threads", "1", "--no-pin"], arguments].concat())
    }

    /// Starts the binary with at most `files_max` file descriptors.
    pub(crate) fn start_within(files_max: u32, arguments: &[&str]) -> Running {
        let script = format!("ulimit -n {files_max}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BINARY]).args(arguments).args(["--addr", ANY_PORT]);
        Running::from(&mut command)
    }

    /// Starts the binary as [`start_unpinned`](Self::start_unpinned) does, with a file as
    /// its stderr.
    pub(crate) fn start_with_stderr(stderr: File, arguments: &[&str]) -> Running {
        let mut command = Command::new(BINARY);
        command.args(["--threads", "1", "--no-pin", "--addr", ANY_PORT]).args(arguments);
        Running::from(command.stderr(stderr))
    }

    /// Starts one of the programs in `examples/` on a free port.
    pub(crate) fn start_example(name: &str) -> Running {
        Running::from(&mut example_command(name))
    }

    /// Does the same as [`start_example`](Self::start_example), with a given stderr.
    pub(crate) fn start_example_with_stderr(name: &str, stderr: Stdio) -> Running {
        Running::from(example_command(name).stderr(stderr))
    }

    /// Starts `command`, which prints the start line.
    pub(crate) fn from(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("its stdout");
        let mut running = Running { child, line: String::new() };
        BufReader::new(stdout).read_line(&mut running.line).expect("the start line");
        running
    }

    /// Starts the binary as [`start_unpinned`](Self::start_unpinned) does, with its access log
    /// on standard output, which nobody reads, and its start line in the file `stderr`.
    pub(crate) fn start_with_log_on_stdout(stderr: &Path, arguments: &[&str]) -> Running {
        let mut command = Command::new(BINARY);
        command.args(["--threads", "1", "--no-pin", "--addr", ANY_PORT, "--access-log", "-"]);
        command.args(arguments).stderr(File::create(stderr).expect("a file"));
        let child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut running = Running { child, line: String::new() };
        drop(running.child.stdout.take());
        wait_until("the start line is there", || {
            let text = fs::read_to_string(stderr).expect("the file");
            let line = text.lines().find(|line| line.contains("listening on"));
            running.line = line.unwrap_or_default().to_string();
            text.ends_with('\n') && !running.line.is_empty()
        });
        running
    }

    /// Takes the pipe from its standard error, which the command must have asked for.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("a pipe")
    }

    /// Returns the line that the server prints when it listens.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        let (_, rest) = self.line.split_once("listening on http://").expect("the start line");
        let addr = rest.split_whitespace().next().expect("an address");
        addr.parse().unwrap_or_else(|error| panic!("{error}: {addr}"))
    }

    /// Returns the address of the pages for operators.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        let (_, addr) = self.line.split_once("admin pages on http://").expect("such an address");
        addr.trim().parse().unwrap_or_else(|error| panic!("{error}: {addr}"))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect_to(self.addr())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: i32) {
        let kill =
            Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Stops all threads of the process until [`thaw`](Self::thaw).
    pub(crate) fn freeze(&self) {
        self.signal(SIGSTOP);
        while !self.stat().starts_with('T') {
            std::thread::yield_now();
        }
    }

    /// Resumes the process.
    pub(crate) fn thaw(&self) {
        self.signal(SIGCONT);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the process ends")
    }

    /// Returns the exit status of a process that must end. Panics if it does not end.
    pub(crate) fn wait_patiently(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().expect("the state of the process");
            status.is_some()
        });
        status.expect("an exit status")
    }

    /// Sends `signal` and expects exit status 0.
    pub(crate) fn end(mut self, signal: i32) {
        self.signal(signal);
        assert_eq!(self.wait().code(), Some(0), "the exit status after signal {signal}");
    }

    /// Returns the number of open file descriptors.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("its descriptors").count()
    }

    /// Returns the CPU time used so far, in clock ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let fields = self.stat();
        let number = |at: usize| {
            fields.split(' ').nth(at).and_then(|field| field.parse::<u64>().ok()).expect("a number")
        };
        number(11) + number(12)
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS")
    }

    /// Returns the highest resident memory since [`reset_peak`](Self::reset_peak), in KiB.
    pub(crate) fn peak_rss_kib(&self) -> u64 {
        self.status_kib("VmHWM")
    }

    pub(crate) fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("the peak is reset");
    }

    /// Returns the fields of `/proc/PID/stat` from the process state on.
    fn stat(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("its state");
        // The second field is a name in parentheses that may contain spaces.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        fields.to_string()
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("its status");
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok()).expect("a size")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs an example on a free port.
fn example_command(name: &str) -> Command {
    let path = example(name);
    assert!(
        path.exists(),
        "the example {name} is not built: there is no {}; run `cargo build --examples`",
        path.display()
    );
    let mut command = Command::new(path);
    command.arg(ANY_PORT);
    command
}

/// Returns the path of an example. Cargo builds examples into a folder beside that of the
/// test binaries.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test binary");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("examples").join(name)
}
