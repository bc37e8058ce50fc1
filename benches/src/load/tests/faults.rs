//! Servers that fail, and requests that cannot be sent.

use super::*;

fn errors_without_an_answer(run: Result<Outcome, LoadError>) -> Errors {
    match run {
        Err(LoadError::NoAnswer { errors, .. }) => errors,
        Err(error) => panic!("{error}"),
        Ok(outcome) => panic!("{} answers", outcome.requests),
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_an_error_each_time() {
    let server = Server::start(|peer, nth| {
        if nth > 0 {
            peer.take_request();
            return;
        }
        peer.take_request();
        peer.say(OK);
        peer.take_request();
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.unanswered), (1, 9));
    assert_eq!(outcome.errors, Errors { closed_early: 9, ..Errors::default() });
    assert_eq!(
        outcome.first_error.as_deref(),
        Some("the server closed the connection without an answer")
    );
}

#[test]
fn a_server_that_closes_amid_an_answer_is_an_error() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() && peer.say(&OK[..OK.len() - (nth == 0) as usize]) && nth > 0 {}
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.closed_early), (9, 1));
    assert_eq!(
        outcome.first_error.as_deref(),
        Some("the server closed the connection amid an answer")
    );
}

#[test]
fn a_server_that_hangs_is_timed_out() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() {
            if nth == 0 {
                return peer.wait_for_the_end();
            }
            peer.say(OK);
        }
    });
    let outcome = server.connect_impatiently().run(Pace::Closed, Stop::Requests(10)).unwrap();
    // One, unless this machine pauses.
    assert!(outcome.errors.timeout >= 1);
    assert_eq!(outcome.unanswered, outcome.errors.timeout);
    assert_eq!(outcome.requests + outcome.unanswered, 10);
}

#[test]
fn a_run_ends_though_the_last_answer_never_does() {
    let server = Server::start(|peer, _| {
        peer.take_request();
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n");
        while peer.say(b"for ever") {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let run = server.connect_impatiently().run(Pace::Closed, Stop::Requests(1));
    let errors = errors_without_an_answer(run);
    assert_eq!(errors.timeout, 1);
}

#[test]
fn nonsense_is_malformed_and_no_figure() {
    let server = Server::answering(b"SSH-2.0-OpenSSH_9.2\r\n");
    let error = server.run_ten().unwrap_err();
    let LoadError::NoAnswer { errors, .. } = error else { panic!("{error}") };
    assert_eq!(errors, Errors { malformed: 10, ..Errors::default() });
    assert_eq!(
        error.to_string(),
        "nothing was measured: the answer is malformed: it doesn't begin with an HTTP/1 status \
         line (10 errors in all)"
    );
}

#[test]
fn more_answers_than_requests_are_malformed() {
    let run = Server::answering([OK, OK].concat().leak()).run_ten().unwrap();
    assert_eq!((run.requests, run.errors.malformed), (10, 10));
}

#[test]
fn answers_other_than_2xx_are_counted_and_named() {
    let server = Server::answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.status), (10, 10));
    assert_eq!(outcome.first_error.as_deref(), Some("the answer's status was 404"));
}

#[test]
fn a_reset_is_told_from_a_close() {
    let server = Server::start(|peer, nth| {
        while peer.take_request() {
            if nth == 0 {
                socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            peer.say(OK);
        }
    });
    let outcome = server.run_ten().unwrap();
    assert_eq!(outcome.errors, Errors { reset: 1, ..Errors::default() });
}

#[test]
fn a_server_that_is_gone_ends_the_run() {
    let (_held, addr) = held_port();
    let listener = reusable_socket(addr);
    listener.listen(1).unwrap();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let shape = Shape { connections: 1, ..Shape::default() };
    let mut generator = Generator::connect(&target, &shape).unwrap();
    generator.set_timeout(TIMEOUT);
    drop(listener);
    let run = generator.run(Pace::Closed, Stop::Requests(u64::MAX));
    let errors = errors_without_an_answer(run);
    assert!(errors.refused > 0);
    assert_eq!(errors.total(), errors.refused + errors.reset + errors.closed_early);
}

#[test]
fn a_refused_connection_is_reported_at_once() {
    let (_held, addr) = held_port();
    let target = Target { addr, request: REQUEST.to_vec(), method_is_head: false };
    let error = Generator::connect(&target, &Shape::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to {addr}: the connection was refused"));
}

#[test]
fn impossible_shapes_and_rates_are_refused() {
    let server = Server::answering(OK);
    let connect = |shape: Shape| Generator::connect(&server.target, &shape).map(drop);
    let none = server.connect(0, 1).run(Pace::Closed, Stop::Requests(1));
    assert!(matches!(none, Err(LoadError::EmptyShape)));
    let none = server.connect(1, 1).run(Pace::Rate(0.0), Stop::Requests(1));
    assert!(matches!(none, Err(LoadError::Rate(0.0))));
    let none = connect(Shape { pipeline: 0, ..Shape::default() });
    assert!(matches!(none, Err(LoadError::EmptyShape)));
    let empty = Target { request: Vec::new(), ..server.target.clone() };
    let none = Generator::connect(&empty, &Shape::default());
    assert!(matches!(none, Err(LoadError::EmptyRequest)));
    let many = connect(Shape { connections: 1 << 40, ..Shape::default() });
    assert!(matches!(many, Err(LoadError::Descriptors { .. })));
}
