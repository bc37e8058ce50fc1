//! Serves one variant as `cargo bench -- serve` does, with mimalloc in place of the system's
//! allocator. It is a separate program because a program has one allocator, and a choice at each
//! allocation would be part of what is measured.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use pinloop_bench::serve::{self, Serve};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    serve: Serve,
}

fn main() -> ExitCode {
    match serve::run(&Arguments::parse().serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
