//! A server that hides its work, for the tests of the CPU accounting.
//!
//! It answers one request at a time. The body is the CPU time in nanoseconds that the
//! work of the request took, measured by the thread that did it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of the work for one request.
const WORK: Duration = Duration::from_millis(5);

/// A line that has the server work although no request was sent.
const LATER: &str = "later";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map_or("", String::as_str);
    match argument(0) {
        // Roles of the processes that the server starts.
        "work-once" => work().map(|spent| println!("{spent}")),
        "work-on-lines" => io::stdin().lines().try_for_each(|_| work().map(|of| println!("{of}"))),
        "start-daemon" => start_daemon(),
        "be-daemon" => daemon(),
        mode => serve(mode),
    }
}

fn serve(mode: &str) -> io::Result<()> {
    let mut worker = Worker::of(mode)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut requests = BufReader::new(stream.try_clone()?).lines();
    while let Some(line) = requests.next().transpose()? {
        // Stands for a timer: the test says when the server has nothing else to do.
        if line == LATER {
            work()?;
        }
        if !line.is_empty() {
            continue;
        }
        let body = worker.work()?;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
    // The test reads the accounts of a server that still runs.
    thread::park();
    Ok(())
}

/// Does the work of the requests in one of the ways.
enum Worker {
    Honest,
    ThreadForEach,
    ChildForEach,
    /// Children that have ended and are never waited for.
    ZombieForEach(Vec<Child>),
    Child(Child),
    Daemon(TcpStream),
    Later,
    OtherCpu,
}

impl Worker {
    fn of(mode: &str) -> io::Result<Self> {
        Ok(match mode {
            "honest" => Self::Honest,
            "thread-for-each" => Self::ThreadForEach,
            "child-for-each" => Self::ChildForEach,
            "zombie-for-each" => Self::ZombieForEach(Vec::new()),
            "child" => Self::Child(start(&["work-on-lines"], Stdio::piped())?),
            "daemon" => Self::Daemon(TcpStream::connect(daemon_address()?)?),
            "later" => Self::Later,
            "other-cpu" => {
                let mut all = CpuSet::new();
                (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
                thread::spawn(move || {
                    sched_setaffinity(None, &all)?;
                    thread::park();
                    io::Result::Ok(())
                });
                Self::OtherCpu
            }
            _ => return Err(io::Error::other(format!("there is no mode {mode:?}"))),
        })
    }

    /// Returns the body of the answer.
    fn work(&mut self) -> io::Result<String> {
        let line = |from: &mut dyn Read| -> io::Result<String> {
            let mut line = String::new();
            BufReader::new(from).read_line(&mut line)?;
            Ok(line.trim().to_string())
        };
        match self {
            Self::Honest | Self::OtherCpu => Ok(work()?.to_string()),
            Self::Later => Ok("0".to_string()),
            Self::ThreadForEach => {
                let spent = thread::spawn(work).join();
                Ok(spent.map_err(|_| io::Error::other("the thread panicked"))??.to_string())
            }
            Self::ChildForEach => {
                let output = start(&["work-once"], Stdio::null())?.wait_with_output()?;
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
            }
            Self::ZombieForEach(zombies) => {
                let mut child = start(&["work-once"], Stdio::null())?;
                let said = child.stdout.as_mut().map(|stdout| line(stdout)).transpose()?;
                zombies.push(child);
                Ok(said.unwrap_or_default())
            }
            Self::Child(child) => {
                child.stdin.as_mut().into_iter().try_for_each(|stdin| stdin.write_all(b"\n"))?;
                let said = child.stdout.as_mut().map(|stdout| line(stdout)).transpose()?;
                Ok(said.unwrap_or_default())
            }
            Self::Daemon(daemon) => {
                daemon.write_all(b"\n")?;
                line(daemon)
            }
        }
    }
}

/// Works until the CPU clock of this thread has advanced, and returns by how much.
fn work() -> io::Result<u64> {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let begin = now();
    while now() - begin < WORK {}
    Ok((now() - begin).as_nanos() as u64)
}

fn start(arguments: &[&str], stdin: Stdio) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).stdin(stdin).stdout(Stdio::piped()).spawn()
}

/// Starts a daemon in a session of its own. Its parent ends at once.
fn daemon_address() -> io::Result<SocketAddr> {
    let mut command = Command::new("setsid");
    command.arg(env::current_exe()?).arg("start-daemon").stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = String::new();
    child
        .stdout
        .take()
        .into_iter()
        .try_for_each(|stdout| BufReader::new(stdout).read_line(&mut said).map(drop))?;
    child.wait()?;
    said.trim().parse().map_err(io::Error::other)
}

/// Leaves the daemon behind.
fn start_daemon() -> io::Result<()> {
    Command::new(env::current_exe()?).arg("be-daemon").spawn().map(drop)
}

fn daemon() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    let mut requests = BufReader::new(stream.try_clone()?).lines();
    requests.try_for_each(|_| writeln!(stream, "{}", work()?))
}
