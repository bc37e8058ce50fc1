//! Reads the header of the PROXY protocol, with which a trusted proxy begins a connection.

use std::io;
use std::net::IpAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};

use super::connection::{Connection, State, Turn};
use super::loop_state::LoopState;
use crate::http::{Rejection, Service};

/// Bytes of a header of version 1, with its line end, at most.
const V1_BYTES_MAX: usize = 107;

/// Bytes of a header of version 2 at most. 4 KiB hold the addresses, and a certificate's name and
/// other extensions, which are ignored.
const V2_BYTES_MAX: usize = 4096;

/// The header does not follow the protocol.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl Connection {
    /// Reads until the header is complete, and then as from any connection.
    #[cold]
    pub(super) fn read_proxy_header<S: Service>(
        &mut self,
        state: &mut LoopState<S>,
    ) -> io::Result<Turn> {
        loop {
            let read = match self.socket.read(&mut state.input, &state.env) {
                Ok(0) => return Ok(Turn::Close),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) => return Err(error),
            };
            self.carry.extend_from_slice(&state.input[..read]);
            match parse(&self.carry) {
                Ok(None) => {}
                Ok(Some((source, bytes))) => {
                    if let Some(source) = source {
                        self.client.set_source(source);
                    }
                    self.carry.consume(bytes);
                    self.state = State::Resuming;
                    return self.receive(state);
                }
                Err(Malformed) => return self.reject(Rejection::ProxyHeader, state),
            }
        }
    }
}

/// Returns the source that the header names, if it names one, and the bytes of the header; `None`
/// if the header is incomplete.
fn parse(input: &[u8]) -> Result<Option<(Option<IpAddr>, usize)>, Malformed> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let is_v1 = input.first() == Some(&b'P');
    let bytes_max = if is_v1 { V1_BYTES_MAX } else { V2_BYTES_MAX };
    // The crate waits for the 15 bytes of the shortest header, and takes any byte for the space.
    let prefix: &[u8] = if is_v1 { b"PROXY " } else { b"\r\n\r\n\0\r\nQUIT\n" };
    let begun = input.len().min(prefix.len());
    if input[..begun] != prefix[..begun] {
        return Err(Malformed);
    }
    match ProxyHeader::parse(input, config) {
        Ok((header, bytes)) if bytes <= bytes_max => {
            let address = header.proxied_address();
            let stream = address.filter(|address| address.protocol == Protocol::Stream);
            Ok(Some((stream.map(|address| address.source.ip()), bytes)))
        }
        Err(Error::BufferTooShort) if input.len() < bytes_max && !is_whole(input) => Ok(None),
        _ => Err(Malformed),
    }
}

/// Reports whether all bytes of a header are there. The crate waits for more if they are too few
/// for the addresses.
fn is_whole(input: &[u8]) -> bool {
    match *input {
        [b'P', ..] => input.windows(2).any(|pair| pair == b"\r\n"),
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, ref rest @ ..] => {
            rest.len() >= usize::from(u16::from_be_bytes([high, low]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn v2(rest: &[u8]) -> Vec<u8> {
        [V2, rest].concat()
    }

    fn source(header: &[u8]) -> Option<String> {
        let (source, bytes) = parse(header).expect("valid").expect("complete");
        assert_eq!(bytes, header.len());
        source.map(|source| source.to_string())
    }

    #[test]
    fn headers_of_both_versions_name_the_source() {
        assert_eq!(source(b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n").unwrap(), "192.0.2.1");
        assert_eq!(source(b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n").unwrap(), "2001:db8::1");
        let tcp4 = v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\0\x05\0\x50");
        assert_eq!(source(&tcp4).unwrap(), "192.0.2.1");
        let mut tcp6 = v2(b"\x21\x21\0\x24\x20\x01\x0d\xb8");
        tcp6.extend_from_slice(&[0; 32]);
        assert_eq!(source(&tcp6).unwrap(), "2001:db8::");
        // An extension of three bytes that is to be ignored.
        let extended = v2(b"\x21\x11\0\x0f\xc0\0\x02\x01\x0a\0\0\x01\0\x05\0\x50\x04\0\0");
        assert_eq!(source(&extended).unwrap(), "192.0.2.1");
    }

    #[test]
    fn headers_without_a_client_name_no_source() {
        assert_eq!(source(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(source(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None);
        assert_eq!(source(&v2(b"\x20\0\0\0")), None, "LOCAL");
        assert_eq!(source(&v2(b"\x21\0\0\0")), None, "UNSPEC");
    }

    #[test]
    fn each_beginning_of_a_header_is_incomplete() {
        let v1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n".to_vec();
        for header in [v1, v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\0\x05\0\x50")] {
            for end in 1..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{end} bytes");
            }
        }
    }

    #[test]
    fn other_bytes_are_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(100));
        let mut large = v2(b"\x21\x11\xff\xff");
        large.resize(V2_BYTES_MAX, 0);
        for wrong in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"X",
            b"PROXX",
            b"PROXYxTCP4 192.0.2.1 10.0.0.1 5 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 5 99999\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 5 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
            b"PROXY TCP5 192.0.2.1 10.0.0.1 5 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\n\r\n",
            b"\r\n\r\nGET",
            long.as_bytes(),
            &long.as_bytes()[..V1_BYTES_MAX],
            &v2(b"\x31\x11\0\0"),
            &v2(b"\x21\x11\0\x04\0\0\0\0"),
            &large,
        ] {
            let text = String::from_utf8_lossy(wrong);
            assert_eq!(parse(wrong), Err(Malformed), "{text:?}");
        }
    }
}
