//! A load goes to other machines as JSON, and is the same when it arrives.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
    json
}

#[test]
fn paces_and_stops_are_the_same_after_a_way_through_json() {
    assert_eq!(round_trip(&Pace::Closed), r#""closed""#);
    assert_eq!(round_trip(&Pace::Rate(2_500.0)), r#"{"rate":2500.0}"#);
    for rate in [0.1 + 0.2, 1e5 / 3.0, 44_738.927_304_516_7, f64::MIN_POSITIVE] {
        round_trip(&Pace::Rate(rate));
    }
    assert_eq!(round_trip(&Stop::Requests(u64::MAX)), format!(r#"{{"requests":{}}}"#, u64::MAX));
    round_trip(&Stop::After(Duration::new(3, 999_999_999)));
    let phases = vec![Phase { clients_per_second: 1.0 / 3.0, lasts: Duration::from_millis(1) }];
    round_trip(&Arrivals { phases, clients_max: usize::MAX });
}

#[test]
fn targets_and_shapes_are_the_same_after_a_way_through_json() {
    let request =
        [b"POST /\xff HTTP/1.1\r\n\r\n\"\\\0".as_slice(), &(0..=255).collect::<Vec<u8>>()];
    let addr = "[::1]:80".parse().unwrap();
    round_trip(&Target { addr, request: request.concat(), method_is_head: true });
    let shape = Shape { connections: 7, pipeline: 2, requests_per_connection: NonZeroU64::new(3) };
    round_trip(&shape);
    round_trip(&Shape::default());
    round_trip(&unpinned(2).within(1, 4));
}

#[test]
fn a_request_stays_readable_in_json() {
    let addr = "127.0.0.1:80".parse().unwrap();
    let target =
        Target { addr, request: b"GET / HTTP/1.1\r\n\r\n".to_vec(), method_is_head: false };
    let json = serde_json::to_string(&target).unwrap();
    assert!(json.contains(r#""GET / HTTP/1.1\r\n\r\n""#), "{json}");
    let wrong = json.replace("GET", "\u{20ac}");
    let error = serde_json::from_str::<Target>(&wrong).unwrap_err().to_string();
    assert!(error.contains("stands for no byte"), "{error}");
}

#[test]
fn expected_answers_are_the_same_after_a_way_through_json() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    round_trip(&Expected::new(head, b"\x00\x7f\x80\xff"));
    let pattern = round_trip(&Expected::new(head, &vec![b'x'; 1_000_000]));
    assert!(pattern.len() < 10_000, "a repetitive body is sent as its pattern");
}
