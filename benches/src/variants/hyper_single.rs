//! Adds Tokio's current-thread runtime, on one thread with one listener, as in
//! the post's minimal server; otherwise as `hyper_on_mio`.

use std::io;
use std::net::TcpListener;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::Builder;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    common::single(settings, ready, move |listener| run(listener, rounds))
}

fn run(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(accept(listener, rounds))
}

async fn accept(listener: TcpListener, rounds: u32) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let http = hyper_service::http();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| hyper_service::answer(request, rounds));
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}
