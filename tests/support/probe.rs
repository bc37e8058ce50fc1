//! A service that shows what of a request a service sees.

use pinloop::http::{ContentWriter, Flow};
use pinloop::{Content, Request, Response, Service};

use super::APP;

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
                    String::from_utf8_lossy(request.content()),
                );
                response.content(shown.as_bytes());
            }
            "/stream" => response.stream(None, |writer: &mut ContentWriter<'_>| {
                writer.write(b"streamed");
                Flow::Done
            }),
            // As a panic, but without the message, which would be printed hundreds of times.
            "/panic" => std::panic::resume_unwind(Box::new("as the table wants it")),
            path => match path.strip_prefix("/status/") {
                Some(code) => {
                    response.status(code.parse().expect("a status code")).content(b"content");
                }
                None => APP.clone().call(request, response),
            },
        }
    }

    fn content(&mut self, request: &Request<'_>, response: &mut Response<'_>) -> Content {
        match &*request.path() {
            "/unwanted" => Content::Ignore,
            _ => APP.clone().content(request, response),
        }
    }
}
