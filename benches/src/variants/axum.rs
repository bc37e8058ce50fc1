//! Adds axum's router, its handlers and tower; otherwise as `hyper_per_core`.

use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pinloop::app::{self, Route};
use tokio::runtime::Builder;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::per_core(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(accept(listener, rounds))
}

async fn accept(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let http = hyper_service::http();
    let router = router(rounds);
    loop {
        let (stream, _) = listener.accept().await?;
        // axum::serve does not allow to choose how pipelined answers are flushed.
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

fn router(rounds: u32) -> Router {
    let data = move || async move { ([(CONTENT_TYPE, app::JSON)], app::work(rounds)) };
    Router::new()
        .route("/", get(hint))
        .route("/echo", get(hint).post(echo))
        .route("/data", get(data))
        .route("/bytes/{count}", get(bytes))
        .method_not_allowed_fallback(other)
        .fallback(other)
}

async fn hint() -> impl IntoResponse {
    ([(CONTENT_TYPE, app::TEXT)], app::HINT)
}

async fn echo(mut fields: HeaderMap, body: Body) -> impl IntoResponse {
    let content_type = fields.remove(CONTENT_TYPE);
    ([(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(app::OCTETS)))], body)
}

async fn bytes(method: Method, uri: Uri) -> Response {
    match app::route(method.as_str(), uri.path()) {
        Route::Bytes(count) => {
            ([(CONTENT_TYPE, app::OCTETS)], Bytes::from_static(app::bytes(count))).into_response()
        }
        _ => other(method, uri).await,
    }
}

/// Answers requests without a handler in the router.
async fn other(method: Method, uri: Uri) -> Response {
    match app::route(method.as_str(), uri.path()) {
        Route::Options(allow) => (StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response(),
        Route::NotAllowed(allow) => {
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allow)]).into_response()
        }
        Route::NotImplemented => StatusCode::NOT_IMPLEMENTED.into_response(),
        Route::NotFound | Route::Hint | Route::Data | Route::Echo | Route::Bytes(_) => {
            StatusCode::NOT_FOUND.into_response()
        }
    }
}
