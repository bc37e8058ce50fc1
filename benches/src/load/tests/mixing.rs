//! Servers that get several requests in turn.

use super::*;

const RARE: &[u8] = b"GET /rare HTTP/1.1\r\nhost: test\r\n\r\n";

/// Answers `hello`, and the rare request with what `rare` makes of the number of those before it.
fn answering(rare: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let count = AtomicU64::new(0);
    Server::start(move |peer, _| {
        loop {
            while peer.pending.starts_with(RARE) {
                peer.pending.drain(..RARE.len());
                peer.say(&rare(count.fetch_add(1, Relaxed)));
            }
            if peer.pending.starts_with(REQUEST) {
                peer.take_request();
                peer.say(OK);
            }
            let mut piece = [0; 4096];
            match peer.stream.read(&mut piece) {
                Ok(len @ 1..) => peer.pending.extend_from_slice(&piece[..len]),
                _ => return,
            }
        }
    })
}

fn long() -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n".as_slice(), &[b'x'; 5000]].concat()
}

fn connect(server: &Server, connections: usize, threads: usize) -> Threads {
    let share = |request: &[u8], weight| Share { request: request.to_vec(), weight };
    let mix = [share(REQUEST, 9), share(RARE, 1)];
    let placement = Placement::anywhere(threads);
    Threads::connect_mix(&server.target, connections, &mix, 7, &placement).unwrap()
}

#[test]
fn a_mix_has_its_shares_and_every_answer_is_held_against_that_of_its_request() {
    let server = answering(|_| long());
    for threads in [1, 2] {
        let mut generator = connect(&server, 4, threads);
        let outcome = generator.run(Pace::Closed, Stop::Requests(400)).unwrap();
        assert_eq!((outcome.requests, outcome.errors.total()), (400, 0));
        let latencies = generator.take_latencies().unwrap();
        let counts: Vec<u64> = latencies.iter().map(|of| of.len()).collect();
        // Each of the four connections may be in the middle of a deck.
        assert_eq!(counts.iter().sum::<u64>(), 400);
        assert!((36..=44).contains(&counts[1]), "{counts:?}");
    }
}

#[test]
fn a_wrong_answer_to_the_rare_request_is_an_error() {
    // The first is the one to learn from.
    let rare = |nth| if nth == 3 { OK.to_vec() } else { long() };
    let outcome = connect(&answering(rare), 1, 1).run(Pace::Closed, Stop::Requests(100)).unwrap();
    assert_eq!((outcome.requests, outcome.errors.total()), (100, 1));
    assert!(outcome.first_error.unwrap().contains("content-length"));
}

#[test]
fn a_mix_without_a_request_is_refused() {
    let server = Server::answering(OK);
    let share = |request: &[u8], weight| Share { request: request.to_vec(), weight };
    for mix in [vec![], vec![share(REQUEST, 0)], vec![share(b"", 1)]] {
        let refused = Threads::connect_mix(&server.target, 1, &mix, 7, &Placement::anywhere(1));
        assert!(matches!(refused, Err(LoadError::EmptyRequest)), "{mix:?}");
    }
}
