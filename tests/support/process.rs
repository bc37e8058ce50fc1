//! The binary as a process of its own, and what the system says of it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use signal_hook::consts::{SIGCONT, SIGSTOP};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pinloop");

/// A running server, which does not outlive the test.
pub(crate) struct Running {
    child: Child,
    line: String,
}

impl Running {
    /// Starts it on a free port.
    pub(crate) fn start(arguments: &[&str]) -> Running {
        Running::from(Command::new(BINARY).args(arguments))
    }

    /// As [`start`](Self::start), with so many file descriptors and no more.
    pub(crate) fn start_within(files_max: u32, arguments: &[&str]) -> Running {
        let script = format!("ulimit -n {files_max}; exec \"$0\" \"$@\"");
        Running::from(Command::new("sh").args(["-c", &script, BINARY]).args(arguments))
    }

    /// As [`start`](Self::start), with what it says in a file.
    pub(crate) fn start_saying_to(stderr: File, arguments: &[&str]) -> Running {
        Running::from(Command::new(BINARY).args(arguments).stderr(stderr))
    }

    fn from(command: &mut Command) -> Running {
        command.args(["--addr", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("the line on start");
        Running { child, line }
    }

    /// The line on start.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    pub(crate) fn addr(&self) -> &str {
        let (_, rest) =
            self.line.split_once("pinloop listening on http://").expect("the line on start");
        rest.split_once(' ').expect("the address, then more").0
    }

    /// Connects, with a time limit on reads.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: i32) {
        let kill =
            Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Stops it in its tracks, threads and all.
    pub(crate) fn freeze(&self) {
        self.signal(SIGSTOP);
        while !self.stat().starts_with('T') {
            std::thread::yield_now();
        }
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        self.signal(SIGCONT);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// How many file descriptors it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("its descriptors").count()
    }

    /// What it has used of the CPU, in clock ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let fields = self.stat();
        let number = |at: usize| {
            fields.split(' ').nth(at).and_then(|field| field.parse::<u64>().ok()).expect("a number")
        };
        number(11) + number(12)
    }

    /// Memory that it has in use, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS")
    }

    /// The most memory that it had in use since [`forget_peak`](Self::forget_peak), in KiB.
    pub(crate) fn peak_rss_kib(&self) -> u64 {
        self.status_kib("VmHWM")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("the peak is reset");
    }

    /// What the system says of it, from its state on.
    fn stat(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("its state");
        // The second field, in parentheses, may have spaces.
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
