//! Adds Tokio's multi-thread runtime: its threads share one listener and take each other's tasks;
//! otherwise as `hyper_single`.

use std::io;
use std::net::TcpListener;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::Builder;

use super::Ready;
use super::common::{self, Settings};
use super::hyper_service;

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let (rounds, threads) = (settings.rounds, settings.cores.len());
    common::shared(settings, ready, move |listener| run(listener, threads, rounds))
}

fn run(listener: TcpListener, threads: usize, rounds: u32) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_io().build()?;
    // The accepting task runs on a thread of its own, as #[tokio::main] has it.
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
