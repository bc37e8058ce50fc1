//! Calls a service without a socket, for tests.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crate::http::{
    Connection, Context, Date, DeferredResponse, Limits, Next, ResponseSink, Service,
};

/// Time that [`call`] waits for a deferred response or for a paused producer.
const WAIT: Duration = Duration::from_secs(10);

/// Returns the bytes that a connection sends in response to `input`, under default limits: the
/// responses to all requests in `input`. The `date` header is always
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Waits up to 10 s for a deferred response or for the waker of a paused stream.
///
/// ```
/// use pinloop::{Request, Response};
///
/// let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
///     response.body(request.path().as_bytes());
/// };
/// let response = pinloop::testing::call(&mut service, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
/// assert_eq!(
///     response,
///     b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n/a"
/// );
/// ```
///
/// # Panics
/// If a deferred response or a paused stream does not go on within 10 s.
#[track_caller]
pub fn call<S: Service>(service: &mut S, input: &[u8]) -> Vec<u8> {
    let limits = Limits::default();
    let date = Date::at(UNIX_EPOCH + Duration::from_secs(784_111_777));
    let (sender, messages) = mpsc::channel();
    let sink: Arc<dyn ResponseSink> = Arc::new(Sink(Mutex::new(sender)));
    let context = Context { sink: Some(&sink), ..Context::new(&limits, &date) };
    let mut connection = Connection::default();
    let (mut consumed, mut output, mut sent) = (0, Vec::new(), Vec::new());
    loop {
        let rest = &input[consumed..];
        let progress = connection.advance(rest, &mut output, service, &context);
        consumed += progress.consumed;
        sent.append(&mut output);
        match progress.next {
            Next::Flush => {}
            Next::Wait => match next_message(&messages) {
                Message::Deliver(response) => {
                    connection.deliver(response, &input[consumed..], &mut output, &context);
                }
                Message::Wake => {
                    connection.wake();
                }
            },
            Next::Read | Next::Close(_) => return sent,
        }
    }
}

enum Message {
    Deliver(DeferredResponse),
    Wake,
}

#[track_caller]
fn next_message(messages: &Receiver<Message>) -> Message {
    let message = messages.recv_timeout(WAIT);
    message.unwrap_or_else(|_| panic!("no responder answered and no waker woke within {WAIT:?}"))
}

struct Sink(Mutex<Sender<Message>>);

impl Sink {
    fn send(&self, message: Message) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After the call has returned, nothing receives.
        let _ = sender.send(message);
    }
}

impl ResponseSink for Sink {
    fn deliver(&self, _: u64, response: DeferredResponse) {
        self.send(Message::Deliver(response));
    }

    fn wake(&self, _: u64) {
        self.send(Message::Wake);
    }
}
