//! The service as a hyper service, for all rungs with hyper.
//!
//! Nothing is boxed: a body is either complete bytes or the request's own body on its way back.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Request, Response, StatusCode};
use pinloop::app::{self, Route};

pub(super) type Body = Either<Full<Bytes>, Incoming>;

/// Returns hyper's HTTP/1.1 with its fastest settings here: pipelined answers leave in one write.
/// The price is hyper's 400. With this option a refusal stays in its buffer, and the connection
/// closes without an answer.
pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.pipeline_flush(true);
    http
}

pub(super) async fn answer(
    request: Request<Incoming>,
    rounds: u32,
) -> Result<Response<Body>, Infallible> {
    // hyper's path of `OPTIONS *` is `*` too, and a path has no query.
    Ok(match app::route(request.method().as_str(), request.uri().path()) {
        Route::Hint => content(app::TEXT, Bytes::from_static(app::HINT.as_bytes())),
        Route::Data => data(app::work(rounds)),
        Route::Bytes(count) => content(app::OCTETS, Bytes::from_static(app::bytes(count))),
        Route::Echo => echo(request),
        Route::Options(allow) => allowed(StatusCode::NO_CONTENT, allow),
        Route::NotAllowed(allow) => allowed(StatusCode::METHOD_NOT_ALLOWED, allow),
        Route::NotFound => empty(StatusCode::NOT_FOUND),
        Route::NotImplemented => empty(StatusCode::NOT_IMPLEMENTED),
    })
}

pub(super) fn data(work: String) -> Response<Body> {
    content(app::JSON, work.into())
}

/// Returns the answer after a panic of the service.
pub(super) fn failed() -> Response<Body> {
    empty(StatusCode::INTERNAL_SERVER_ERROR)
}

fn content(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn echo(request: Request<Incoming>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let content_type = head.headers.remove(CONTENT_TYPE);
    let content_type = content_type.unwrap_or(HeaderValue::from_static(app::OCTETS));
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn allowed(status: StatusCode, allow: &'static str) -> Response<Body> {
    let mut response = empty(status);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        // hyper adds this field by itself, but not in answers to HEAD.
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}
