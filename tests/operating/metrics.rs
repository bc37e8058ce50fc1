//! The metrics that an operator asks for, as Prometheus sees them.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use signal_hook::consts::SIGTERM;

use super::{ADMIN, get, path};
use crate::faults::{has_program, skip};
use crate::support::process::Running;
use crate::support::{GET, connect_to, read_response, wait_until};

/// Returns the value of the series that begins with `series`.
fn value(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {series} in {page}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value")
}

#[test]
fn limited_requests_are_counted_apart_and_by_the_rate() {
    let limits = ["--rate-limit", "1/m", "--rate-limit-burst", "2"];
    let total = ["--rate-limit-total", "1/m", "--rate-limit-total-burst", "100"];
    let running = Running::start_unpinned(&[&ADMIN[..], &limits, &total].concat());
    let mut stream = running.connect();
    for _ in 0..7 {
        stream.write_all(GET).unwrap();
        read_response(&mut stream);
    }
    stream.write_all(b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_response(&mut stream);
    let page = get(running.admin_addr(), "/metrics");
    assert_eq!(value(&page, "pinloop_requests_total{status=\"429\"}"), 6.0);
    assert_eq!(value(&page, "pinloop_requests_total{status=\"4xx\"}"), 0.0);
    assert_eq!(value(&page, "pinloop_requests_total{status=\"2xx\"}"), 2.0);
    assert_eq!(value(&page, "pinloop_limited_total{rate=\"client\"}"), 6.0);
    assert_eq!(value(&page, "pinloop_limited_total{rate=\"total\"}"), 0.0);
}

#[test]
fn the_process_the_limits_the_workers_and_the_build_are_shown() {
    let arguments = ["--max-connections", "123", "--workers", "1"];
    let running = Running::start_unpinned(&[&ADMIN[..], &arguments].concat());
    let mut stream = running.connect();
    stream.write_all(b"GET /data?offload HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_response(&mut stream);
    let page = get(running.admin_addr(), "/metrics");
    assert_eq!(value(&page, "pinloop_limit{option=\"max-connections\"}"), 123.0);
    assert_eq!(value(&page, "pinloop_worker_jobs_begun_total"), 1.0);
    assert_eq!(value(&page, "pinloop_worker_jobs_waiting"), 0.0);
    assert!(value(&page, "pinloop_worker_wait_seconds_total") > 0.0);
    assert_eq!(value(&page, "pinloop_drain_phase"), 0.0);
    assert_eq!(value(&page, "pinloop_threads"), 1.0);
    // The page itself takes a descriptor.
    let open = value(&page, "process_open_fds");
    assert!((open - running.open_files() as f64).abs() <= 2.0, "{open}");
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
    assert!(value(&page, "process_cpu_seconds_total") >= 0.0);
    assert!(value(&page, "process_start_time_seconds") > 1.7e9);
    assert!(value(&page, "process_max_fds") > 123.0);
    let version = concat!("pinloop_build_info{version=\"", env!("CARGO_PKG_VERSION"));
    assert!(page.contains(version), "{page}");
}

/// The table of the documentation lacked a metric.
#[test]
fn the_documentation_lists_each_metric() {
    let limits = ["--rate-limit", "1/m", "--rate-limit-total", "1/m", "--workers", "1"];
    let running = Running::start_unpinned(&[&ADMIN[..], &limits].concat());
    let page = get(running.admin_addr(), "/metrics");
    let name = |line: &'_ str| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_string());
    let names = page.lines().filter_map(name).filter(|name| name.starts_with("pinloop_"));
    let names: Vec<String> = names.collect();
    assert!(names.len() > 20, "{page}");
    let text = include_str!("../../docs/operating.md");
    for name in names {
        let is_listed =
            [format!("`{name}`"), format!("`{name}{{")].iter().any(|at| text.contains(at));
        assert!(is_listed, "docs/operating.md does not list {name}");
    }
}

#[test]
fn the_drain_phase_follows_a_stop() {
    let running = Running::start_unpinned(&[&ADMIN[..], &["--drain-delay", "3600"]].concat());
    running.signal(SIGTERM);
    wait_until("the phase changes", || {
        value(&get(running.admin_addr(), "/metrics"), "pinloop_drain_phase") == 1.0
    });
}

#[test]
fn each_core_has_its_own_series_only_if_asked_for() {
    for (more, is_shown) in [(&[][..], false), (&["--metrics-by-core"], true)] {
        let running = Running::start_unpinned(&[&ADMIN, more].concat());
        let page = get(running.admin_addr(), "/metrics");
        assert_eq!(page.contains("thread=\"0\""), is_shown, "{page}");
    }
}

#[test]
fn promtool_finds_nothing_to_improve() {
    if !has_program("promtool") {
        return skip("promtool is not installed");
    }
    let limits = ["--rate-limit", "9/s", "--workers", "1"];
    let running = Running::start_unpinned(&[&ADMIN[..], &limits].concat());
    let response = get(running.admin_addr(), "/metrics");
    let (_, page) = response.split_once("\r\n\r\n").expect("a body");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let message = [output.stdout, output.stderr].concat();
    let message = String::from_utf8_lossy(&message);
    assert!(output.status.success() && message.is_empty(), "{message}\n{page}");
}

/// A real Prometheus reads the page while the public side is full and limited.
#[test]
fn prometheus_scrapes_an_overloaded_server() {
    if !has_program("prometheus") {
        return skip("prometheus is not installed");
    }
    let limits = ["--max-connections", "1", "--rate-limit-total", "1/m"];
    let running = Running::start_unpinned(&[&ADMIN[..], &limits].concat());
    let mut held = running.connect();
    held.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut held);
    let folder = path("prometheus");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("prometheus.yml");
    let target = running.admin_addr();
    // Ten scrapers, each with 2 s for a scrape, because the machine may be busy.
    let job = |number: u32| {
        format!("- job_name: job{number}\n  static_configs:\n  - targets: ['{target}']\n")
    };
    let jobs: String = (0..10).map(job).collect();
    let config =
        format!("global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\nscrape_configs:\n{jobs}");
    std::fs::write(&file, config).unwrap();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={addr}"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ask = |query: &str| {
        let Ok(_) = std::net::TcpStream::connect(addr) else { return String::new() };
        let request = format!("GET /api/v1/query?query={query} HTTP/1.0\r\nHost: a\r\n\r\n");
        crate::support::talk_on(&mut connect_to(addr), request.as_bytes())
    };
    // The count of scrapes, and the share of those that succeeded.
    wait_until("Prometheus has scraped 50 times", || {
        let text = ask("sum(count_over_time(up%5B1m%5D))");
        let count = text.rsplit(",\"").next().and_then(|rest| rest.split('"').next());
        count.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 50)
    });
    let share = ask("avg(avg_over_time(up%5B1m%5D))");
    let shed = ask("pinloop_build_info");
    let _ = child.kill();
    let _ = child.wait();
    let _ = std::fs::remove_dir_all(&folder);
    assert!(share.contains(",\"1\"]"), "some scrapes failed: {share}");
    assert!(shed.contains("\"version\""), "{shed}");
}
