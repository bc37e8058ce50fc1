//! One exchange with a server, for comparing answers: slow and exact. It shares nothing with the
//! load generator, so that a fault in one cannot hide in the other.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Status};

/// Maximum number of header fields of an answer: hyper's default.
const FIELDS_MAX: usize = 100;

/// Largest length of a quoted body. A longer body is hashed.
const QUOTED_BYTES_MAX: usize = 256;

/// Request that is sent afterwards, to see if the connection is still open.
const PROBE: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

/// A request, or several, for a server.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Name for people.
    pub name: String,
    /// Bytes, written at once.
    pub request: Vec<u8>,
    /// Number of answers that are due.
    pub answers: usize,
    /// Set if the method is HEAD, so that answers have no body.
    pub is_head: bool,
}

/// The answers of a server. Two replies are equal if all bytes are, apart from dates and chunk sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    answers: Vec<Answer>,
    ending: Ending,
}

/// One answer, with the date of its head masked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    head: String,
    /// `None` if the answer breaks off.
    body: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// The server answers another request on the same connection.
    Open,
    /// The server closes the connection.
    Closed,
    /// An answer is missing, or is not HTTP.
    Failed(String),
    /// The server does not accept a connection.
    Unreachable(String),
    /// The server keeps the connection open without an answer.
    Hangs,
}

impl Exchange {
    /// Sends the request to the server at `address`. Each read waits for `patience` at most.
    pub fn with(&self, address: SocketAddr, patience: Duration) -> Reply {
        let mut answers = Vec::new();
        let ending = self.speak(address, patience, &mut answers);
        let ending = ending.unwrap_or_else(|error| match error {
            error if is_timeout(&error) => Ending::Hangs,
            error => Ending::Failed(error.to_string()),
        });
        Reply { answers, ending }
    }

    fn speak(
        &self,
        address: SocketAddr,
        patience: Duration,
        answers: &mut Vec<Answer>,
    ) -> io::Result<Ending> {
        let stream = match TcpStream::connect_timeout(&address, patience) {
            Err(error) => return Ok(Ending::Unreachable(error.to_string())),
            Ok(stream) => stream,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        thread::scope(|scope| {
            // A thread of its own writes, because an echo answers before it has read everything.
            let writer = scope.spawn(|| (&stream).write_all(&self.request));
            let mut reader = Reader { stream: &stream, patience, buffered: Vec::new() };
            let read = reader.answers(self.answers, self.is_head, answers);
            if read.is_err() {
                // This ends the writer; an error means that it has ended already.
                let _ = stream.shutdown(Shutdown::Both);
            }
            let written = writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
            read.and(written)?;
            Ok(reader.ending())
        })
    }
}

impl Reply {
    /// Reports whether the server did not answer in time.
    pub fn hangs(&self) -> bool {
        self.ending == Ending::Hangs
    }

    /// Reports whether the answers have the statuses and the bodies of `other`, whatever else
    /// their heads say.
    pub fn has_same_content(&self, other: &Self) -> bool {
        let content = |reply: &Self| -> Vec<(Option<String>, Option<Vec<u8>>)> {
            let answers = reply.answers.iter();
            answers.map(|a| (a.status().map(str::to_string), a.body.clone())).collect()
        };
        content(self) == content(other)
    }

    /// Returns the statuses and the fate of the connection. Only these can be compared if a request
    /// is invalid.
    pub fn verdict(&self) -> String {
        let status = |answer: &Answer| match (answer.status(), &answer.body) {
            (Some(status), Some(_)) => status.to_string(),
            (Some(status), None) => format!("{status} that breaks off"),
            (None, _) => "a head without a status".to_string(),
        };
        let mut said: Vec<String> = self.answers.iter().map(status).collect();
        if said.is_empty() {
            said.push("no answer".to_string());
        }
        said.push(match self.ending {
            Ending::Open => "stays open".to_string(),
            Ending::Closed | Ending::Failed(_) => "closes".to_string(),
            Ending::Hangs => "waits for more".to_string(),
            Ending::Unreachable(_) => "cannot be reached".to_string(),
        });
        said.join(", ")
    }
}

impl Answer {
    fn status(&self) -> Option<&str> {
        self.head.get(9..12)
    }
}

struct Reader<'a> {
    stream: &'a TcpStream,
    patience: Duration,
    buffered: Vec<u8>,
}

impl Reader<'_> {
    fn answers(&mut self, count: usize, is_head: bool, into: &mut Vec<Answer>) -> io::Result<()> {
        for _ in 0..count {
            let (head, framing) = self.head(is_head)?;
            let body = self.body(framing);
            let (body, rest) = body.map_or_else(|error| (None, Err(error)), |b| (Some(b), Ok(())));
            into.push(Answer { head: mask_date(&head), body });
            rest?;
        }
        Ok(())
    }

    fn ending(&mut self) -> Ending {
        let probed = self.stream.write_all(PROBE).and_then(|()| self.head(false));
        match probed {
            Ok(_) => Ending::Open,
            Err(error) if is_timeout(&error) => Ending::Hangs,
            Err(_) => Ending::Closed,
        }
    }

    fn head(&mut self, is_head: bool) -> io::Result<(String, Framing)> {
        let (length, framing) = loop {
            match framing(&self.buffered, is_head)? {
                Some(found) => break found,
                None => self.more()?,
            }
        };
        let head: Vec<u8> = self.buffered.drain(..length).collect();
        Ok((String::from_utf8_lossy(&head).into_owned(), framing))
    }

    fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.take(length),
            Framing::Chunked => self.chunked(),
            Framing::UntilClose => self.until_close(),
        }
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.buffered)
                .map_err(|_| nonsense("a chunk size"))?
            {
                Status::Partial => self.more()?,
                Status::Complete((head, size)) => {
                    self.buffered.drain(..head);
                    body.extend(self.take(size as usize)?);
                    // This service sends no trailer fields.
                    if self.take(2)? != b"\r\n" {
                        return Err(nonsense("the end of a chunk"));
                    }
                    if size == 0 {
                        return Ok(body);
                    }
                }
            }
        }
    }

    fn until_close(&mut self) -> io::Result<Vec<u8>> {
        let mut body = std::mem::take(&mut self.buffered);
        self.stream.read_to_end(&mut body)?;
        Ok(body)
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < length {
            self.more()?;
        }
        Ok(self.buffered.drain(..length).collect())
    }

    /// Reads more bytes. A pause of this process (SIGSTOP, a frozen container) interrupts a read
    /// that has a timeout, also without a signal handler (signal(7)). This says nothing about the
    /// server, so the read is tried again for as long as there is time.
    fn more(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.patience;
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.buffered.extend_from_slice(&chunk[..read]);
                    return Ok(());
                }
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Returns the length of the head and the framing of the body (RFC 9112, section 6.3), or `None`
/// if the head is incomplete.
fn framing(bytes: &[u8], is_head: bool) -> io::Result<Option<(usize, Framing)>> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let Status::Complete(length) = head.parse(bytes).map_err(|_| nonsense("a head"))? else {
        return Ok(None);
    };
    let field = |name: &str| {
        let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    };
    let framing = if is_head || matches!(head.code, Some(100..200 | 204 | 304)) {
        Framing::Length(0)
    } else if field("transfer-encoding").is_some() {
        Framing::Chunked
    } else if let Some(length) = field("content-length") {
        Framing::Length(length.parse().map_err(|_| nonsense("a content-length"))?)
    } else {
        Framing::UntilClose
    };
    Ok(Some((length, framing)))
}

/// Masks dates of the one form that RFC 9110 allows to send. Other dates stay, and so differ.
fn mask_date(head: &str) -> String {
    let mut masked = String::new();
    for line in head.split_inclusive("\r\n") {
        match line.split_once(": ") {
            Some((name, date)) if name.eq_ignore_ascii_case("date") && is_fixdate(date) => {
                masked.extend([name, ": (date)\r\n"]);
            }
            _ => masked.push_str(line),
        }
    }
    masked
}

fn is_fixdate(line: &str) -> bool {
    let shape: String = line
        .chars()
        .map(|c| match c {
            'A'..='Z' | 'a'..='z' => 'a',
            '0'..='9' => '0',
            other => other,
        })
        .collect();
    shape == "aaa, 00 aaa 0000 00:00:00 aaa\r\n" && line.ends_with(" GMT\r\n")
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not HTTP"))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Answer { head, body } in &self.answers {
            f.write_str(&head.replace("\r\n", "\n"))?;
            match body {
                Some(body) if body.len() > QUOTED_BYTES_MAX => {
                    let mut hasher = DefaultHasher::new();
                    body.hash(&mut hasher);
                    writeln!(f, "({} bytes, hash {:016x})", body.len(), hasher.finish())?;
                }
                Some(body) if !body.is_empty() => writeln!(f, "{}", body.escape_ascii())?,
                Some(_) => {}
                None => f.write_str("(breaks off)\n")?,
            }
        }
        match &self.ending {
            Ending::Open => f.write_str("(stays open)"),
            Ending::Closed => f.write_str("(closes)"),
            Ending::Failed(reason) | Ending::Unreachable(reason) => write!(f, "({reason})"),
            Ending::Hangs => f.write_str("(hangs)"),
        }
    }
}
