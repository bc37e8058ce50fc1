//! The agent of the real program: it answers, and leaves nothing behind however it ends.

#[path = "support/agent_folder.rs"]
mod agent_folder;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_folder::Folder;
use pinloop_bench::results::Side;
use pinloop_bench::rig::agent::wire::{self, Answer, Ask, GREETING, Question, Start, Started};
use pinloop_bench::rig::host::{Host, Place, Server};
use pinloop_bench::rig::load_hosts::LoadHosts;
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::rig::meter::Watched;
use pinloop_bench::rig::process::{PARENT, Readiness};
use sha2::{Digest, Sha256};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pinloop-bench");

const PATIENCE: Duration = Duration::from_secs(30);

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_server_is_started_read_and_ended_by_the_agent() {
    let host = Host::local(Path::new(PROGRAM)).unwrap();
    let mut server = serve(&host).unwrap();
    assert_eq!(answer(&server), "HTTP/1.1 200");
    server.check().unwrap();
    assert_eq!(server.observe(&cores(), true).unwrap().usage.processes(), 1);
    assert!(server.memory().unwrap().rss_bytes > 0);
    let id = server.id();
    assert!(exists(id));
    drop(server);
    // The agent waits for its end before it answers.
    assert!(!exists(id));
    assert!(!host.is_elsewhere());
}

#[test]
fn an_agent_whose_stdin_ends_takes_its_servers_with_it_even_while_one_starts() {
    let mut agent = Agent::start();
    let ready = agent.serve();
    // It never gets ready, and starts another process.
    agent.say(start(&["become", "--parent", PARENT, "sh -c 'sleep 600 & exec sleep 600'"]));
    let (all, deadline) = (agent.descendants_once(3), Instant::now() + PATIENCE);
    assert!(all.contains(&ready.id), "{all:?}");
    drop(agent.child.stdin.take());
    assert!(agent.child.wait().unwrap().success());
    gone(&all, deadline);
}

#[test]
fn a_killed_agent_takes_its_servers_with_it() {
    let mut agent = Agent::start();
    agent.serve();
    agent.serve();
    let (all, deadline) = (agent.descendants_once(2), Instant::now() + PATIENCE);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    gone(&all, deadline);
}

#[test]
fn a_lost_agent_is_named_from_then_on() {
    let host = Host::local(Path::new(PROGRAM)).unwrap();
    let mut server = serve(&host).unwrap();
    let killed = Command::new("kill").args(["-KILL", &host.agent_id().to_string()]).status();
    assert!(killed.unwrap().success());
    for _ in 0..2 {
        let error = server.check().unwrap_err();
        assert!(error.starts_with("the agent on this machine ended"), "{error}");
        assert!(error.contains("signal: 9"), "{error}");
    }
}

#[test]
fn a_program_is_copied_once_and_again_if_the_copy_is_damaged() {
    let folder = Folder::new();
    let place = folder.place("");
    let cached = |place: &Place| {
        let host = Host::remote(place, Path::new(PROGRAM)).unwrap();
        assert_eq!(answer(&serve(&host).unwrap()), "HTTP/1.1 200");
        drop(host);
        let files = folder.cached();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    };
    let first = cached(&place);
    assert_eq!(fs::read(&first).unwrap(), fs::read(PROGRAM).unwrap());
    // A program that is not copied again keeps its time of writing but for a `touch`.
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let number = inode(&first);
    assert_eq!(cached(&place), first);
    assert_eq!(inode(&first), number);
    fs::write(&first, "not the program").unwrap();
    assert_eq!(cached(&place), first);
    assert_eq!(fs::read(&first).unwrap(), fs::read(PROGRAM).unwrap());
}

#[test]
fn a_login_may_print_before_the_agent_speaks() {
    let folder = Folder::new();
    let place = folder.place(r#"sh -c 'echo Welcome; printf "last login: "; exec "$@"' sh"#);
    let host = Host::remote(&place, Path::new(PROGRAM)).unwrap();
    assert_eq!(answer(&serve(&host).unwrap()), "HTTP/1.1 200");
}

#[test]
fn a_machine_that_cannot_be_used_is_named_with_the_reason() {
    let folder = Folder::new();
    let other_platform = folder.other_platform();
    for (prefix, expected) in [
        ("no-such-command".to_string(), "no-such-command"),
        ("sh -c 'echo no route to host >&2; exit 255' sh".to_string(), "no route to host"),
        (other_platform, "is Linux aarch64, and this program is for"),
        // dd may write no more than 50 KiB.
        (r#"sh -c 'ulimit -f 100; exec "$@"' sh"#.to_string(), "the agent cannot be copied to"),
        ("true".to_string(), "its shell did not run a script from stdin"),
    ] {
        let error = Host::remote(&folder.place(&prefix), Path::new(PROGRAM)).unwrap_err();
        assert!(error.to_string().contains(expected), "{prefix}: {error}");
        assert_eq!(folder.left(), Vec::<PathBuf>::new(), "{prefix}");
    }
}

#[test]
fn a_cache_folder_that_is_refused_leaves_nothing() {
    let folder = Folder::new();
    let refusal = |cache: &str| {
        let command = format!("env XDG_CACHE_HOME={cache}");
        let place = Place { command, ..folder.place("") };
        Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string()
    };
    let error = refusal(&format!("'{}/a space'", folder.path.display()));
    assert!(error.contains("which is not a whole path of plain characters"), "{error}");
    let error = refusal("relative");
    assert!(error.contains("which is not a whole path of plain characters"), "{error}");
    assert_eq!(folder.left(), Vec::<PathBuf>::new());
    assert!(!Path::new("relative").exists());

    // The folder of another user, to whom only the superuser can give it.
    let others = folder.path.join("others");
    fs::create_dir_all(others.join("pinloop-bench")).unwrap();
    if std::os::unix::fs::chown(others.join("pinloop-bench"), Some(12_345), None).is_ok() {
        let error = refusal(&others.display().to_string());
        assert!(error.contains("belongs to another user"), "{error}");
        assert_eq!(fs::read_dir(others.join("pinloop-bench")).unwrap().count(), 0);
    }
    // What was there stays, and what was made for a copy that failed goes.
    let deep = folder.path.join("others/made/for/it");
    let command =
        format!("sh -c 'ulimit -f 100; exec \"$@\"' sh env XDG_CACHE_HOME={}", deep.display());
    let place = Place { command, ..folder.place("") };
    let error = Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string();
    assert!(error.contains("the agent cannot be copied to"), "{error}");
    assert_eq!(fs::read_dir(&others).unwrap().count(), 1);
}

#[test]
fn a_machine_that_says_nothing_is_given_up() {
    let folder = Folder::new();
    let place = folder.place("sh -c 'sleep 600' sh");
    let error = Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string();
    assert!(error.contains("did not end within 30s; does it ask for a password?"), "{error}");
}

#[test]
fn an_agent_of_another_version_or_none_is_named() {
    for (script_of_agent, expected) in [
        (
            format!("echo '{GREETING}1 0.0.1 debug'; cat"),
            "its agent is of version 0.0.1 with protocol 1",
        ),
        // A build of the same version, which did not say what it was built from.
        (
            format!("echo '{}'; cat", wire::greeting().trim_end().rsplit_once(' ').unwrap().0),
            "its agent was built from other sources (unknown)",
        ),
        ("echo hello; echo what is agent >&2".to_string(), "it said: what is agent"),
        ("yes".to_string(), "printed more than 64 KiB, and never its greeting"),
        // Without the end of a line.
        (
            "head -c 10000000 /dev/zero | tr '\\0' x; cat".to_string(),
            "printed more than 64 KiB, and never its greeting",
        ),
        ("printf 'Password: '".to_string(), "it said: Password:"),
    ] {
        let folder = Folder::new();
        let place = folder.with_agent(&script_of_agent);
        let error = Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.len() < 1000, "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_the_agent_is_refused_before_it_is_copied() {
    let folder = Folder::new();
    let other_platform = folder.other_platform();
    let text = folder.path.join("agent");
    fs::write(&text, "hello").unwrap();
    for (agent, expected) in [
        (text.clone(), "it is neither a program of Linux nor a script"),
        (PathBuf::from(PROGRAM), "and the machine is Linux aarch64"),
        (folder.path.clone(), "cannot be read: Is a directory"),
        (folder.path.join("none"), "cannot be read: No such file"),
    ] {
        let place = Place { agent: Some(agent), ..folder.place(&other_platform) };
        let error = Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(folder.left(), Vec::<PathBuf>::new(), "{error}");
    }
}

#[test]
fn the_executable_of_an_agent_is_recorded_if_it_is_another_one() {
    let folder = Folder::new();
    let agent_of = |place: &Place| {
        let host = Host::remote(place, Path::new(PROGRAM)).unwrap();
        host.machines(&LoadHosts::from([]), None).unwrap().remote.unwrap().agent
    };
    assert_eq!(agent_of(&folder.place("")), None);
    let place = folder.with_agent(&format!("exec {PROGRAM} \"$@\""));
    let agent = fs::read(place.agent.as_ref().unwrap()).unwrap();
    let hash: String = Sha256::digest(&agent).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(agent_of(&place), Some(hash));
}

#[test]
fn answers_to_another_question_are_not_taken() {
    let folder = Folder::new();
    let late = folder.path.join("late");
    let mut bytes = wire::greeting().into_bytes();
    wire::write(&mut bytes, &Answer { number: 7, goes_on: false, result: Ok(true.into()) })
        .unwrap();
    fs::write(&late, bytes).unwrap();
    let place = folder.with_agent(&format!("cat {}; cat > /dev/null", late.display()));
    let error = Host::remote(&place, Path::new(PROGRAM)).unwrap_err().to_string();
    assert!(error.contains("answered question 7 in place of 0"), "{error}");
}

#[test]
fn variants_that_the_servers_machine_cannot_run_are_left_out() {
    let folder = Folder::new();
    let answers = folder.path.join("answers");
    let reasons = [None, Some("no io_uring there".to_string())];
    let mut side = Side::default();
    side.machine.cores = cores();
    let values = [serde_json::to_value(side).unwrap(), serde_json::to_value(reasons).unwrap()];
    let mut bytes = wire::greeting().into_bytes();
    for (number, value) in (0..).zip(values) {
        wire::write(&mut bytes, &Answer { number, goes_on: false, result: Ok(value) }).unwrap();
    }
    fs::write(&answers, bytes).unwrap();
    let place = folder.with_agent(&format!("cat {}; cat > /dev/null", answers.display()));
    let agent = place.agent.unwrap();
    let output = Command::new(PROGRAM)
        .args(["check", "--variants", "pinloop,pinloop_on_uring", "--address", "127.0.0.1"])
        .args(["--server-on", &place.command, "--agent", agent.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("pinloop_on_uring is left out: no io_uring there"), "{said}");
    assert!(!said.contains("pinloop is left out"), "{said}");
}

#[test]
fn an_address_that_the_machine_has_not_or_that_is_not_reached_is_named() {
    let folder = Folder::new();
    // For documentation (RFC 5737): nobody has it.
    let place = Place { listen: [192, 0, 2, 1].into(), ..folder.place("") };
    let host = Host::remote(&place, Path::new(PROGRAM)).unwrap();
    let error = serve(&host).unwrap_err().to_string();
    assert!(error.contains("its machine cannot listen on 192.0.2.1"), "{error}");
    let place = Place { address: [127, 0, 0, 2].into(), ..folder.place("") };
    let host = Host::remote(&place, Path::new(PROGRAM)).unwrap();
    let error = serve(&host).unwrap_err().to_string();
    assert!(error.starts_with("listens, but this machine cannot connect to it at 127.0.0.2:"));
    assert!(error.contains("firewall"), "{error}");
}

/// An agent without the measure's end.
struct Agent {
    child: Child,
    stdout: ChildStdout,
    number: u64,
}

impl Agent {
    fn start() -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("agent").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut greeting = vec![0; wire::greeting().len()];
        stdout.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, wire::greeting().into_bytes());
        Self { child, stdout, number: 0 }
    }

    fn say(&mut self, ask: Ask) {
        wire::write(self.child.stdin.as_mut().unwrap(), &Question { number: self.number, ask })
            .unwrap();
        self.number += 1;
    }

    fn serve(&mut self) -> Started {
        self.say(start(&[
            "serve",
            "pinloop",
            "--cores",
            &cores()[0].to_string(),
            "--parent",
            PARENT,
        ]));
        let answer: Answer = wire::read(&mut self.stdout).unwrap();
        serde_json::from_value(answer.result.unwrap()).unwrap()
    }

    /// Waits for this number of descendants, and returns them.
    fn descendants_once(&self, count: usize) -> Vec<u32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut found = vec![self.child.id()];
            let mut at = 0;
            while let Some(&id) = found.get(at) {
                let tasks =
                    fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
                for task in tasks {
                    let children = fs::read_to_string(task.path().join("children"));
                    let children = children.unwrap_or_default();
                    found.extend(children.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
                }
                at += 1;
            }
            if found.len() > count {
                return found.split_off(1);
            }
            assert!(Instant::now() < deadline, "{found:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(arguments: &[&str]) -> Ask {
    Ask::Start(Start {
        program: PROGRAM.to_string(),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        cores: cores(),
        listen: LOOPBACK.into(),
        readiness: Readiness::Announced,
        patience: Duration::from_secs(600),
    })
}

fn serve(host: &Arc<Host>) -> Result<Server, impl std::fmt::Display + std::fmt::Debug> {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "pinloop", "--cores", &cores()[0].to_string()]);
    command.args(["--listen", "{listen}", "--parent", PARENT]);
    host.start(&command, &cores(), Readiness::Announced, PATIENCE)
}

fn answer(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer[..12].to_string()
}

fn cores() -> Vec<usize> {
    allowed_cores().unwrap()[..1].to_vec()
}

fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

/// Waits until these are no more, or zombies that nobody waits for.
fn gone(ids: &[u32], deadline: Instant) {
    let runs = |id: &&u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    };
    while let Some(id) = ids.iter().find(runs) {
        assert!(Instant::now() < deadline, "process {id} is left");
        std::thread::yield_now();
    }
}
