//! The borrowed view of a request that a service gets.

use core::net::IpAddr;
use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::head::{Framing, Head};
use super::peer::Peer;

/// A request: its head and, once it has arrived, its body. Borrows from the input buffer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    head: &'a Head<'a>,
    body: &'a [u8],
    peer: Option<&'a Peer>,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Head<'a>, body: &'a [u8], peer: Option<&'a Peer>) -> Request<'a> {
        Request { head, body, peer }
    }

    /// Returns the method, which is case-sensitive (RFC 9110, 9.1).
    pub fn method(&self) -> &'a str {
        self.head.line.method
    }

    /// Returns the request target as it was sent (RFC 9112, 3.2).
    pub fn target(&self) -> &'a str {
        self.head.line.target.whole
    }

    /// Returns the path of the target, with the escapes of unreserved characters resolved and
    /// the digits of other escapes in upper case (RFC 9110, 4.2.3). Borrowed unless there is an
    /// escape. `*` and the authority of a `CONNECT` stand for themselves.
    #[inline]
    pub fn path(&self) -> Cow<'a, str> {
        self.head.line.target.path()
    }

    /// Returns the segments of the path, percent-decoded. Bytes that are not UTF-8 become
    /// U+FFFD.
    ///
    /// ```
    /// use pinloop::{Request, Response};
    ///
    /// let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
    ///     let segments: Vec<_> = request.path_segments().collect();
    ///     match segments.iter().map(|segment| &**segment).collect::<Vec<_>>().as_slice() {
    ///         ["users", id] => response.body(id.as_bytes()),
    ///         _ => response.status(404).body(b""),
    ///     }
    /// };
    /// let request = b"GET /users/a%2Fb HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    /// assert!(pinloop::testing::call(&mut service, request).ends_with(b"a/b"));
    /// ```
    pub fn path_segments(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        let path = self.head.line.target.raw_path();
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy())
    }

    /// Returns the part of the target behind its first `?`, as it was sent.
    pub fn query(&self) -> Option<&'a str> {
        self.head.line.target.query()
    }

    /// Returns the names and values of the query, decoded as HTML forms are encoded: `+` is a
    /// space, and bytes that are not UTF-8 become U+FFFD.
    ///
    /// ```
    /// use pinloop::{Request, Response};
    ///
    /// let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
    ///     let name = request.query_pairs().find(|(name, _)| name == "name");
    ///     let name = name.map_or("nobody".into(), |(_, value)| value);
    ///     response.body(format!("hello, {name}").as_bytes());
    /// };
    /// let request = b"GET /?name=Ada+L%2e HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    /// assert!(pinloop::testing::call(&mut service, request).ends_with(b"hello, Ada L."));
    /// ```
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        form_urlencoded::parse(self.query().unwrap_or_default().as_bytes())
    }

    /// Returns the host, and the port if there is one: those of a target that has them, because
    /// `host` must be ignored beside it, and otherwise those of the `host` header (RFC 9112,
    /// 3.2.2 and 3.3). A request in HTTP/1.0 may have neither.
    pub fn host(&self) -> Option<&'a str> {
        let authority = self.head.line.target.authority(self.method());
        authority.or_else(|| std::str::from_utf8(self.header("host")?).ok())
    }

    /// Returns 0 for HTTP/1.0, and 1 for HTTP/1.1 and all later minor versions, which are served
    /// as 1.1 (RFC 9110, 2.5).
    pub fn minor_version(&self) -> u8 {
        self.head.line.minor_version
    }

    /// Returns the headers in the order in which they arrived: name and value, the value without
    /// the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.head.headers.iter().map(|header| (header.name, header.value))
    }

    /// Returns the value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.head.header(name)
    }

    /// Returns the whole body. Empty if the request has no body, and in
    /// [`Service::body_policy`](super::Service::body_policy), where it has yet to arrive.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns how the body is delimited.
    pub fn framing(&self) -> Framing {
        self.head.framing
    }

    /// Returns the address of the client, if it is known: a client at a Unix socket has none.
    ///
    /// That is the other end of the connection, unless that is a proxy in
    /// [`Config::trust`](crate::Config::trust). Then it is the rightmost address in the header
    /// that the proxy sets which is not the address of a trusted proxy, or the source that the
    /// proxy gives by the PROXY protocol. Each call reads the header anew.
    pub fn client(&self) -> Option<IpAddr> {
        self.peer.and_then(|peer| {
            let name = peer.trusted_header().unwrap_or_default();
            peer.client(self.head.headers_named(name))
        })
    }

    /// Returns the address of the other end of the connection, if it is known: the client or a
    /// proxy. The other end of a Unix socket has no address.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer.and_then(Peer::address)
    }

    /// Returns the `x-request-id` that a trusted proxy has given to this request: 1 to 128 visible
    /// ASCII characters. Of several, the last one, because the proxy may have passed on that of its
    /// client.
    pub fn id(&self) -> Option<&'a [u8]> {
        self.peer?.trusted_header()?;
        trusted_id(self.head.headers_named("x-request-id").next_back()?)
    }

    pub(super) fn head(&self) -> &'a Head<'a> {
        self.head
    }
}

/// Returns `id` if it can stand in a log.
fn trusted_id(id: &[u8]) -> Option<&[u8]> {
    let is_plain = (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    is_plain.then_some(id)
}
