//! Exact counts of a server that runs, with whatever tools there are.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use pinloop_bench::results::{Contender, Counts, Settings};
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::studies::count::figures::per_request;
use pinloop_bench::studies::count::measure::Subject;
use pinloop_bench::studies::count::{measure as counts, workloads};

/// Few, as tools make a debug build slow.
const REQUESTS: u64 = 40;

#[test]
fn a_request_of_pinloop_is_read_and_written_once_and_allocates_nothing() {
    let counts = count("pinloop", "one");
    let workload = &counts.workloads[0];
    assert!(workload.failures.is_empty(), "{:?}", workload.failures);
    let tally = &workload.tallies[0];
    let each = |count| per_request(count, workload.requests);
    // A start may take one more or less; one a request would be 1.
    assert!(tally.allocations.map(each).unwrap().abs() < 0.5, "{:?}", tally.allocations);
    // The length of an answer to GET /.
    assert_eq!(tally.bytes_sent.map(each), Some(116.0));

    // Each of the others, where its tool is here.
    let missing = [tally.instructions.is_none(), tally.syscalls.is_none()];
    assert_eq!(counts.unavailable.len(), missing.into_iter().filter(|is| *is).count());
    if let Some(calls) = &tally.syscalls {
        // Likewise: a connection may be there before its first request, or with it.
        for call in ["recvfrom", "sendto", "epoll_wait"] {
            assert!((each(calls[call]) - 1.0).abs() < 0.25, "{call}: {calls:?}");
        }
    }
    if let Some(instructions) = tally.instructions {
        let places: f64 = tally.places.iter().map(|place| each(place.instructions)).sum();
        assert!((places / each(instructions) - 1.0).abs() < 0.01, "{places}, {instructions:?}");
        assert!(tally.places.iter().any(|place| place.file == "src/http/connection.rs"));
        assert!(tally.places.iter().any(|place| place.file.starts_with("httparse/")));
    }
}

/// With the server and its client on one CPU, a request is there as a whole when the server reads.
#[test]
fn an_echo_of_64_kib_takes_one_read_and_one_wait_on_mio() {
    for variant in ["pinloop", "hyper_on_mio"] {
        let counts = count(variant, "echo");
        let workload = &counts.workloads[0];
        let Some(calls) = &workload.tallies[0].syscalls else {
            assert!(counts.unavailable.iter().any(|tool| tool.counts == "system calls"));
            continue;
        };
        for call in ["recvfrom", "epoll_wait"] {
            let each = per_request(calls[call], workload.requests);
            assert!(each < 1.25, "{variant}, {call}: {each}, {calls:?}");
        }
    }
}

#[test]
fn a_server_that_does_not_start_is_a_failure_with_its_reason() {
    let counts = count("no_such_variant", "one");
    let failures = &counts.workloads[0].failures;
    let last = failures.last().unwrap();
    assert_eq!(last.contender, "no_such_variant");
    assert!(last.reason.starts_with("no allocations: ended by itself"), "{}", last.reason);
    assert!(last.reason.contains("there is no variant"), "{}", last.reason);
}

fn count(variant: &str, workload: &str) -> Counts {
    let core = allowed_cores().unwrap()[0];
    let mut serve = Command::new(env!("CARGO_BIN_EXE_counted"));
    serve.args([
        variant,
        "--cores",
        &core.to_string(),
        "--parent",
        &std::process::id().to_string(),
    ]);
    let again = |command: &Command| {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        same
    };
    let subject = Subject {
        contender: Contender {
            key: variant.to_string(),
            variant: variant.to_string(),
            about: String::new(),
            base: None,
            adds: String::new(),
            command: None,
        },
        answers: true,
        split: true,
        timed: again(&serve),
        counted: serve,
    };
    let mut workloads = workloads::all();
    workloads.retain(|other| other.key == workload);
    workloads[0].requests = REQUESTS;
    let settings =
        Settings { server_cores: vec![core], generator_cores: vec![core], ..Settings::default() };
    let mut saved = 0;
    let counts =
        counts::run(&settings, &workloads, &[subject], &AtomicBool::new(false), &mut |counts| {
            saved += counts.workloads.len();
            Ok(())
        });
    assert_eq!(saved, 1, "what was counted is handed over");
    counts.unwrap()
}
