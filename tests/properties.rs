//! Properties of any input, however it is split.
//!
//! The seed is fixed, so that each run checks the same inputs. `tests/fuzz` looks further.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use pinloop::{Limits, Request, Response};

use crate::support::probe::Probe;
use crate::support::response::{dechunk, split_head};
use crate::support::{exchange_in, feed, statuses};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(9112),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn valid_requests_are_answered_in_order_with_any_split(
        requests in vec(request(), 1..6),
        pieces in pieces(),
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        let expected: Vec<u16> =
            requests.iter().flat_map(|request| request.statuses.clone()).collect();
        let limits = Limits::default();
        let whole = exchange_in(&mut Probe, &limits, &input, &[]);
        prop_assert_eq!(statuses(&whole), expected);
        prop_assert!(!whole.closed);
        prop_assert_eq!(whole.rest, 0);
        prop_assert_eq!(exchange_in(&mut Probe, &limits, &input, &pieces), whole);
    }

    #[test]
    fn splits_do_not_change_the_responses_to_damaged_requests(
        requests in vec(request(), 1..5),
        damages in vec(damage(), 0..4),
        echoed_bytes in 0..300usize,
        pieces in pieces(),
        limits in limits(),
    ) {
        let mut input: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        input.extend(malformed_echo(echoed_bytes));
        damages.iter().for_each(|damage| damage.apply(&mut input));
        check_splits(&input, &pieces, &limits)?;
    }

    #[test]
    fn splits_do_not_change_the_responses_to_random_heads(
        words in vec(select(WORDS), 0..40),
        pieces in pieces(),
        limits in limits(),
    ) {
        check_splits(&words.concat(), &pieces, &limits)?;
    }

    #[test]
    fn a_chunked_body_is_echoed_and_collected_unchanged(
        body in vec(any::<u8>(), 0..3_000),
        cuts in vec(any::<Index>(), 0..8),
        extensions in vec(select(EXTENSIONS), 9),
        trailers in select(TRAILERS),
        pieces in pieces(),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut chunked = Vec::new();
        for (cut, extension) in cuts.windows(2).zip(&extensions) {
            let data = &body[cut[0]..cut[1]];
            chunked.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
            chunked.extend(data);
            chunked.extend(b"\r\n");
        }
        chunked.extend(format!("0\r\n{trailers}\r\n").into_bytes());

        let head = |start: &str| {
            format!("{start} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes()
        };
        let limits = Limits::default();
        let echo = [head("POST /echo"), chunked.clone()].concat();
        let (echoed, _, rest) = feed(&mut Probe, &limits, &echo, &pieces);
        prop_assert_eq!(rest, 0);
        prop_assert!(dechunk(&body_of(&echoed)) == body);

        let mut collect = |request: &Request<'_>, response: &mut Response<'_>| {
            response.body(request.body());
        };
        let put = [head("PUT /"), chunked].concat();
        let (collected, _, _) = feed(&mut collect, &limits, &put, &pieces);
        prop_assert!(body_of(&collected) == body);
    }

    #[test]
    fn escapes_of_unreserved_characters_are_resolved(
        characters in vec((select(PATH_CHARACTERS), any::<bool>(), any::<bool>()), 0..60),
    ) {
        let (mut sent, mut expected) = (String::from("/"), String::from("/"));
        for (character, is_escaped, is_upper) in characters {
            let upper = format!("%{:02X}", character as u32);
            let escape = if is_upper { upper.clone() } else { upper.to_ascii_lowercase() };
            let is_unreserved = character.is_ascii_alphanumeric() || "-._~".contains(character);
            match is_escaped {
                true => sent.push_str(&escape),
                false => sent.push(character),
            }
            match is_escaped && !is_unreserved {
                true => expected.push_str(&upper),
                false => expected.push(character),
            }
        }
        prop_assert_eq!(&path_of(&sent), &expected);
        prop_assert_eq!(&path_of(&expected), &expected);
    }
}

/// Checks that splits change neither the responses, nor the consumed bytes, nor whether the
/// connection closes.
fn check_splits(input: &[u8], pieces: &[usize], limits: &Limits) -> Result<(), TestCaseError> {
    let whole = feed(&mut Probe, limits, input, &[]);
    prop_assert!(feed(&mut Probe, limits, input, &vec![1; input.len()]) == whole, "byte by byte");
    prop_assert!(feed(&mut Probe, limits, input, pieces) == whole, "in pieces");
    Ok(())
}

/// A request and the status codes of its responses.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    statuses: Vec<u16>,
}

fn request() -> impl Strategy<Value = Sample> {
    let start = select(STARTS);
    let version = select(&["1.1", "1.1", "1.1", "1.2", "1.9"]);
    let fields = vec(select(FIELDS), 0..4);
    (start, version, fields, body()).prop_map(|((start, status), version, fields, body)| {
        let (framing, body, is_continued) = body;
        let is_echo = start == "POST /echo";
        let fields = fields.concat();
        let head = format!("{start} HTTP/{version}\r\nHost: a\r\n{fields}{framing}");
        // Only an echo gets a 100: other paths reject a request that expects one.
        let asks = is_continued && is_echo;
        let expect = if asks { "expect: 100-continue\r\n" } else { "" };
        let bytes = [format!("{head}{expect}\r\n").into_bytes(), body].concat();
        Sample { bytes, statuses: if asks { vec![100, status] } else { vec![status] } }
    })
}

/// Returns a malformed echo. Its response may have begun before the fault arrives.
fn malformed_echo(bytes: usize) -> Vec<u8> {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{bytes:x}\r\n{}zz", "x".repeat(bytes)).into()
}

/// Generates the framing headers, the body, and whether the request may expect a 100.
fn body() -> impl Strategy<Value = (String, Vec<u8>, bool)> {
    let data = || vec(any::<u8>(), 0..200);
    let chunk = (vec(any::<u8>(), 1..100), select(EXTENSIONS));
    let chunked = (vec(chunk, 0..4), select(TRAILERS)).prop_map(|(chunks, trailers)| {
        let mut body = Vec::new();
        for (data, extension) in chunks {
            body.extend(format!("{:X}{extension}\r\n", data.len()).into_bytes());
            body.extend(data);
            body.extend(b"\r\n");
        }
        body.extend(format!("0\r\n{trailers}\r\n").into_bytes());
        body
    });
    prop_oneof![
        Just((String::new(), Vec::new(), false)),
        (data(), any::<bool>()).prop_map(|(data, asks)| {
            let asks = asks && !data.is_empty();
            (format!("Content-Length: {}\r\n", data.len()), data, asks)
        }),
        (chunked, any::<bool>()).prop_map(|(body, asks)| (
            "Transfer-Encoding: chunked\r\n".into(),
            body,
            asks
        )),
    ]
}

/// Generates the lengths of the pieces that an input is split into.
fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1..8usize, 0..40), vec(1..200usize, 0..12)]
}

fn limits() -> impl Strategy<Value = Limits> {
    let small = (16..400usize, 1..8usize, 0..64u64, 1..600usize, 0..300usize).prop_map(
        |(head_bytes_max, headers_max, body_bytes_max, output_bytes_high, held_bytes_max)| Limits {
            head_bytes_max,
            headers_max,
            body_bytes_max,
            output_bytes_high,
            held_bytes_max,
            ..Limits::default()
        },
    );
    let small_output =
        (1..600usize, 0..300usize).prop_map(|(output_bytes_high, held_bytes_max)| Limits {
            output_bytes_high,
            held_bytes_max,
            ..Limits::default()
        });
    prop_oneof![Just(Limits::default()), small, small_output]
}

/// Damage to an input.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, &'static [u8]),
    Insert(Index, &'static [u8]),
    Remove(Index, Index),
    Repeat(Index, Index),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), select(WORDS)).prop_map(|(at, word)| Damage::Replace(at, word)),
        4 => (at(), select(WORDS)).prop_map(|(at, word)| Damage::Insert(at, word)),
        2 => (at(), at()).prop_map(|(from, to)| Damage::Remove(from, to)),
        1 => (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => at().prop_map(Damage::Truncate),
    ]
}

impl Damage {
    fn apply(&self, input: &mut Vec<u8>) {
        let places = input.len() + 1;
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(places), to.index(places));
            from.min(to)..from.max(to).min(from.min(to) + 20)
        };
        match self {
            Damage::Replace(at, word) => {
                let at = at.index(places);
                let end = (at + word.len()).min(input.len());
                input.splice(at..end, word.iter().copied());
            }
            Damage::Insert(at, word) => {
                let at = at.index(places);
                input.splice(at..at, word.iter().copied());
            }
            Damage::Remove(from, to) => {
                input.drain(range(from, to));
            }
            Damage::Repeat(from, to) => {
                let range = range(from, to);
                let part = input[range.clone()].to_vec();
                input.splice(range.start..range.start, part);
            }
            Damage::Truncate(at) => input.truncate(at.index(places)),
        }
    }
}

/// Returns the path that a service sees.
fn path_of(target: &str) -> String {
    let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
        response.body(request.path().as_bytes());
    };
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let (output, ..) = feed(&mut service, &Limits::default(), request.as_bytes(), &[]);
    String::from_utf8(body_of(&output)).expect("a path in UTF-8")
}

fn body_of(response: &[u8]) -> Vec<u8> {
    split_head(response).1.to_vec()
}

const STARTS: &[(&str, u16)] = &[
    ("GET /", 200),
    ("HEAD /data", 200),
    ("POST /echo", 200),
    ("POST /echo", 200),
    ("PUT /show/%7Ea?b", 200),
    ("GET http://b:80/show", 200),
    ("GET /stream", 200),
    ("OPTIONS *", 204),
    ("GET /status/304", 304),
    ("GET /nope?%20", 404),
    ("DELETE /data", 405),
    ("get /", 501),
    ("M-SEARCH /nope", 501),
];

const FIELDS: &[&str] = &[
    "X: y\r\n",
    "Empty:\r\n",
    "Accept: \t text/*, */*;q=0.1 \r\n",
    "Content-Type: text/plain; a=\"b\"\r\n",
    "Connection: keep-alive, x\r\n",
    "Cookie: \u{e4}=b; c=d\r\n",
    "!#$%&'*+-.^_`|~9: (\"\\\")\r\n",
];

const EXTENSIONS: &[&str] = &["", "", ";a", ";a=b", " ; a = \"b;\\\"c\" ;d"];

const TRAILERS: &[&str] = &["", "a: b\r\n", "a:\r\nContent-Length: 5\r\nc: \t\u{e4}\r\n"];

const PATH_CHARACTERS: &[char] = &[
    'a', 'z', 'A', 'Z', '0', '9', '-', '.', '_', '~', '/', '!', '$', '&', '\'', '(', ')', '*', '+',
    ',', ';', '=', ':', '@',
];

/// Parts of heads, valid and not.
const WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS ",
    b"CONNECT ",
    b"/",
    b"/echo",
    b"/show?",
    b"/stream",
    b"/unwanted",
    b"*",
    b"http://a",
    b"a:80",
    b"%61",
    b"%",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/1.7\r\n",
    b" HTTP/2.0\r\n",
    b" HTTP/",
    b"Host: a\r\n",
    b"Host: ",
    b"Content-Length: 5\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"chunked",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"1",
    b"a",
    b";",
    b",",
    b":",
    b": ",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xc3\xa4",
    b"-",
];
