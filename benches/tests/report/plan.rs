//! The plan for many machines on the published results, and the page that shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pinloop_bench::plan::fleet::Wanted;
use pinloop_bench::plan::inputs::{InputError, Inputs};
use pinloop_bench::plan::section::section;
use pinloop_bench::report::markdown;
use pinloop_bench::report::section::Report;
use pinloop_bench::results::{Occasion, Remote, Results};
use pinloop_bench::stats::queueing::Queue;
use pinloop_bench::stats::simulation::{self, Arrivals, Scene, Sharing};

const MARKS: [&str; 2] = ["<!-- the plan -->\n", "<!-- the end of the plan -->"];

#[test]
fn the_page_shows_the_plan_of_the_published_results() {
    let page = fs::read_to_string(root().join("docs/scale.md")).unwrap();
    let (_, rest) = page.split_once(MARKS[0]).unwrap();
    let (shown, _) = rest.split_once(MARKS[1]).unwrap();
    let output = plan(&["--markdown"]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.trim(), printed.trim(), "docs/scale.md is of another program");
}

/// Requests come evenly spaced at the knee: without other guests on the machine they would not wait
/// at all. The formula for requests at random times must allow more than was measured too, because
/// its wait at that utilization is far below the bound of 10 ms.
#[test]
fn the_measured_knee_is_within_what_the_formula_and_the_simulation_allow() {
    let inputs = Inputs::of(&published(), "pinloop").unwrap();
    let service_s = inputs.service_s();
    let rate = inputs.knee_utilization / service_s;
    let queue = Queue { cores: 1, rate, service_s, variation: 0.0 };
    let allowed = queue.utilization_within(0.99, inputs.bound_s);
    assert!(inputs.knee_utilization < allowed && allowed < 1.0, "{inputs:?}: {allowed}");
    let scene = |arrivals| Scene {
        cores: 1,
        sharing: Sharing::OneQueue,
        arrivals,
        rate,
        requests: 200_000,
        seed: 1,
    };
    let at = |arrivals| simulation::run(&scene(arrivals), |_| service_s);
    assert!(at(Arrivals::Even).latency_s(0.99) < service_s * 1.01);
    let random = at(Arrivals::Random);
    assert!((random.utilization / inputs.knee_utilization - 1.0).abs() < 0.02);
    let formula = queue.wait_s(0.99);
    assert!((formula / random.wait_s(0.99) - 1.0).abs() < 0.3, "{formula}");
    assert!(formula < inputs.bound_s / 10.0);
}

#[test]
fn results_without_a_knee_name_the_study_that_is_missing() {
    let mut results = published();
    let unknown = Inputs::of(&results, "nginx").unwrap_err();
    let sentence = "the study knee has no server \"nginx\"; it has pinloop, hyper_per_core";
    assert_eq!(unknown.to_string(), sentence);
    results.studies.scaling = None;
    assert_eq!(Inputs::of(&results, "pinloop").unwrap_err(), InputError::NoStudy("scaling"));
    results.studies.knee = None;
    assert_eq!(Inputs::of(&results, "pinloop").unwrap_err(), InputError::NoStudy("knee"));
}

/// Three threads that share the load need as many cores as one thread with their CPU time.
#[test]
fn generators_are_planned_by_the_cpu_time_of_all_their_threads() {
    let mut results = published();
    let alone = Inputs::of(&results, "pinloop").unwrap().generator_s;
    for probe in &mut results.studies.knee.as_mut().unwrap().probes {
        probe.generator_busiest_cpu_ns = probe.generator_cpu_ns / 3;
    }
    let shared = Inputs::of(&results, "pinloop").unwrap().generator_s;
    assert!((shared / alone - 1.0).abs() < 1e-9, "{shared}, not {alone}");
}

#[test]
fn a_knee_and_a_law_of_different_loads_or_machines_make_no_plan() {
    type Change = fn(&mut Occasion);
    let refusal = |change: Change| {
        let mut results = published();
        change(&mut results.studies.scaling.as_mut().unwrap().occasion);
        Inputs::of(&results, "pinloop").unwrap_err().to_string()
    };
    let cases: [(Change, &str); 3] = [
        (
            |of| of.machines.remote = Some(far()),
            "differ in the servers' machine: this machine in knee, and ssh far in scaling",
        ),
        (
            |of| of.path = "/".to_string(),
            "differ in the request: GET /data in knee, and GET / in scaling",
        ),
        (|of| of.work_rounds = 7, "differ in the rounds of work: 100 in knee, and 7 in scaling"),
    ];
    for (change, sentence) in cases {
        let said = refusal(change);
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_plan_of_servers_on_another_machine_names_that_machine() {
    let mut results = published();
    let studies = &mut results.studies;
    for of in [
        &mut studies.knee.as_mut().unwrap().occasion,
        &mut studies.scaling.as_mut().unwrap().occasion,
    ] {
        of.machines.remote = Some(far());
    }
    let inputs = Inputs::of(&results, "pinloop").unwrap();
    let wanted = Wanted {
        cores: 2,
        connections: 10,
        requests_per_connection: 1.0,
        spare: 0.0,
        bound_s: inputs.bound_s,
    };
    let report = Report { sections: vec![section(&inputs, &wanted, &[10])], ..Report::default() };
    let text = markdown::render(&report);
    assert!(text.contains("| machine of the servers |  | ssh far |"), "{text}");
    assert!(text.contains("| machine of the load |  | the one that measured |"), "{text}");
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    for wish in [["--hosts", "0"], ["--cores", "0"], ["--spare", "100"], ["--server", "nginx"]] {
        let output = plan(&wish);
        assert!(!output.status.success(), "{wish:?}");
    }
    let output = plan(&["--cores", "64"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("64 CPUs are an extrapolation: at most 2 CPUs"), "{text}");
}

fn plan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinloop-bench"));
    command.arg("plan").arg(file()).args(arguments).output().unwrap()
}

fn published() -> Results {
    Results::read(&file()).unwrap()
}

fn file() -> PathBuf {
    root().join("benches/run/results-0.1.0.json")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn far() -> Remote {
    Remote { command: "ssh far".to_string(), ..Remote::default() }
}
