//! A service that shows which parts of a request a service sees.

use pinloop::app::App;
use pinloop::http::{BodyWriter, Flow};
use pinloop::{BodyPolicy, Request, Response, Service};

/// The demo service with little work.
pub(crate) const APP: App = App::new(3);

/// The demo service, and paths that show the request and the framing of responses.
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
            path => match APP.clone().body_policy(request, response) {
                BodyPolicy::Discard if path.starts_with("/show") => BodyPolicy::Collect,
                policy => policy,
            },
        }
    }
}

/// Unwinds without a message, because hundreds of cases panic. A fuzz target would take a
/// real panic for a finding.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("the test asked for a panic"))
}
