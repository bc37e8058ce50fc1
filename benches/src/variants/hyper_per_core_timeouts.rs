//! Adds Tokio's timer, and with it hyper's timeout for request heads; otherwise as
//! `hyper_per_core`.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Builder;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service;

/// pinloop's timeout for idle connections, because hyper counts the time before a request's first
/// byte too. pinloop's timeouts for bodies and responses have no counterpart in hyper.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::per_core(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(accept(listener, rounds))
}

async fn accept(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut http = hyper_service::http();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| hyper_service::answer(request, rounds));
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}
