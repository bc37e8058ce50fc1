//! The study `balance` on real servers for a moment: every count in its record has its place.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::available_parallelism;

use pinloop_bench::results::{Latency, Results};

#[test]
fn latencies_are_those_of_the_requests_at_the_fixed_rate_and_of_no_others() {
    if available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        println!("skipped: one CPU has nothing to balance");
        return;
    }
    let results = measure();
    let balance = results.studies.balance.as_ref().unwrap();
    assert!(balance.occasion.complete && balance.failures.is_empty(), "{:?}", balance.failures);
    let count = |of: &Latency| of.buckets().map(|(_, count)| count).sum::<u64>();
    for load in &balance.loads {
        assert_eq!(load.starts.len(), 4);
        for sample in load.starts.iter().flatten() {
            // Neither the warm-up nor the closed loop is in them.
            assert_eq!(count(&sample.latency), sample.paced.requests, "{sample:?}");
            let light = count(&sample.light) as f64 / sample.paced.requests as f64;
            match load.heavy_ns {
                None => assert_eq!(light, 0.0, "all are light, and none is apart"),
                // Each connection may be in the middle of a deck of ten.
                Some(_) => assert!((0.6..1.0).contains(&light), "{light}"),
            }
            let due = load.rate_per_s.unwrap() * SLICE_MS as f64 / 1000.0;
            let sent = (sample.paced.requests + sample.paced.unsent) as f64;
            assert!((sent - due).abs() <= 1.0, "{sent} of {due}");
            let connections: usize = sample.loops.iter().map(|of| of.connections).sum();
            assert_eq!(connections, load.connections, "{:?}", sample.loops);
            assert!(sample.paced.cpu_ns_max <= sample.paced.cpu_ns, "{sample:?}");
        }
    }
}

const SLICE_MS: u64 = 40;

fn measure() -> Results {
    let directory = std::env::temp_dir().join(format!("pinloop-balance-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path: PathBuf = directory.join("results.json");
    let slice = SLICE_MS.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_pinloop-bench"))
        .args(["balance", "--variants", "pinloop,hyper_per_core", "--connections", "2"])
        .args(["--heavy", "200us", "--heavy-connections", "2", "--seconds", "1"])
        .args(["--slice-ms", &slice, "--seed", "1", "--out"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let results = Results::read(&path).unwrap();
    fs::remove_dir_all(directory).unwrap();
    results
}
