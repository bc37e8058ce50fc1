//! The program as users start it: options, suggestions, signals, and pipes that are closed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use pinloop_bench::rig::machine::allowed_cores;
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pinloop-bench");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs with a stdout that nobody reads, as behind `| head` after its last line.
fn run_unread(arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdout(writer).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Answers every request on every connection with an empty 200, and reports the first request.
fn serve() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(1..) = stream.read(&mut request) {
                    // The test may have ended.
                    let _ = tell.send(());
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pinloop-{name}-{}", std::process::id()))
}

#[test]
fn load_ends_quietly_when_its_reader_is_gone() {
    let (address, _asked) = serve();
    let url = format!("http://{address}/");
    for more in [&[][..], &["--json"]] {
        let output = run_unread(&[&["load", &url, "-n", "10", "-c", "1"], more].concat());
        assert!(output.status.success(), "{output:?}");
        assert!(!stderr(&output).contains("panicked"), "{output:?}");
    }
}

/// Returns the arguments of the Job that loads a server on Kubernetes.
fn arguments_of_the_job() -> Vec<String> {
    let file = format!("{}/../deploy/kubernetes/load-test.yaml", env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(file).unwrap();
    let list = manifest.lines().find_map(|line| line.trim().strip_prefix("args: "));
    serde_json::from_str(list.expect("a line with the arguments")).unwrap()
}

#[test]
fn the_job_on_kubernetes_gets_arguments_that_the_program_takes() {
    let (address, _asked) = serve();
    let mut arguments = arguments_of_the_job();
    for argument in &mut arguments {
        match argument.as_str() {
            "http://pinloop/data" => *argument = format!("http://{address}/data"),
            "60s" => *argument = "0.1s".into(),
            _ => {}
        }
    }
    let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("64 connections"), "{output:?}");
}

#[test]
fn report_ends_quietly_when_its_reader_is_gone() {
    let file = format!("{}/run/results.json", env!("CARGO_MANIFEST_DIR"));
    let output = run_unread(&["report", &file, "--markdown"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn signals_end_a_load_with_its_figures() {
    for (signal, threads) in [(Signal::TERM, "1"), (Signal::INT, "1"), (Signal::TERM, "2")] {
        let (address, asked) = serve();
        let url = format!("http://{address}/");
        let mut command = Command::new(PROGRAM);
        command.args(["load", &url, "-d", "1h", "-c", "2", "--threads", threads]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        asked.recv().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{signal:?}: {output:?}");
        assert!(stdout(&output).contains("per second\n  statuses    200: "), "{output:?}");
    }
}

#[test]
fn wishes_that_balance_cannot_fulfil_are_refused_before_anything_is_measured() {
    let core = allowed_cores().unwrap()[0].to_string();
    for (arguments, sentence) in [
        (["--server-cores", &core], "one CPU has nothing to balance"),
        (["--connections", "0"], "0 is not in 1..=10000"),
        (["--heavy", "quickly"], "invalid value 'quickly'"),
        (["--variants", "floor"], "invalid value 'floor'"),
    ] {
        let output = run(&[&["balance"], arguments.as_slice()].concat());
        assert!(!output.status.success());
        assert!(stderr(&output).contains(sentence), "{output:?}");
    }
    let output = run(&["balance", "--load-from", "ssh HOST", "--address", "127.0.0.1"]);
    let sentence = "balance loads its servers from this machine alone";
    assert!(!output.status.success() && stderr(&output).contains(sentence), "{output:?}");
    let help = stdout(&run(&["balance", "--help"]));
    assert!(help.contains("--heavy <TIMES>") && help.contains("hyper_work_stealing"), "{help}");
}

#[test]
fn the_floor_takes_part_only_where_its_constant_answer_is_right() {
    let output = run(&["scaling", "--variants", "floor,pinloop"]);
    assert!(!output.status.success());
    let sentence = "floor answers every request with the bytes for GET /";
    assert!(stderr(&output).contains(sentence), "{output:?}");
}

#[test]
fn a_misspelled_variant_or_regime_gets_a_suggestion() {
    for (arguments, meant) in [
        (["ladder", "--variants", "hyper_percore"], "'hyper_per_core'"),
        (["ladder", "--regimes", "pipelind"], "'pipelined'"),
        (["ladder", "--variants", "pinloop_metrics"], "'pinloop_steered'"),
        (["memory", "--variants", "pinlop"], "'pinloop'"),
        (["count", "--variants", "pinloop,axumm"], "'axum'"),
        (["knee", "--variants", "hyper_singl"], "'hyper_single'"),
        (["offload", "--variants", "pinloop_ofload"], "'pinloop_offload'"),
        (["balance", "--variants", "pinloop_balansed"], "'pinloop_balanced'"),
        (["scaling", "--variants", "pinloop_on_uringg"], "'pinloop_on_uring'"),
        (["check", "--variants", "flor"], "'floor'"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = stderr(&output);
        let tip = said.lines().find(|line| line.contains("tip:")).unwrap_or_default();
        assert!(tip.contains("similar") && tip.contains(meant), "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_that_cannot_start_fails_before_anything_is_measured() {
    let out = scratch("never-started.json");
    for (server, reason) in [
        ("mine=/no/such/program {port}", "ended by itself"),
        ("mine=sleep 600 # {port}", "did not accept a connection"),
    ] {
        let output = run(&[
            "ladder",
            "--variants=pinloop",
            "--regimes=closed",
            "--ready-within=900ms",
            "--with",
            server,
            "--out",
            out.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains("nothing was measured, because mine is not ready"), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(!out.exists(), "{server}");
    }
}

#[test]
fn check_counts_equal_and_other_answers_of_a_server_from_outside() {
    let core = allowed_cores().unwrap()[0];
    let serve = |rounds: u32| {
        format!("mine={PROGRAM} serve hyper_single --cores {core} --port {{port}} --work {rounds}")
    };
    let check = |server: &str, more: &[&str]| {
        let arguments = ["check", "--variants=pinloop", "--work=3", "--with", server];
        run(&[&arguments, more].concat())
    };
    let same = check(&serve(3), &["--does-the-work"]);
    assert!(same.status.success(), "{}", stdout(&same));
    let (equal, other) = counts(&stdout(&same));
    assert!(equal > 20 && other == 0, "{}", stdout(&same));

    let without_the_work = check(&serve(7), &[]);
    assert!(without_the_work.status.success(), "{}", stdout(&without_the_work));
    assert_eq!(counts(&stdout(&without_the_work)).1, 3);

    let wrong_work = check(&serve(7), &["--does-the-work"]);
    assert_eq!(wrong_work.status.code(), Some(1), "{}", stdout(&wrong_work));
}

/// The two numbers in "same status and body: 20; different: 3".
fn counts(said: &str) -> (u64, u64) {
    let (_, rest) = said.split_once("mine, from outside: same status and body: ").unwrap();
    let (same, rest) = rest.split_once("; different: ").unwrap();
    let (different, _) = rest.split_once('.').unwrap();
    (same.parse().unwrap(), different.parse().unwrap())
}

#[test]
fn work_from_outside_is_asked_for_by_name_only() {
    let output = run(&["knee", "--with", "mine=./server {port}"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("add --does-the-work"), "{output:?}");
}

#[test]
fn all_variants_serve_with_either_allocator() {
    for allocator in ["system", "mimalloc"] {
        let arguments = ["check", "--variants=pinloop,axum", "--work=1", "--allocator", allocator];
        let output = run(&arguments);
        assert!(output.status.success(), "{allocator}: {output:?}");
    }
}

/// As in a container whose seccomp filter refuses io_uring.
#[test]
fn without_io_uring_its_rungs_are_left_out_with_the_reason() {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=io_uring_setup"])
        .args(["-e", "inject=io_uring_setup:error=EPERM", PROGRAM, "check", "--work=1"])
        .arg("--variants=pinloop,floor_on_uring,pinloop_on_uring")
        .output();
    let Ok(output) = output else {
        println!("not tested, because strace is not installed");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    for rung in ["floor_on_uring", "pinloop_on_uring"] {
        let said = format!("{rung} is left out: io_uring_setup fails: Operation not permitted");
        assert!(stderr(&output).contains(&said), "{output:?}");
    }
    assert!(stderr(&output).contains("seccomp"), "{output:?}");
}

#[test]
fn a_rung_on_io_uring_says_why_it_cannot_serve() {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=io_uring_setup"])
        .args(["-e", "inject=io_uring_setup:error=ENOSYS", PROGRAM, "serve", "floor_on_uring"])
        .args(["--cores", &allowed_cores().unwrap()[0].to_string()])
        .output();
    let Ok(output) = output else {
        println!("not tested, because strace is not installed");
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).is_empty(), "{output:?}");
    assert!(stderr(&output).contains("this kernel has no io_uring"), "{output:?}");
}

#[test]
fn the_other_program_has_the_other_allocator() {
    let speaks = |program: &str| {
        let output = Command::new(program)
            .args(["serve", "pinloop", "--cores", "100000"])
            .env("MIMALLOC_VERBOSE", "1")
            .output()
            .unwrap();
        assert!(!output.status.success());
        stderr(&output).contains("mimalloc: ")
    };
    assert!(speaks(env!("CARGO_BIN_EXE_pinloop-bench-mimalloc")));
    assert!(!speaks(PROGRAM));
}

#[test]
fn pinloop_admits_as_many_connections_as_the_memory_study_opens() {
    let out = scratch("memory.json");
    let output = run(&[
        "memory",
        "--variants=pinloop",
        "--connections=10500",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{} {}", stdout(&output), stderr(&output));
    std::fs::remove_file(out).unwrap();
}
