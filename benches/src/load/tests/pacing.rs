//! Fixed rates, arriving clients, and runs that end early.

use super::*;

#[test]
fn at_a_rate_every_request_is_sent_once() {
    let server = Server::answering(OK);
    let mut generator = server.connect(4, 1);
    let outcome = generator.run(Pace::Rate(1e5), Stop::Requests(500)).unwrap();
    assert_eq!((outcome.requests, outcome.unsent), (500, 0));
    let time = Duration::from_millis(20);
    let outcome = generator.run(Pace::Rate(1000.0), Stop::After(time)).unwrap();
    assert_eq!((outcome.requests + outcome.unsent, outcome.errors.total()), (20, 0));
    assert!(outcome.elapsed >= time);
}

#[test]
fn at_a_rate_the_wait_for_a_free_connection_is_latency() {
    let pause = Duration::from_millis(40);
    let first = AtomicU64::new(0);
    let server = Server::start(move |peer, _| {
        while peer.take_request() {
            if first.fetch_add(1, Relaxed) == 0 {
                thread::sleep(pause);
            }
            peer.say(OK);
        }
    });
    // The eleventh starts 10 ms after the first, which takes 40 ms.
    let outcome = server.connect(1, 1).run(Pace::Rate(1000.0), Stop::Requests(11)).unwrap();
    assert_eq!(outcome.requests, 11);
    assert!(outcome.latency_ns.min() >= 29_000_000, "{}", outcome.latency_ns.min());
}

#[test]
fn due_requests_without_a_free_connection_are_counted() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        thread::sleep(Duration::from_millis(30));
        peer.say(OK);
    });
    let mut generator = server.connect(1, 1);
    let stop = Stop::After(Duration::from_millis(20));
    let outcome = generator.run(Pace::Rate(1000.0), stop).unwrap();
    assert_eq!(outcome.requests + outcome.unsent, 20);
    assert!(outcome.unsent >= 19);
}

#[test]
fn clients_arrive_and_stay_to_the_end() {
    let server = Server::answering(OK);
    let first = Phase { clients_per_second: 200.0, lasts: Duration::from_millis(50) };
    let then = Phase { clients_per_second: 500.0, lasts: Duration::from_secs(3600) };
    let arrivals = Arrivals { phases: vec![first, then], clients_max: 15 };
    let mut snapshots = Vec::new();
    let mut tell = |snapshot: &Snapshot| {
        snapshots.push(*snapshot);
        if snapshot.clients < 15 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let watch = Watch::new(Duration::from_millis(10), &mut tell);
    let mut generator = server.connect(0, 1);
    let outcome = generator.run_arrivals(&arrivals, watch).unwrap();
    assert_eq!((outcome.connects, outcome.errors.total()), (15, 0));
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    let told: u64 = snapshots.iter().map(|snapshot| snapshot.requests).sum();
    assert_eq!(told, outcome.requests);
    assert!(snapshots.is_sorted_by_key(|snapshot| snapshot.clients));
}

#[test]
fn the_watch_may_end_the_run() {
    let server = Server::answering(OK);
    let mut told = 0;
    let mut tell = |_: &Snapshot| {
        told += 1;
        ControlFlow::Break(())
    };
    let watch = Watch::new(Duration::from_millis(1), &mut tell);
    let stop = Stop::After(Duration::from_secs(3600));
    let outcome = server.connect(2, 1).run_watched(Pace::Closed, stop, watch).unwrap();
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    assert!(outcome.elapsed < Duration::from_secs(3600));
    assert_eq!(told, 2); // and once at the end
}
