//! Adds blocking threads for `GET /data?offload`; otherwise as `hyper_per_core`.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use pinloop::app;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service::{self, Body};

/// Longer than a study, because the CPU time of a thread that has ended cannot be read.
const KEEP_ALIVE: Duration = Duration::from_secs(3600);

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::per_core(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .thread_keep_alive(KEEP_ALIVE)
        .on_thread_start(common::yield_to_event_loops)
        .build()?;
    runtime.block_on(accept(listener, rounds))
}

async fn accept(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let http = hyper_service::http();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| answer(request, rounds));
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, rounds: u32) -> Result<Response<Body>, Infallible> {
    let (method, uri) = (request.method(), request.uri());
    if method != Method::GET || uri.path() != "/data" || uri.query() != Some("offload") {
        return hyper_service::answer(request, rounds).await;
    }
    let work = spawn_blocking(move || app::work(rounds)).await;
    Ok(work.map_or_else(|_| hyper_service::failed(), hyper_service::data))
}
