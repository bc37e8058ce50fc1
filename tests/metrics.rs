//! The figures of `GET /metrics`, and the pages for operators.

use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use pinloop::app::App;
use pinloop::http::{BodyWriter, DeferredResponse, Piece, Responder};
use pinloop::{BodyPolicy, Config, Metrics, Request, Response, Service, Workers};
use socket2::SockRef;

use crate::support::{APP, GET, connect, read_response, read_to_end, serve, serve_app, stop, talk};

/// Returns the sum over all threads of the samples of `series` with `label` in their labels.
fn sum(text: &str, series: &str, label: &str) -> f64 {
    let is_meant = |line: &&str| {
        let rest = line.strip_prefix(series);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    let lines: Vec<&str> = text.lines().filter(is_meant).collect();
    assert!(!lines.is_empty(), "no {series} with {label} in {text}");
    lines.into_iter().map(|line| value(line).expect("a value")).sum()
}

#[test]
fn totals_over_all_threads_match_the_traffic() {
    let metrics = Metrics::default();
    let threads = NonZeroUsize::new(2);
    let server = serve_app(Config { threads, metrics: Some(metrics.clone()), ..Config::default() });
    let mut sent = 0;
    let mut received = 0;
    for connection in 0..20 {
        let mut stream = connect(&server);
        for _ in 0..=connection {
            stream.write_all(GET).unwrap();
            let (head, body) = read_response(&mut stream);
            sent += GET.len();
            received += head.len() + body.len();
        }
        let last = b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n";
        stream.write_all(last).unwrap();
        sent += last.len();
        received += read_to_end(&mut stream).len();
    }
    server.stop();
    server.join().unwrap();

    let text = metrics.render();
    let total = |series: &str, label: &str| sum(&text, series, label) as usize;
    assert_eq!(total("pinloop_requests_total", "status=\"2xx\""), 210);
    assert_eq!(total("pinloop_requests_total", "status=\"4xx\""), 40);
    assert_eq!(total("pinloop_requests_total", ""), 250);
    assert_eq!(total("pinloop_rejections_total", "reason=\"request_line\""), 20);
    assert_eq!(total("pinloop_connections_accepted_total", ""), 20);
    assert_eq!(total("pinloop_connections_closed_total", ""), 20);
    assert_eq!(total("pinloop_connections_active", ""), 0);
    assert_eq!(total("pinloop_received_bytes_total", ""), sent);
    assert_eq!(total("pinloop_sent_bytes_total", ""), received);
    assert_eq!(total("pinloop_request_duration_seconds_count", ""), 250);
    assert_eq!(total("pinloop_request_duration_seconds_bucket", "le=\"+Inf\""), 250);
    assert!(sum(&text, "pinloop_request_duration_seconds_sum", "") > 0.0);
    assert!(total("pinloop_wakeups_total", "") > 20);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn each_core_has_its_own_series_if_asked_for() {
    let metrics = Metrics::default().by_core();
    let threads = NonZeroUsize::new(2);
    let server = serve_app(Config { threads, metrics: Some(metrics.clone()), ..Config::default() });
    for _ in 0..9 {
        talk(&server, b"GET / HTTP/1.0\r\n\r\n");
    }
    stop(server);
    let text = metrics.render();
    let core = |thread: &str| {
        let is_meant = |line: &&str| line.contains(thread) && line.contains("status=\"2xx\"");
        let line = text.lines().find(is_meant).expect("a series for each thread");
        line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(core("thread=\"0\"") + core("thread=\"1\""), 9);
    assert_eq!(sum(&text, "pinloop_requests_total", "2xx"), 9.0);
}

#[test]
fn the_text_does_not_grow_with_the_cores() {
    let metrics = Metrics::default();
    let config = |threads| Config {
        threads: NonZeroUsize::new(threads),
        metrics: Some(metrics.clone()),
        ..Config::default()
    };
    stop(serve_app(config(1)));
    let one = metrics.render().len();
    stop(serve_app(config(15)));
    let all = metrics.render().len();
    assert!(all < one + 100, "{one} bytes for one thread, {all} for 16");
}

#[test]
fn counts_a_deferred_response_once() {
    let metrics = Metrics::default();
    let workers = Workers::start(NonZeroUsize::MIN, &[], 8).unwrap();
    let app = App { workers: Some(workers), metrics: Some(metrics.clone()), ..APP };
    let config = Config { metrics: Some(metrics.clone()), ..Config::default() };
    let server = serve(config, move |_| app.clone());
    let mut stream = connect(&server);
    for _ in 0..5 {
        stream.write_all(b"GET /data?offload HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_response(&mut stream);
    }
    stop(server);
    let text = metrics.render();
    assert_eq!(sum(&text, "pinloop_requests_total", "2xx"), 5.0);
    assert_eq!(sum(&text, "pinloop_request_duration_seconds_count", ""), 5.0);
}

#[test]
fn counts_timeouts_by_kind() {
    let metrics = Metrics::default();
    let mut config = Config { metrics: Some(metrics.clone()), ..Config::default() };
    config.timeouts.head = Duration::from_millis(100);
    config.timeouts.idle = Duration::from_millis(100);
    let server = serve_app(config);
    assert!(talk(&server, b"GET / HT").starts_with("HTTP/1.1 408 "));
    assert!(talk(&server, GET).starts_with("HTTP/1.1 200 "));
    stop(server);
    let text = metrics.render();
    assert_eq!(sum(&text, "pinloop_timeouts_total", "waiting_for=\"head\""), 1.0);
    assert_eq!(sum(&text, "pinloop_timeouts_total", "waiting_for=\"idle\""), 1.0);
    assert_eq!(sum(&text, "pinloop_rejections_total", "reason=\"timeout\""), 1.0);
}

#[test]
fn the_metrics_page_exists_if_metrics_are_on() {
    let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let without = serve_app(Config::default());
    assert!(talk(&without, get).starts_with("HTTP/1.1 404 "));
    stop(without);

    let metrics = Metrics::default();
    let app = App { metrics: Some(metrics.clone()), ..APP };
    let config = Config { metrics: Some(metrics), ..Config::default() };
    let server = serve(config, move |_| app.clone());
    talk(&server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let page = talk(&server, get);
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("pinloop_requests_total{status=\"2xx\"} 1\n"), "{page}");
    assert!(page.contains("# TYPE pinloop_requests_total counter\n"), "{page}");
    // As Prometheus asks.
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    let get_openmetrics =
        format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\nConnection: close\r\n\r\n");
    let page = talk(&server, get_openmetrics.as_bytes());
    assert!(page.contains("content-type: application/openmetrics-text; version=1.0.0"), "{page}");
    assert!(page.contains("# TYPE pinloop_requests counter\n"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    let delete = b"DELETE /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let rejected = talk(&server, delete);
    assert!(
        rejected.starts_with("HTTP/1.1 405 ") && rejected.contains("allow: GET, HEAD, OPTIONS")
    );
    stop(server);
}

#[test]
fn is_ready_until_it_drains() {
    let server = serve_app(Config::default());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(talk(&server, get("/healthz").as_bytes()).starts_with("HTTP/1.1 200 "));
    assert!(talk(&server, get("/readyz").as_bytes()).starts_with("HTTP/1.1 200 "));

    let mut unfinished = connect(&server);
    let mut idle = connect(&server);
    unfinished.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\n").unwrap();
    read_response(&mut unfinished);
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    server.stop();
    // The server closes the idle connection when it begins to drain.
    assert_eq!(read_to_end(&mut idle), "");
    unfinished.write_all(b"Host: a\r\n\r\n").unwrap();
    let output = read_to_end(&mut unfinished);
    assert!(output.starts_with("HTTP/1.1 503 ") && output.contains("connection: close"));
    server.join().unwrap();
}

#[test]
fn counts_shed_connections() {
    let metrics = Metrics::default();
    let config = Config { connections_max: 1, metrics: Some(metrics.clone()), ..Config::default() };
    let server = serve_app(config);
    let mut first = connect(&server);
    // An idle connection would be closed to make room.
    first.write_all(&[GET, &GET[..1]].concat()).unwrap();
    read_response(&mut first);
    for _ in 0..3 {
        assert!(talk(&server, b"").starts_with("HTTP/1.1 503 "));
    }
    stop(server);
    let text = metrics.render();
    assert_eq!(sum(&text, "pinloop_connections_shed_total", "for_want_of=\"room\""), 3.0);
    assert_eq!(sum(&text, "pinloop_connections_shed_total", "for_want_of=\"descriptors\""), 0.0);
    assert_eq!(sum(&text, "pinloop_rejections_total", "reason=\"overload\""), 3.0);
}

#[test]
fn does_not_count_a_discarded_response() {
    let metrics = Metrics::default();
    let config = Config { metrics: Some(metrics.clone()), ..Config::default() };
    let server = serve(config, |_| Hasty);
    let malformed = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert!(talk(&server, malformed).starts_with("HTTP/1.1 400 "));
    assert!(talk(&server, GET).starts_with("HTTP/1.1 500 "));
    stop(server);
    let text = metrics.render();
    for (status, count) in [("2xx", 0.0), ("4xx", 1.0), ("5xx", 1.0)] {
        assert_eq!(sum(&text, "pinloop_requests_total", status), count, "{status}");
    }
}

/// Panics after a response, and begins a streamed response before the body has arrived.
struct Hasty;

impl Service for Hasty {
    fn call(&mut self, _: &Request<'_>, response: &mut Response<'_>) {
        response.body(b"response");
        panic!("the test asked for a panic after the response");
    }

    fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        let receiver = |_: Option<&Piece<'_>>, body: &mut BodyWriter<'_>| body.write(b"so far");
        BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
    }
}

#[test]
fn a_rejection_replaces_a_deferred_response() {
    let metrics = Metrics::default();
    let (sender, responders) = mpsc::channel();
    let mut config = Config { metrics: Some(metrics.clone()), ..Config::default() };
    config.buffered_bytes_max = config.limits.head_bytes_max;
    let held_bytes = config.buffered_bytes_max;
    let server = serve(config, move |_| {
        let sender: mpsc::Sender<Responder> = sender.clone();
        move |_: &Request<'_>, response: &mut Response<'_>| sender.send(response.defer()).unwrap()
    });
    let mut stream = connect(&server);
    let mut request = GET.to_vec();
    request.resize(GET.len() + held_bytes + 1, b'x');
    stream.write_all(&request).unwrap();
    assert!(read_response(&mut stream).0.starts_with("HTTP/1.1 503 "));
    responders.recv().unwrap().respond(DeferredResponse::new(200));
    stop(server);
    let text = metrics.render();
    assert_eq!(sum(&text, "pinloop_requests_total", ""), 1.0);
    assert_eq!(sum(&text, "pinloop_request_duration_seconds_count", ""), 1.0);
}

#[test]
fn counts_connections_that_clients_reset() {
    let metrics = Metrics::default();
    let server = serve_app(Config { metrics: Some(metrics.clone()), ..Config::default() });
    let mut stream = connect(&server);
    stream.write_all(GET).unwrap();
    read_response(&mut stream);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    stop(server);
    assert_eq!(sum(&metrics.render(), "pinloop_connection_errors_total", "kind=\"reset\""), 1.0);
}
