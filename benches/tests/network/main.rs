//! The measure over a network: namespaces with a switch between them, and a real sshd.

mod folder;
#[path = "../support/namespaces.rs"]
mod namespaces;
mod sshd;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use folder::{Folder, hash_of, text};
use namespaces::Namespaces;
use pinloop_bench::results::Results;
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::stats::Interval;
use pinloop_bench::studies::ladder::figures;
use sshd::Sshd;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pinloop-bench");

const PATIENCE: Duration = Duration::from_secs(60);

/// Host of the measure.
const NEAR: usize = 1;

/// Host of the servers.
const FAR: usize = 2;

#[test]
fn the_quick_form_of_the_ladder_runs_with_servers_on_another_host() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("ladder");
    let (results, said) = folder.measure_with(&hosts, &hosts.on(FAR), &["--quick"]);
    // The gate has found the same bytes from every server.
    let gate = results.gate.as_ref().unwrap();
    assert!(gate.exchanges.len() > 20 && gate.is_passed(), "{said}");
    let regimes = figures::of(&results);
    assert!(regimes.len() > 1, "{said}");
    for regime in &regimes {
        assert!(regime.rows.iter().all(|row| row.figures.is_ok()), "{said}");
        let Interval { low, high } = regime.a_to_a.unwrap().interval.unwrap();
        assert!(low < high, "{said}");
    }

    let remote = results.machines.remote.as_ref().unwrap();
    assert!(remote.is_same_machine);
    assert_eq!(remote.address, Some([10, 203, 0, 2].into()));
    for side in [&remote.server, &remote.client] {
        let interface = side.interface.as_ref().unwrap();
        assert_eq!((interface.name.as_str(), interface.mtu), ("eth0", Some(1500)), "{side:?}");
    }
    assert!(remote.round_trips_ns.iter().all(|&ns| ns > 0) && remote.round_trips_ns.len() > 10);
    let samples = results.regimes.iter().flat_map(|of| &of.blocks).flat_map(|of| &of.samples);
    assert!(samples.clone().count() > 10 && samples.clone().all(|of| of.machine.is_some()));
    assert!(results.starts.iter().all(|start| start.baselines.len() == 2));

    assert_eq!(hosts.processes(FAR), Vec::<String>::new());
    assert_eq!(folder.cached(), [hash_of(Path::new(PROGRAM))]);
}

#[test]
fn servers_behind_a_firewall_or_at_a_wrong_address_are_named() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("firewall");
    // Nobody has this address.
    let said = folder.fail(&hosts, &["--address", "10.203.0.9", "--listen", "10.203.0.2"]);
    assert!(said.contains("cannot connect to it at 10.203.0.9:"), "{said}");
    assert!(said.contains("firewall"), "{said}");
    let said = folder.fail(&hosts, &["--address", "10.203.0.9"]);
    assert!(said.contains("its machine cannot listen on 10.203.0.9"), "{said}");
    assert_eq!(hosts.processes(FAR), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_named_and_leaves_no_file() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("full");
    let cache = folder.path.join("small");
    fs::create_dir(&cache).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", cache.to_str().unwrap()];
    assert!(Command::new("mount").args(mount).status().unwrap().success());
    let command = format!("{} env XDG_CACHE_HOME={}", hosts.on(FAR), cache.display());
    let said = folder.fail(&hosts, &["--server-on", &command, "--address", "10.203.0.2"]);
    let left = fs::read_dir(&cache).unwrap().count();
    assert!(Command::new("umount").arg(&cache).status().unwrap().success());
    assert!(said.contains("cannot be copied to"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(left, 0);
}

#[test]
fn a_killed_measure_leaves_no_process_on_the_other_host() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("killed");
    let arguments = folder.arguments(&hosts.on(FAR), &["--seconds", "600"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut measure = hosts.command(NEAR, PROGRAM, &arguments).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let wait = |count: &dyn Fn(usize) -> bool| {
        while !count(hosts.processes(FAR).len()) {
            assert!(Instant::now() < deadline, "{:?}", hosts.processes(FAR));
            std::thread::yield_now();
        }
    };
    // The agent, and servers.
    wait(&|processes| processes >= 3);
    // 'ip netns exec' becomes the program.
    measure.kill().unwrap();
    measure.wait().unwrap();
    wait(&|processes| processes == 0);
}

#[test]
fn three_hosts_load_a_server_together_and_their_counts_add_up() {
    let Some(hosts) = Namespaces::new(4) else { return };
    let folder = Folder::new("loaders");
    let others = [hosts.on(3), hosts.on(4)];
    let from =
        others.each_ref().map(|on| format!("{on} env XDG_CACHE_HOME={}", folder.path.display()));
    let own = format!("env XDG_CACHE_HOME={}", folder.path.display());
    let more = ["--load-from", &own, "--load-from", &from[0], "--load-from", &from[1]];
    let (results, said) = folder.measure_with(&hosts, &hosts.on(FAR), &more);
    let names = results.machines.load_from();
    assert_eq!(names, [&own, &from[0], &from[1]], "{said}");
    let samples = results.regimes.iter().flat_map(|of| &of.blocks).flat_map(|of| &of.samples);
    let mut seen = 0;
    for sample in samples {
        assert_eq!(sample.generator.hosts.len(), 3);
        let of_hosts: u64 = sample.generator.hosts.iter().map(|share| share.requests).sum();
        assert_eq!(of_hosts, sample.requests);
        assert!(sample.generator.hosts.iter().all(|share| share.requests > 0));
        let latencies: u64 = sample.latency.buckets().map(|(_, count)| count).sum();
        assert_eq!(latencies, sample.requests);
        seen += 1;
    }
    assert!(seen > 10, "{said}");
    assert!(said.contains("The machines that loaded the servers"), "{said}");
    // All hosts are namespaces of one machine, and were told to use the same CPU.
    let warning = format!("warning: '{own}' and '{}' lead to the same machine", from[0]);
    assert!(said.contains(&warning), "{said}");
    assert!((1..=4).all(|host| hosts.processes(host).is_empty()));
}

#[test]
fn servers_of_this_host_are_loaded_from_another_one() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("here");
    let cache = format!("env XDG_CACHE_HOME={}", folder.path.display());
    let from = format!("{} {cache}", hosts.on(2));
    let out = folder.path.join("results.json");
    let run = ["--bench", "--seconds", "4", "--variants", "hyper_per_core", "--regimes", "closed"];
    let from_there = ["--load-from", &from, "--address", "10.203.0.1"];
    let arguments = [&run[..], &from_there, &["--out", out.to_str().unwrap()]].concat();
    let output = hosts.run(NEAR, PROGRAM, &arguments);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let results = Results::read(&out).unwrap();
    assert!(figures::of(&results)[0].rows.iter().all(|row| row.figures.is_ok()), "{said}");
    assert_eq!(results.machines.load_hosts.len(), 1);
    assert!(
        results.machines.load_hosts[0].round_trips_ns.len() > 10,
        "{:?}",
        results.machines.load_hosts
    );
    let interface = results.machines.load_hosts[0].side.interface.as_ref().unwrap();
    assert_eq!(interface.name, "eth0");
    assert!(said.contains("the load generator is on another machine"), "{said}");
    assert!(said.contains("over the network"), "{said}");

    // Without an address they would listen on the loopback address alone.
    let output = hosts.run(NEAR, PROGRAM, &[&run[..], &["--load-from", &from]].concat());
    assert!(text(&output).contains("--address"), "{}", text(&output));
    assert!(!output.status.success());
}

#[test]
fn clients_of_three_hosts_arrive_as_one_schedule() {
    let Some(hosts) = Namespaces::new(4) else { return };
    let folder = Folder::new("arrivals");
    let cache = format!("env XDG_CACHE_HOME={}", folder.path.display());
    let from: Vec<String> =
        [1, 3, 4].iter().map(|&host| format!("{} {cache}", hosts.on(host))).collect();
    let server_on = format!("{} {cache}", hosts.on(FAR));
    let out = folder.path.join("results.json");
    let mut arguments =
        vec!["arrivals", "--rate", "10", "--for", "3s", "--hold", "1s", "--variants", "pinloop"];
    arguments.extend(["--server-on", &server_on, "--address", "10.203.0.2"]);
    arguments.extend(from.iter().flat_map(|from| ["--load-from", from]));
    arguments.extend(["--path", "/", "--out", out.to_str().unwrap()]);
    let output = hosts.run(NEAR, PROGRAM, &arguments);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let results = Results::read(&out).unwrap();
    let arrivals = results.studies.arrivals.unwrap();
    let machines = &arrivals.occasion.machines;
    assert_eq!(machines.load_from(), from);
    assert_eq!(machines.server_on(), Some(server_on.as_str()));
    let remote = machines.remote.as_ref().unwrap();
    assert!(remote.round_trips_ns.len() > 10, "{remote:?}");
    for side in machines.load_hosts.iter().map(|host| &host.side).chain([&remote.server]) {
        assert_eq!(side.interface.as_ref().unwrap().name, "eth0", "{side:?}");
    }
    let shares = &arrivals.tours[0].hosts;
    assert!(shares.len() == 3 && shares.iter().all(|share| share.requests > 0), "{shares:?}");
    let seconds = &arrivals.tours[0].seconds;
    assert!(arrivals.tours[0].failure.is_none(), "{said}");
    // One client each tenth of a second, from one host after the other.
    let clients: Vec<usize> = seconds.iter().map(|second| second.clients).collect();
    assert!(clients.is_sorted() && clients.last() == Some(&30), "{clients:?}");
    assert!(clients[0].abs_diff(10) <= 3, "{clients:?}");
    assert!(seconds.iter().all(|second| second.requests > 0 && second.p99_ns > 0), "{said}");
    assert!(said.contains("The machines that loaded the servers"), "{said}");
}

#[test]
fn a_load_host_that_dies_is_named_and_its_figures_are_not_made() {
    let Some(hosts) = Namespaces::new(3) else { return };
    let folder = Folder::new("dying");
    let from = format!("{} env XDG_CACHE_HOME={}", hosts.on(3), folder.path.display());
    let arguments = folder.arguments(&hosts.on(FAR), &["--load-from", &from, "--seconds", "600"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = hosts.command(NEAR, PROGRAM, &arguments);
    let measure = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // The first start was measured.
    let results = folder.path.join("results.json");
    while !Results::read(&results).is_ok_and(|results| !results.starts.is_empty()) {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    for process in hosts.processes(3) {
        assert!(Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
    }
    let output = measure.wait_with_output().unwrap();
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("the agent on {from} ended")), "{said}");
    assert!(hosts.processes(FAR).is_empty());
}

#[test]
fn servers_whose_machine_is_lost_leave_the_file_of_before_as_it_was() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let folder = Folder::new("lost");
    let path = folder.path.join("results.json");
    let (before, _) = folder.measure(&hosts, &hosts.on(FAR), "before");
    let arguments = folder.arguments(&hosts.on(FAR), &["--seconds", "600", "--name", "lost"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = hosts.command(NEAR, PROGRAM, &arguments);
    let measure = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let is_under_way =
        || Results::read(&path).is_ok_and(|now| now.name == "lost" && !now.starts.is_empty());
    while !is_under_way() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    for process in hosts.processes(FAR) {
        // Servers end with their agent.
        let _ = Command::new("kill").args(["-KILL", &process]).status().unwrap();
    }
    let output = measure.wait_with_output().unwrap();
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("This run has no figures, because all servers failed in start"),
        "{said}"
    );
    let mut results = Results::read(&path).unwrap();
    assert_eq!(results.run_names(), ["before", "lost"]);
    assert!(results.show_run("before"));
    assert_eq!(results.starts.len(), before.starts.len());
    assert!(figures::of(&results)[0].rows.iter().all(|row| row.figures.is_ok()));

    // A study whose servers cannot be reached does not even begin.
    let bytes = fs::read(&path).unwrap();
    let command = format!("{} env XDG_CACHE_HOME={}", hosts.on(FAR), folder.path.display());
    let mut studies = vec!["knee", "arrivals", "work", "memory", "scaling", "offload"];
    // One CPU has nothing to balance.
    studies.extend((allowed_cores().unwrap().len() > 1).then_some("balance"));
    for study in studies {
        // The servers are not at this host's address.
        let out = ["--address", "10.203.0.1", "--listen", "10.203.0.2", "--out"];
        let at = [&[study, "--server-on", &command], &out[..], &[path.to_str().unwrap()]].concat();
        let output = hosts.run(NEAR, PROGRAM, &at);
        let said = text(&output);
        assert!(!output.status.success(), "{study}: {said}");
        assert!(said.contains("cannot connect to it at 10.203.0.1:"), "{study}: {said}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{study}");
    }
}

#[test]
fn the_ladder_runs_over_ssh() {
    let Some(hosts) = Namespaces::new(2) else { return };
    let Some(ssh) = Sshd::start(&hosts) else { return };
    let folder = Folder::new("ssh");
    let (results, said) = folder.measure(&hosts, &ssh.command(), "ssh");
    let gate = results.gate.as_ref().unwrap();
    assert!(gate.exchanges.len() > 20 && gate.is_passed(), "{said}");
    assert!(figures::of(&results)[0].a_to_a.unwrap().interval.is_some(), "{said}");
    assert!(said.contains("a login that prints"), "{said}");
    let deadline = Instant::now() + PATIENCE;
    // The daemon alone, once it has ended the session.
    while hosts.processes(FAR).len() != 1 {
        assert!(Instant::now() < deadline, "{:?}", hosts.processes(FAR));
        std::thread::yield_now();
    }

    // A password is not asked for, because nobody can give it.
    let no_key = ssh.command().replace("-o BatchMode=yes", "-o PubkeyAuthentication=no");
    let said = folder.fail(&hosts, &["--server-on", &no_key, "--address", "10.203.0.2"]);
    assert!(said.contains("Permission denied"), "{said}");

    // Another key of the host is not accepted, and nothing is asked that nobody can answer.
    fs::write(ssh.folder.path.join("known_hosts"), "").unwrap();
    let said = folder.fail(&hosts, &["--server-on", &ssh.command(), "--address", "10.203.0.2"]);
    assert!(said.contains("host key is known"), "{said}");
}
