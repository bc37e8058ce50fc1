//! `--balance connections`: each loop has about the same number of connections.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

use pinloop::{Balance, Config, Core, Listeners, Metrics, Request, Response, Server};
use signal_hook::consts::SIGTERM;

use crate::support::process::Running;
use crate::support::{GET, connect, connect_to, read_response, serve, stop, talk_on, wait_until};

const HOLD: &[u8] = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";

fn balanced(threads: usize) -> (Config, Metrics) {
    let metrics = Metrics::default();
    let config = Config {
        threads: NonZeroUsize::new(threads),
        balance: Balance::Connections,
        metrics: Some(metrics.clone()),
        ..Config::default()
    };
    (config, metrics)
}

/// Returns the value of a counter or gauge in OpenMetrics text, summed up over its series.
fn value(text: &str, name: &str) -> usize {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|r| r.starts_with([' ', '{']));
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<usize>().ok());
    text.lines().filter(of_name).filter_map(value).sum()
}

fn passed(metrics: &Metrics) -> usize {
    value(&metrics.render(), "pinloop_connections_passed_total")
}

/// Asks for `/`. Returns the body.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(GET).unwrap();
    let (head, body) = read_response(stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    String::from_utf8(body).unwrap()
}

/// Makes the service that names its core.
fn name_core(core: Core) -> impl pinloop::Service + use<> {
    move |_: &Request<'_>, response: &mut Response<'_>| {
        response.body(core.index.to_string().as_bytes());
    }
}

#[test]
fn each_loop_has_its_share_and_new_connections_fill_a_gap() {
    let (config, metrics) = balanced(4);
    let server = serve(config, name_core);
    let open = |count: usize| -> Vec<(TcpStream, String)> {
        let client = |mut stream: TcpStream| {
            let core = ask(&mut stream);
            (stream, core)
        };
        (0..count).map(|_| client(connect(&server))).collect()
    };
    let mut clients = open(40);
    for core in ["0", "1", "2", "3"] {
        assert_eq!(clients.iter().filter(|client| client.1 == core).count(), 10, "core {core}");
    }
    let before = passed(&metrics);
    assert!((1..40).contains(&before), "{before} were passed");
    clients.retain(|client| client.1 != "2");
    wait_until("the connections are closed", || {
        value(&metrics.render(), "pinloop_connections_active") == 30
    });
    assert!(open(10).iter().all(|client| client.1 == "2"));
    stop(server);
}

#[test]
fn the_loops_of_the_binary_have_the_same_number_of_connections() {
    let threads = ["--threads", "4", "--no-pin", "--balance", "connections"];
    let admin = ["--admin-addr", "127.0.0.1:0", "--metrics-by-core"];
    let running = Running::start(&[&threads[..], &admin].concat());
    let mut streams: Vec<TcpStream> = (0..42).map(|_| running.connect()).collect();
    streams.iter_mut().for_each(|stream| drop(ask(stream)));
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let page = talk_on(&mut connect_to(running.admin_addr()), request);
    let active =
        |thread: usize| value(&page, &format!("pinloop_connections_active{{thread=\"{thread}\"}}"));
    let active: Vec<usize> = (0..4).map(active).collect();
    assert_eq!(active.iter().sum::<usize>(), 42);
    assert!(active.iter().all(|count| (10..=11).contains(count)), "{active:?}");
    running.end(SIGTERM);
}

/// A server with two loops on one socket. A service blocks one loop, which has one connection. The
/// other loop has two, so that it passes the next connection to the blocked loop.
struct Blocked {
    server: Server,
    metrics: Metrics,
    /// The first is that of the request that blocks.
    streams: Vec<TcpStream>,
    release: mpsc::Sender<()>,
}

impl Blocked {
    fn start() -> Blocked {
        let (config, metrics) = balanced(2);
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let held = Arc::new(Mutex::new((begin, released)));
        // A loop that is blocked then keeps no connection from being accepted.
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = Listeners::inherit(vec![socket]).unwrap();
        let config = Config { pin: Some(false), ..config };
        let make = move |_| {
            let held = held.clone();
            move |request: &Request<'_>, response: &mut Response<'_>| {
                if request.path() == "/hold" {
                    let held = held.lock().unwrap();
                    held.0.send(()).unwrap();
                    held.1.recv().unwrap();
                }
                response.body(b"served");
            }
        };
        let server = pinloop::start_on(listeners, &config, make).unwrap();
        let mut streams: Vec<TcpStream> = vec![connect(&server)];
        streams[0].write_all(HOLD).unwrap();
        begun.recv().unwrap();
        for _ in 0..2 {
            streams.push(connect(&server));
            ask(streams.last_mut().unwrap());
        }
        Blocked { server, metrics, streams, release }
    }

    /// Sends a request on a new connection.
    fn begin_another(&mut self) {
        let mut stream = connect(&self.server);
        stream.write_all(GET).unwrap();
        self.streams.push(stream);
    }
}

#[test]
fn a_connection_on_its_way_to_another_loop_is_served_when_the_server_drains() {
    let mut blocked = Blocked::start();
    blocked.begin_another();
    wait_until("the connection is passed", || passed(&blocked.metrics) == 1);
    blocked.server.stop();
    wait_until("the other loop has drained", || {
        value(&blocked.metrics.render(), "pinloop_connections_active") == 1
    });
    blocked.release.send(()).unwrap();
    let Blocked { server, mut streams, .. } = blocked;
    assert_eq!(read_response(&mut streams[0]).1, b"served");
    let (head, body) = read_response(&mut streams[3]);
    assert_eq!(body, b"served", "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn a_loop_that_its_service_blocks_gets_no_more_connections() {
    let mut blocked = Blocked::start();
    let figures = |blocked: &Blocked| {
        let text = blocked.metrics.render();
        // The one that blocks is not the other loop's.
        let others = value(&text, "pinloop_connections_accepted_total") - 1;
        (others, 1 + passed(&blocked.metrics))
    };
    wait_until("the other loop keeps what it accepts", || {
        blocked.begin_another();
        let (others, blocked) = figures(&blocked);
        others >= blocked + 5
    });
    assert!(figures(&blocked).1 >= 2, "at first the blocked loop gets its share");
    blocked.release.send(()).unwrap();
    for stream in blocked.streams.iter_mut().skip(3) {
        assert_eq!(read_response(stream).1, b"served");
    }
    stop(blocked.server);
}

#[test]
fn a_stop_in_a_burst_loses_no_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let start = || {
        let (config, metrics) = balanced(4);
        let config = Config { pin: Some(false), ..config };
        let listeners = Listeners::inherit(vec![socket.try_clone().unwrap()]).unwrap();
        (pinloop::start_on(listeners, &config, name_core).unwrap(), metrics)
    };
    let (server, metrics) = start();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..100 {
                    ask(&mut connect_to(addr));
                }
            })
        })
        .collect();
    wait_until("the burst has begun", || passed(&metrics) > 20);
    server.stop();
    assert_eq!(server.join().unwrap(), 0);
    // Takes what the first one has left in the queue of the socket.
    let (next, _) = start();
    clients.into_iter().for_each(|client| client.join().expect("each request is answered"));
    stop(next);
}

#[test]
fn limits_count_connections_wherever_they_are() {
    let per_client = NonZeroUsize::new(6);
    for (connections_max, connections_per_client_max) in [(6, None), (100, per_client)] {
        let (config, metrics) = balanced(3);
        let config = Config { connections_max, connections_per_client_max, ..config };
        let server = serve(config, name_core);
        for _ in 0..3 {
            let mut streams: Vec<TcpStream> = (0..6).map(|_| connect(&server)).collect();
            // A full server would close an idle connection for a new one.
            for stream in &mut streams {
                ask(stream);
                stream.write_all(&GET[..9]).unwrap();
            }
            let mut refused = connect(&server);
            assert!(read_response(&mut refused).0.starts_with("HTTP/1.1 503 "));
            drop((streams, refused));
            wait_until("the connections are closed", || {
                value(&metrics.render(), "pinloop_connections_active") == 0
            });
        }
        stop(server);
    }
}

#[test]
fn a_passed_connection_keeps_its_client_and_its_deferred_accept() {
    let log: PathBuf = std::env::temp_dir().join(format!("pinloop-balance-{}", std::process::id()));
    for more in [&["--proxy-protocol"][..], &["--proxy-protocol", "--defer-accept"]] {
        let threads = ["--threads", "3", "--no-pin", "--balance", "connections"];
        let trust = ["--trust", "127.0.0.1", "--access-log", log.to_str().unwrap()];
        let running = Running::start(&[&threads[..], &trust, more].concat());
        let mut streams: Vec<TcpStream> = (0..9).map(|_| running.connect()).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            let header = format!("PROXY TCP4 192.0.2.{number} 127.0.0.1 5 80\r\n");
            stream.write_all(header.as_bytes()).unwrap();
            ask(stream);
        }
        drop(streams);
        running.end(SIGTERM);
        let text = std::fs::read_to_string(&log).unwrap();
        for number in 0..9 {
            let client = format!("\"client\":\"192.0.2.{number}\",\"peer\":\"127.0.0.1\"");
            assert_eq!(text.matches(&client).count(), 1, "{more:?}: {text}");
        }
        std::fs::remove_file(&log).unwrap();
    }
}
