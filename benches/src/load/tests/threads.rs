//! Several threads that load one server together.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use super::*;

/// Every third answer of all connections together is a refusal.
fn refusing_every_third() -> Server {
    let count = AtomicU64::new(0);
    Server::start(move |peer, _| {
        while peer.take_request() {
            let refuse = count.fetch_add(1, Relaxed) % 3 == 2;
            peer.say(if refuse { b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n" } else { OK });
        }
    })
}

/// All figures of a run that do not depend on time.
fn counts(outcome: &Outcome) -> String {
    let Outcome { requests, unanswered, unsent, errors, bytes_sent, connects, .. } = outcome;
    let (statuses, latencies) = (outcome.statuses.by_status(), outcome.latency_ns.len());
    format!(
        "{requests} {statuses:?} {unanswered} {unsent} {errors:?} {bytes_sent} {connects} \
         {latencies} {}",
        outcome.in_flight_max
    )
}

#[test]
fn several_threads_have_the_counts_of_one_thread() {
    for (pace, stop) in
        [(Pace::Closed, Stop::Requests(100)), (Pace::Rate(5e4), Stop::Requests(101))]
    {
        let run = |threads| {
            let server = refusing_every_third();
            let outcome = server.connect_threads(threads, 5).run(pace, stop).unwrap();
            assert_eq!(outcome.threads, threads);
            assert_eq!(outcome.requests, server.requests.load(Relaxed));
            outcome
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            assert_eq!(counts(&run(threads)), counts(&one), "{threads} threads, {pace:?}");
        }
    }
}

#[test]
fn several_threads_have_the_rate_of_one_thread() {
    let server = Server::answering(OK);
    let stop = Stop::After(Duration::from_millis(10));
    for threads in [1, 2, 3, 5] {
        let outcome = server.connect_threads(threads, 5).run(Pace::Rate(9_950.0), stop).unwrap();
        // Every request was due; on a busy machine some were not sent in time.
        assert_eq!(outcome.requests + outcome.unsent, 100, "{threads} threads");
        assert_eq!(outcome.errors.total(), 0);
    }
}

#[test]
fn a_run_by_time_counts_every_answer_of_every_thread() {
    let server = Server::answering(OK);
    let mut threads = server.connect_threads(3, 4);
    let mut requests = 0;
    for _ in 0..3 {
        let time = Duration::from_millis(10);
        let outcome = threads.run(Pace::Closed, Stop::After(time)).unwrap();
        requests += outcome.requests;
        assert_eq!(requests, server.requests.load(Relaxed));
        assert_eq!((outcome.connects, outcome.latency_ns.len()), (0, outcome.requests));
        assert!(outcome.elapsed >= time);
        assert!(outcome.busiest_cpu <= outcome.cpu);
    }
    let on_each = threads.answered().unwrap();
    assert_eq!(on_each.iter().map(|&(_, answers)| answers).sum::<u64>(), requests);
    assert_eq!(on_each.iter().map(|&(addr, _)| addr).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn connections_are_spread_evenly_over_the_threads_that_keep_them() {
    let on = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&on);
    let server = Server::start(move |peer, nth| {
        while peer.take_request() {
            seen.lock().unwrap().push(nth);
            peer.say(OK);
        }
    });
    let mut threads = server.connect_threads(2, 3);
    threads.run(Pace::Rate(1e5), Stop::Requests(300)).unwrap();
    // The first thread opens two connections, and gets two of three requests.
    let of =
        |connections: &[u64]| on.lock().unwrap().iter().filter(|n| connections.contains(n)).count();
    assert_eq!((of(&[0, 1]), of(&[2])), (200, 100));
}

#[test]
fn one_thread_learns_the_answer_that_all_threads_compare_with() {
    let count = AtomicU64::new(0);
    let server = Server::start(move |peer, _| {
        while peer.take_request() {
            let first = count.fetch_add(1, Relaxed) == 0;
            peer.say(if first { OK } else { b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhullo" });
        }
    });
    let mut threads = server.connect_threads(2, 2);
    threads.compare_with_first().unwrap();
    assert_eq!(server.requests.load(Relaxed), 1);
    assert!(threads.expected().is_some());
    let outcome = threads.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!(outcome.errors, Errors { different: 10, ..Errors::default() });
}

#[test]
fn the_clients_of_all_threads_arrive_and_are_told_together() {
    let server = Server::answering(OK);
    let phase = Phase { clients_per_second: 500.0, lasts: Duration::from_secs(3600) };
    let arrivals = Arrivals { phases: vec![phase], clients_max: 15 };
    let mut snapshots = Vec::new();
    let mut tell = |snapshot: &Snapshot| {
        snapshots.push(*snapshot);
        if snapshot.clients < 15 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let watch = Watch::new(Duration::from_millis(10), &mut tell);
    let outcome = server.connect_threads(2, 0).run_arrivals(&arrivals, watch).unwrap();
    assert_eq!((outcome.connects, outcome.errors.total(), outcome.threads), (15, 0, 2));
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    let told: u64 = snapshots.iter().map(|snapshot| snapshot.requests).sum();
    assert_eq!(told, outcome.requests);
    assert!(snapshots.is_sorted_by_key(|snapshot| snapshot.clients));
    assert!(snapshots.is_sorted_by(|one, other| one.at_seconds <= other.at_seconds));
}

#[test]
fn a_server_that_dies_is_named_once() {
    let (_held, addr) = held_port();
    let listener = reusable_socket(addr);
    listener.listen(16).unwrap();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let shape = Shape { connections: 4, ..Shape::default() };
    let mut threads = Threads::connect(&target, &shape, &unpinned(2)).unwrap();
    threads.set_timeout(TIMEOUT).unwrap();
    drop(listener);
    let error = threads.run(Pace::Closed, Stop::Requests(u64::MAX)).unwrap_err();
    let LoadError::NoAnswer { errors, .. } = &error else { panic!("{error}") };
    assert!(errors.refused > 0);
    let said = error.to_string();
    assert_eq!(said.matches("nothing was measured").count(), 1, "{said}");
}

#[test]
fn a_thread_without_an_answer_is_no_failure_beside_one_with_answers() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() {
            if nth == 1 {
                return peer.wait_for_the_end();
            }
            peer.say(OK);
        }
    });
    let mut threads = server.connect_threads(2, 2);
    threads.set_timeout(TIMEOUT).unwrap();
    let outcome = threads.run(Pace::Closed, Stop::Requests(2)).unwrap();
    assert_eq!((outcome.requests, outcome.errors.timeout, outcome.unanswered), (1, 1, 1));
    assert_eq!(outcome.first_error.as_deref(), Some("nothing arrived for 50ms"));
}

#[test]
fn a_refused_connection_of_a_thread_is_reported_at_once() {
    let (_held, addr) = held_port();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let error = Threads::connect(&target, &Shape::default(), &unpinned(3)).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {addr}: the connection was refused"));
}

#[test]
fn a_thread_that_is_gone_ends_the_run_of_the_others() {
    let server = Server::answering(OK);
    let mut threads = server.connect_threads(2, 2);
    // The first thread panics, and the second one would wait for it.
    let gone = threads.for_each(|_| panic!("on purpose"));
    assert!(matches!(gone, Err(LoadError::Panicked)));
    let error = threads.run(Pace::Closed, Stop::Requests(10)).unwrap_err();
    assert_eq!(error.to_string(), "a thread of the load generator has panicked");
    assert_eq!(server.requests.load(Relaxed), 0);
}

#[test]
fn bad_threads_and_rates_are_refused_once() {
    let server = Server::answering(OK);
    let connect = |shape: &Shape, placement: &Placement| {
        Threads::connect(&server.target, shape, placement).map(drop)
    };
    let two = Shape { connections: 2, ..Shape::default() };
    let many = connect(&two, &unpinned(3));
    assert!(matches!(many, Err(LoadError::TooManyThreads { threads: 3, connections: 2 })));
    let nowhere = Placement::on(&[0, 1000], 2);
    assert!(matches!(connect(&two, &nowhere), Err(LoadError::Core(_))));
    let none = server.connect_threads(2, 2).run(Pace::Rate(-1.0), Stop::Requests(1));
    assert!(matches!(none, Err(LoadError::Rate(-1.0))));
    let nobody = Arrivals { phases: Vec::new(), clients_max: 9 };
    let mut tell = |_: &Snapshot| ControlFlow::Continue(());
    let watch = Watch::new(TIMEOUT, &mut tell);
    let none = server.connect_threads(2, 0).run_arrivals(&nobody, watch);
    assert!(matches!(none, Err(LoadError::EmptyShape)));
}

#[test]
fn the_watch_may_end_the_run_of_all_threads() {
    let server = Server::answering(OK);
    let mut told = 0;
    let mut tell = |_: &Snapshot| {
        told += 1;
        ControlFlow::Break(())
    };
    let watch = Watch::new(Duration::from_millis(1), &mut tell);
    let stop = Stop::After(Duration::from_secs(3600));
    let outcome = server.connect_threads(2, 2).run_watched(Pace::Closed, stop, watch).unwrap();
    assert_eq!(outcome.requests, server.requests.load(Relaxed));
    assert!(outcome.elapsed < Duration::from_secs(3600));
    assert!(told >= 2);
}

#[test]
fn the_shares_of_two_machines_are_one_load() {
    let server = Server::answering(OK);
    let shape = Shape { connections: 5, ..Shape::default() };
    let mut all = Outcome::none();
    // One thread here, two there.
    for (threads, first) in [(1, 0), (2, 1)] {
        let placement = unpinned(threads).within(first, 3);
        let mut threads = Threads::connect(&server.target, &shape, &placement).unwrap();
        threads.compare_with_first().unwrap();
        all.merge(&threads.run(Pace::Rate(1e5), Stop::Requests(101)).unwrap());
    }
    assert_eq!((all.requests, all.in_flight_max, all.threads), (101, 5, 3));
    assert_eq!(server.requests.load(Relaxed), 101 + 2);
}

#[test]
fn a_run_starts_at_its_instant() {
    let server = Server::answering(OK);
    for threads in [1, 2] {
        let mut threads = server.connect_threads(threads, 2);
        let start = Instant::now() + Duration::from_millis(20);
        threads.start_next_at(start);
        let outcome = threads.run(Pace::Closed, Stop::Requests(2)).unwrap();
        assert!(Instant::now() >= start);
        assert_eq!(outcome.requests, 2);
    }
}

/// One of several machines may get its order late. Its requests must not count for a shorter time
/// than those of the others, and the requests that were due meanwhile are late.
#[test]
fn a_run_whose_instant_has_passed_counts_from_that_instant() {
    let server = Server::answering(OK);
    let late = Duration::from_millis(100);
    for threads in [1, 2] {
        let mut generator = server.connect_threads(threads, 2);
        generator.start_next_at(Instant::now() - late);
        let closed = generator.run(Pace::Closed, Stop::After(late / 2)).unwrap();
        assert_eq!(closed.requests, threads as u64, "its time had passed");
        assert!(closed.elapsed >= late, "{:?}", closed.elapsed);
        generator.start_next_at(Instant::now() - late);
        let paced = generator.run(Pace::Rate(1e6), Stop::Requests(10)).unwrap();
        assert_eq!(paced.requests, 10);
        assert!(paced.elapsed >= late, "{:?}", paced.elapsed);
        assert!(paced.latency_ns.min() > 99_000_000, "{}", paced.latency_ns.min());
    }
}

#[test]
fn closing_closes_every_connection() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::start(move |peer, _| {
        peer.wait_for_the_end();
        tell.send(()).unwrap();
    });
    server.connect_threads(2, 5).close();
    assert_eq!(told.iter().take(5).count(), 5);
}
