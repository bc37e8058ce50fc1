//! Sends the requests to two servers, and keeps those that are answered differently.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::{requests, servers};

/// The same statuses, and the services were asked something else.
pub(crate) const OTHER_CONTENT: &str = "other content";

/// Request that is sent after each request.
const FOLLOWER: &[u8] = b"GET /follower HTTP/1.1\r\nHost: follower\r\n\r\n";

/// Topic, pinloop's statuses, hyper's.
pub(crate) type Key = (&'static str, String, String);

/// Sends all requests to both: how many those are, and those that they answer
/// differently.
pub(crate) fn compare(ours: SocketAddr, theirs: SocketAddr) -> (usize, BTreeMap<Key, Vec<String>>) {
    let mut found: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    let mut sent = 0;
    for topic in requests::topics() {
        for request in topic.requests {
            sent += 1;
            let bytes = [&request, FOLLOWER].concat();
            let (ours, theirs) =
                (servers::exchange(ours, &bytes), servers::exchange(theirs, &bytes));
            let statuses = match theirs {
                theirs if theirs == ours => continue,
                theirs if theirs.statuses == ours.statuses => OTHER_CONTENT.to_string(),
                theirs => theirs.statuses,
            };
            let requests = found.entry((topic.name, ours.statuses, statuses)).or_default();
            requests.push(request.escape_ascii().to_string());
        }
    }
    (sent, found)
}
