//! Servers with an answer that differs from the first one, or from an expected one.

use super::*;

const DATES: [&str; 2] = ["Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 25 Nov 2026 21:17:00 GMT"];

/// A server that gives `answers` in turn, the last one again and again. All connections share
/// one count.
fn answering_in_turn(answers: Vec<Vec<u8>>) -> Server {
    let count = AtomicU64::new(0);
    Server::start(move |peer, _| {
        while peer.take_request() {
            let at = count.fetch_add(1, Relaxed) as usize;
            peer.say(&answers[at.min(answers.len() - 1)]);
        }
    })
}

fn answer(date: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn chunked(chunks: &[&str]) -> Vec<u8> {
    let mut answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_string();
    for chunk in chunks {
        answer += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
    }
    (answer + "0\r\n\r\n").into_bytes()
}

/// Compares 99 answers with the first one, on three connections.
fn compare(server: &Server) -> Outcome {
    let mut generator = server.connect(3, 4);
    generator.compare_with_first().unwrap();
    generator.run(Pace::Closed, Stop::Requests(99)).unwrap()
}

#[test]
fn equal_answers_with_other_dates_are_the_same() {
    let answers = (0..100).map(|at| answer(DATES[at / 7 % 2], "hello")).collect();
    let outcome = compare(&answering_in_turn(answers));
    assert_eq!((outcome.requests, outcome.errors.total()), (99, 0));
}

#[test]
fn one_wrong_byte_in_a_hundred_answers_is_an_error() {
    let mut answers = vec![answer(DATES[0], "hello"); 100];
    answers[50] = answer(DATES[0], "hellO");
    let outcome = compare(&answering_in_turn(answers));
    assert_eq!((outcome.requests, outcome.succeeded()), (99, 98));
    assert_eq!(outcome.errors, Errors { different: 1, ..Errors::default() });
    assert_eq!(
        outcome.first_error.as_deref(),
        Some("the answer differs from the first one: byte 4 of its body is 'O' in place of 'o'")
    );
}

#[test]
fn empty_bodies_after_the_first_are_errors() {
    let outcome =
        compare(&answering_in_turn(vec![answer(DATES[0], "hello"), answer(DATES[0], "")]));
    assert_eq!(outcome.errors, Errors { different: 99, ..Errors::default() });
    assert!(
        outcome
            .first_error
            .unwrap()
            .ends_with("its head has 'content-length: 0' in place of 'content-length: 5'")
    );
}

#[test]
fn large_bodies_are_compared_to_the_last_byte() {
    let body = "0123456789abcdef".repeat(20_000);
    let mut answers = vec![answer(DATES[0], &body); 100];
    answers[70] = answer(DATES[0], &(body[..body.len() - 1].to_string() + "!"));
    let outcome = compare(&answering_in_turn(answers));
    assert_eq!(outcome.errors, Errors { different: 1, ..Errors::default() });
    let said = outcome.first_error.unwrap();
    assert!(said.ends_with("byte 319999 of its body is '!' in place of 'f'"), "{said}");
}

#[test]
fn chunks_may_be_cut_anywhere_and_must_have_the_same_data() {
    let mut answers = vec![chunked(&["hello, ", "world"]); 60];
    answers.extend(vec![chunked(&["h", "ello", ", world"]); 30]);
    let outcome = compare(&answering_in_turn(answers.clone()));
    assert_eq!((outcome.requests, outcome.errors.total()), (99, 0));
    for wrong in [chunked(&["hello, "]), chunked(&["hello, world", "!"])] {
        answers[40] = wrong;
        let outcome = compare(&answering_in_turn(answers.clone()));
        assert_eq!(outcome.errors, Errors { different: 1, ..Errors::default() });
    }
}

#[test]
fn a_body_that_ends_with_its_connection_is_compared() {
    let server = Server::start(|peer, nth| {
        peer.take_request();
        peer.say(if nth == 5 {
            b"HTTP/1.0 200 OK\r\n\r\nhell"
        } else {
            b"HTTP/1.0 200 OK\r\n\r\nhello"
        });
    });
    let mut generator = server.connect(1, 1);
    generator.compare_with_first().unwrap();
    let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!(outcome.errors, Errors { different: 1, ..Errors::default() });
    let said = outcome.first_error.unwrap();
    assert!(said.ends_with("its body has 4 bytes in place of 5"), "{said}");
}

#[test]
fn a_server_that_is_wrong_from_the_start_differs_from_what_another_gave() {
    let server = Server::answering(OK);
    let mut generator = server.connect(1, 1);
    generator
        .compare_with(Expected::new(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"hullo"));
    let outcome = generator.run(Pace::Closed, Stop::Requests(10)).unwrap();
    assert_eq!(outcome.errors, Errors { different: 10, ..Errors::default() });
}

#[test]
fn answers_are_counted_by_status_and_each_is_one_error_at_most() {
    let refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec();
    let answers = [vec![OK.to_vec(); 40], vec![refusal]].concat();
    let outcome = compare(&answering_in_turn(answers));
    assert_eq!(outcome.statuses.by_status(), [(200, 39), (503, 60)].into());
    assert_eq!(outcome.errors, Errors { status: 60, ..Errors::default() });
    assert_eq!(outcome.succeeded(), 39);
}

#[test]
fn without_a_comparison_answers_may_differ() {
    let server = answering_in_turn(vec![answer(DATES[0], "hello"), answer(DATES[0], "")]);
    let outcome = server.run_ten().unwrap();
    assert_eq!((outcome.requests, outcome.errors.total()), (10, 0));
}
