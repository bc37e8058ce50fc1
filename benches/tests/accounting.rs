//! The CPU accounting against servers that do their work where it is hard to see, and
//! against an honest one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use perf_event::events::Software;
use pinloop_bench::results::{Life, Results, Start};
use pinloop_bench::rig::hardware::{self, Attached, Counters, Space};
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::rig::meter::Account;
use pinloop_bench::rig::process::{Process, Readiness};
use pinloop_bench::studies::ladder::lives;

const PATIENCE: Duration = Duration::from_secs(30);

const REQUESTS: usize = 8;

/// The CPU time of children that were waited for comes in clock ticks of 10 ms.
const TICK_NS: u64 = 10_000_000;

#[test]
fn work_in_threads_children_and_daemons_is_counted() {
    for mode in
        ["honest", "thread-for-each", "child-for-each", "zombie-for-each", "child", "daemon"]
    {
        let Measured { told_ns, loaded_ns, life } = measure(mode);
        assert!(told_ns >= REQUESTS as u64 * 5_000_000, "{mode} worked for {told_ns} ns");
        assert!(loaded_ns + TICK_NS >= told_ns, "{mode}: {loaded_ns} of {told_ns} ns");
        let is_alone = ["honest", "thread-for-each", "child-for-each"].contains(&mode);
        assert_eq!(life.processes == 1, is_alone, "{mode}: {life:?}");
        assert_eq!(remark(life), None, "{mode}");
    }
}

#[test]
fn work_between_the_loads_is_named() {
    let Measured { life, .. } = measure("later");
    assert!(life.idle_cpu_ns > 0, "{life:?}");
    assert_eq!(remark(life).as_deref(), Some("works when idle"));
}

#[test]
fn a_thread_on_another_cpu_is_named() {
    let Measured { life, .. } = measure("other-cpu");
    let cpus = allowed_cores().unwrap();
    assert_eq!(life.strayed_cpus, cpus[1..]);
    if cpus.len() > 1 {
        assert_eq!(remark(life).as_deref(), Some("not on its CPUs alone"));
    }
}

#[test]
fn a_daemon_ends_with_its_server() {
    let cores = [allowed_cores().unwrap()[0]];
    let mut process = start("daemon", &cores);
    assert!(ask(&TcpStream::connect(process.address()).unwrap()) > 0);
    assert!(process.usage().unwrap().processes() > 1);
    let daemons = descendants();
    assert!(!daemons.is_empty());
    drop(process);
    for daemon in daemons {
        assert!(!std::path::Path::new(&format!("/proc/{daemon}/exe")).exists(), "{daemon}");
    }
}

/// A machine without hardware counters has software events, which are counted in the same way.
#[test]
fn events_in_threads_children_and_daemons_are_counted() {
    for mode in
        ["honest", "thread-for-each", "child-for-each", "zombie-for-each", "child", "daemon"]
    {
        let mut process = start(mode, &[allowed_cores().unwrap()[0]]);
        let stream = TcpStream::connect(process.address()).unwrap();
        ask(&stream);
        let mut counters =
            Counters::attach(&mut process, &Software::TASK_CLOCK, Space::User).unwrap();
        ask(&stream);
        counters.enable().unwrap();
        let told_ns: u64 = (0..REQUESTS).map(|_| ask(&stream)).sum();
        let counted_ns = counters.finish().unwrap();
        assert!(counted_ns >= told_ns, "{mode}: {counted_ns} of {told_ns} ns");
    }
}

#[test]
fn cycles_and_instructions_are_counted_or_the_reason_is_known() {
    let mut process = start("honest", &[allowed_cores().unwrap()[0]]);
    let stream = TcpStream::connect(process.address()).unwrap();
    let access = hardware::access();
    let Some(mut counters) = Attached::to(&mut process) else {
        assert!(access.user_refused.is_some() && access.kernel_refused.is_some(), "{access:?}");
        return;
    };
    counters.enable().unwrap();
    ask(&stream);
    let counts = counters.finish(1);
    assert_eq!(counts.user.is_some(), access.user_refused.is_none());
    assert!(counts.user.is_none_or(|user| user.cycles > 0 && user.instructions > 0), "{counts:?}");
}

#[derive(Default)]
struct Measured {
    /// CPU time of the work, measured by the threads that did it.
    told_ns: u64,
    /// CPU time that was counted while requests were sent.
    loaded_ns: u64,
    life: Life,
}

/// Sends requests one after the other in two loads. Between them the server is told to work
/// if it does so later.
fn measure(mode: &str) -> Measured {
    let cores = [allowed_cores().unwrap()[0]];
    let mut process = start(mode, &cores);
    let mut stream = TcpStream::connect(process.address()).unwrap();
    // A helper that has answered has started.
    ask(&stream);
    let mut account = Account::open(&mut process).unwrap();
    let mut measured = Measured::default();
    for _ in 0..2 {
        let requests = || Ok((0..REQUESTS / 2).map(|_| ask(&stream)).sum::<u64>());
        let (told_ns, reading) = account.metered(&mut process, &cores, requests).unwrap();
        measured.told_ns += told_ns;
        measured.loaded_ns += reading.used.cpu.as_nanos() as u64;
        if mode == "later" {
            let (before, deadline) = (process.usage().unwrap().cpu(), Instant::now() + PATIENCE);
            stream.write_all(b"later\r\n").unwrap();
            let done = before + Duration::from_millis(5);
            while process.usage().unwrap().cpu() < done && Instant::now() < deadline {}
        }
    }
    measured.life = account.close("it", &mut process, &cores);
    measured
}

fn start(mode: &str, cores: &[usize]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cheat"));
    let loopback = Ipv4Addr::LOCALHOST.into();
    Process::start(command.arg(mode), cores, loopback, Readiness::Announced, PATIENCE).unwrap()
}

/// Sends one request, and returns the number in the body of the answer.
fn ask(mut stream: &TcpStream) -> u64 {
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        match line.trim().strip_prefix("content-length: ") {
            Some(digits) => length = digits.parse().unwrap(),
            None if line == "\r\n" => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap().parse().unwrap()
}

/// Returns the remark of the report on a server with this life.
fn remark(life: Life) -> Option<String> {
    let starts = vec![Start { lives: vec![life], ..Start::default() }];
    lives::of(&Results { starts, ..Results::default() }, "it").unwrap().remark()
}

/// Processes that run the daemon of this test.
fn descendants() -> Vec<u32> {
    let mark = format!("PINLOOP_BENCH_SERVER={}-", std::process::id());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let has = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        if has(&read("environ"), &mark) && has(&read("cmdline"), "be-daemon") {
            found.push(id);
        }
    }
    found
}
