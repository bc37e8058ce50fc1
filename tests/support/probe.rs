//! A service that shows what of a request a service sees.

use pinloop::app::App;
use pinloop::http::{BodyWriter, Flow};
use pinloop::{BodyPolicy, Request, Response, Service};

/// The service under test, with little work.
pub(crate) const APP: App = App::new(3);

/// The service under test, and paths that show what a service sees and how its
/// answers are framed.
#[derive(Clone, Copy)]
pub(crate) struct Probe;

impl Service for Probe {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        match &*request.path() {
            path if path.starts_with("/show") => {
                let shown = format!(
                    "{} {path} ? {} @ {} in 1.{}: {}",
                    request.method(),
                    request.query().unwrap_or("-"),
                    request.host().unwrap_or("-"),
                    request.minor_version(),
                    String::from_utf8_lossy(request.body()),
                );
                response.body(shown.as_bytes());
            }
            "/stream" => response.stream(None, |writer: &mut BodyWriter<'_>| {
                writer.write(b"streamed");
                Flow::Done
            }),
            "/panic" => panic_quietly(),
            path => match path.strip_prefix("/status/") {
                Some(code) => match code.parse() {
                    Ok(status @ 200..600) => response.status(status).body(b"content"),
                    _ => panic_quietly(),
                },
                None => APP.clone().call(request, response),
            },
        }
    }

    fn body_policy(&mut self, request: &Request<'_>, response: &mut Response<'_>) -> BodyPolicy {
        match &*request.path() {
            "/unwanted" => BodyPolicy::Ignore,
            _ => APP.clone().body_policy(request, response),
        }
    }
}

/// As a panic, but without the message, which would be printed hundreds of times,
/// and without the end that a panic is to a fuzz target.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("as the test wants it"))
}
