//! A server as a process: started, known to be ready, and surely ended.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Pid, Signal, WaitOptions, getppid, kill_process, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, waitpid,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::rig::machine_time::MachineTime;
use crate::rig::meter::{Observed, Watched};
use crate::rig::pipe::readable_within;
pub use crate::rig::process_error::{ProcessError, READY};
use crate::rig::usage::{self, Stat, Usage};

/// Number of looks at a server after its last answer, until its usage is read even if it
/// does not sleep.
const SETTLE_CHECKS: u32 = 50;

/// Between two looks at whether it sleeps.
const SETTLE: Duration = Duration::from_micros(200);

/// Number of bytes that are quoted from the end of a failed server's stderr.
const QUOTED_BYTES_MAX: usize = 2048;

/// In the arguments of a command, stands for the port that it is to listen on.
pub const PORT: &str = "{port}";

/// Likewise for the IP address.
pub const LISTEN: &str = "{listen}";

/// Likewise for the id of the process that starts it, with which it is to end.
pub const PARENT: &str = "{parent}";

/// Name of the environment variable that marks the descendants of a server.
const MARK: &str = "PINLOOP_BENCH_SERVER";

/// Number of servers that this process has started.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Between two tries to connect to a server that doesn't say when it is ready.
const KNOCK_EVERY: Duration = Duration::from_millis(10);

/// Sign that a server is ready.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Readiness {
    /// It prints [`READY`] and its address to stdout.
    Announced,
    /// It accepts connections on the port that its command is given in place of [`PORT`].
    Accepting,
}

/// A running server. Dropping it kills it, with whatever it has started, and waits
/// for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Kept open so that the server can go on printing; of a server that announces
    /// nothing it goes nowhere.
    stdout: Option<ChildStdout>,
    stderr: File,
    address: SocketAddr,
    /// Value of [`MARK`] in its environment.
    mark: String,
    /// Descendants that have lost their parents: this process is their parent now.
    adopted: Vec<u32>,
    /// CPU time of adopted processes that have ended.
    waited_for: Duration,
}

impl Process {
    /// Starts `command` on `cores` and waits until it is ready. It is to listen on `listen`.
    ///
    /// It is in a process group of its own, so that an interrupt from the
    /// terminal reaches only this process, which then ends it in order.
    pub fn start(
        command: &Command,
        cores: &[usize],
        listen: IpAddr,
        readiness: Readiness,
        patience: Duration,
    ) -> Result<Self, ProcessError> {
        match readiness {
            Readiness::Announced => {
                let mut command = with_address(command, SocketAddr::new(listen, 0));
                let mut process = Self::spawn(&mut command, cores, Stdio::piped())?;
                process.address = process.announced_address(patience)?;
                Ok(process)
            }
            Readiness::Accepting => {
                let address = free_address(listen)?;
                let mut command = with_address(command, address);
                let mut process = Self::spawn(&mut command, cores, Stdio::null())?;
                process.address = address;
                process.knock(patience)?;
                Ok(process)
            }
        }
    }

    fn spawn(command: &mut Command, cores: &[usize], stdout: Stdio) -> Result<Self, ProcessError> {
        // stderr goes to memory: a pipe that nobody reads would fill and block.
        let stderr = File::from(memfd_create("stderr", MemfdFlags::CLOEXEC)?);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr.try_clone()?);
        command.process_group(0);
        // A daemon leaves the group, and its parent ends. It becomes our child then.
        set_child_subreaper(Pid::from_raw(std::process::id() as i32))?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{MARK}={}-{number}", std::process::id());
        command.env(MARK, &mark[MARK.len() + 1..]);
        let mut child = spawn_on(command, cores)?;
        let stdout = child.stdout.take();
        Ok(Self {
            child,
            stdout,
            stderr,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            mark,
            adopted: Vec::new(),
            waited_for: Duration::ZERO,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads what it and all its descendants have used.
    pub fn usage(&mut self) -> io::Result<Usage> {
        self.adopt();
        Usage::of_tree(&self.roots(), self.waited_for)
    }

    /// Reports whether no thread of it or of its descendants runs.
    pub fn sleeps(&mut self) -> io::Result<bool> {
        self.adopt();
        usage::sleep(&usage::tree(&self.roots()))
    }

    /// Returns all threads of it and of its descendants, ascending.
    pub fn threads(&mut self) -> Vec<u32> {
        self.adopt();
        let processes = usage::tree(&self.roots());
        let mut threads: Vec<u32> = processes.into_iter().flat_map(usage::threads).collect();
        threads.sort_unstable();
        threads
    }

    fn roots(&self) -> Vec<u32> {
        [self.id()].iter().chain(&self.adopted).copied().collect()
    }

    /// Finds descendants that have become children of this process, and waits for those
    /// that have ended.
    fn adopt(&mut self) {
        for id in usage::children(std::process::id()) {
            let is_known = id == self.id() || self.adopted.contains(&id);
            if !is_known && self.is_descendant(id) {
                self.adopted.push(id);
            }
        }
        let adopted = std::mem::take(&mut self.adopted);
        self.adopted = adopted.into_iter().filter(|&id| !self.has_ended(id)).collect();
    }

    /// A zombie has no environment any more, but still its group.
    fn is_descendant(&self, id: u32) -> bool {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == self.mark.as_bytes())
            || Stat::of(id).is_ok_and(|stat| stat.group == self.id())
    }

    fn has_ended(&mut self, id: u32) -> bool {
        if !Stat::of(id).is_ok_and(|stat| stat.state == 'Z') {
            return false;
        }
        self.waited_for += usage::of_the_ended(id).unwrap_or_default();
        wait_for(id);
        true
    }

    /// Waits until it sleeps, or for 10 ms: the kernel has booked all of its time then.
    pub fn fall_asleep(&mut self) -> io::Result<()> {
        for _ in 0..SETTLE_CHECKS {
            thread::sleep(SETTLE);
            if self.sleeps()? {
                break;
            }
        }
        Ok(())
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait()? {
            Some(status) => Err(ProcessError::Ended(status, self.stderr_end())),
            None => Ok(()),
        }
    }

    /// Asks it to end, as an operator would, and waits until it has, and whatever
    /// else holds its stdout. Returns what it has printed since it was ready.
    pub fn finish(mut self, patience: Duration) -> Result<String, ProcessError> {
        self.check()?;
        let deadline = Instant::now() + patience;
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let mut printed = Vec::new();
        // One that was knocked at has no stdout of ours.
        while let Some(stdout) = &mut self.stdout {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !readable_within(stdout, left)? {
                return Err(ProcessError::Stays(patience, self.stderr_end()));
            }
            let mut chunk = [0; 1024];
            match stdout.read(&mut chunk)? {
                0 => break,
                read => printed.extend_from_slice(&chunk[..read]),
            }
        }
        self.child.wait()?;
        // A tracer that has lost its parent still writes its file.
        self.adopt();
        while !self.adopted.is_empty() && Instant::now() < deadline {
            thread::sleep(KNOCK_EVERY);
            self.adopt();
        }
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    fn announced_address(&mut self, patience: Duration) -> Result<SocketAddr, ProcessError> {
        let deadline = Instant::now() + patience;
        let mut printed = Vec::new();
        let Some(mut stdout) = self.stdout.take() else {
            unreachable!("stdout was asked to be a pipe")
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !readable_within(&stdout, left)? {
                return Err(ProcessError::Silent(patience, self.stderr_end()));
            }
            let mut chunk = [0; 1024];
            let read = stdout.read(&mut chunk)?;
            if read == 0 {
                let status = self.child.wait()?;
                return Err(ProcessError::Ended(status, self.stderr_end()));
            }
            printed.extend_from_slice(&chunk[..read]);
            if let Some(address) = address_in(&printed) {
                self.stdout = Some(stdout);
                return Ok(address);
            }
        }
    }

    /// Connects until the server accepts.
    fn knock(&mut self, patience: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + patience;
        while TcpStream::connect(self.address).is_err() {
            self.check()?;
            if Instant::now() >= deadline {
                return Err(ProcessError::Deaf(self.address, patience, self.stderr_end()));
            }
            thread::sleep(KNOCK_EVERY);
        }
        Ok(())
    }

    fn stderr_end(&self) -> String {
        end_of(&self.stderr)
    }
}

impl Watched for Process {
    fn observe(&mut self, cores: &[usize], settle: bool) -> io::Result<Observed> {
        // The walk through /proc is this process's work and not the server's, so that the machine is
        // read on the server's side of it.
        let after_load = settle.then(MachineTime::now).transpose()?;
        if settle {
            self.fall_asleep()?;
        }
        let (usage, steal_ticks) = (self.usage()?, usage::steal_ticks(cores)?);
        let machine = after_load.map_or_else(MachineTime::now, Ok)?;
        Ok(Observed { usage, steal_ticks, machine })
    }

    fn check(&mut self) -> Result<(), String> {
        Self::check(self).map_err(|ended| ended.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever fails here fails because the process is gone already.
        self.adopt();
        let root = self.id();
        let others: Vec<u32> =
            usage::tree(&self.roots()).into_iter().filter(|&id| id != root).collect();
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        for pid in others.iter().filter_map(|&id| Pid::from_raw(id as i32)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
        // Parents stand before their children here, and leave these to this process.
        others.into_iter().for_each(wait_for);
    }
}

/// Returns the end of what was written to `stderr`, a file in memory.
pub(crate) fn end_of(stderr: &File) -> String {
    let length = stderr.metadata().map_or(0, |metadata| metadata.len());
    let start = length.saturating_sub(QUOTED_BYTES_MAX as u64);
    let mut bytes = vec![0; (length - start) as usize];
    // read_at, because the other process writes at the offset of this file.
    match stderr.read_exact_at(&mut bytes, start) {
        Ok(()) => String::from_utf8_lossy(&bytes).trim_end().to_string(),
        Err(error) => format!("(its stderr cannot be read: {error})"),
    }
}

/// Waits for a child that has ended or was killed; does nothing for another process.
fn wait_for(id: u32) {
    let pid = Pid::from_raw(id as i32);
    while matches!(waitpid(pid, WaitOptions::empty()), Err(rustix::io::Errno::INTR)) {}
}

/// A port of this machine that nobody listens on.
fn free_address(listen: IpAddr) -> io::Result<SocketAddr> {
    let free = TcpListener::bind((listen, 0)).and_then(|listener| listener.local_addr());
    free.map_err(|error| {
        io::Error::new(error.kind(), format!("this machine cannot listen on {listen}: {error}"))
    })
}

fn with_address(command: &Command, address: SocketAddr) -> Command {
    let mut replaced = Command::new(command.get_program());
    let (listen, port) = (address.ip().to_string(), address.port().to_string());
    let parent = std::process::id().to_string();
    replaced.args(command.get_args().map(|argument| {
        let argument = argument.to_string_lossy();
        argument.replace(PORT, &port).replace(LISTEN, &listen).replace(PARENT, &parent)
    }));
    replaced.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    replaced
}

/// Has the kernel kill this process when the thread that started it ends, in
/// whichever way; for a server to call first. `parent` is the process id of its
/// parent, which may have ended before this call.
pub fn end_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(Pid::as_raw_pid) == i32::try_from(parent).ok() {
        return Ok(());
    }
    Err(io::Error::other(format!("process {parent}, which started this one, has ended")))
}

/// Starts a process that may run on `cores` only: it inherits this from the
/// thread that starts it. That is the calling thread and not one made for it,
/// because of [`end_with_parent`].
fn spawn_on(command: &mut Command, cores: &[usize]) -> io::Result<Child> {
    let mine = sched_getaffinity(None)?;
    let mut theirs = CpuSet::new();
    for &core in cores {
        theirs.set(core);
    }
    sched_setaffinity(None, &theirs)?;
    let child = command.spawn();
    sched_setaffinity(None, &mine)?;
    child
}

/// The address in the first whole line that has one.
fn address_in(printed: &[u8]) -> Option<SocketAddr> {
    let printed = std::str::from_utf8(printed).ok()?;
    let (_, address) = printed.split_once(READY)?;
    let (address, _) = address.split_once('\n')?;
    address.trim().parse().ok()
}
