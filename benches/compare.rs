//! `cargo bench`: see [`pinloop_bench::cli`].

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    pinloop_bench::cli::main(Path::new(env!("CARGO_BIN_EXE_counted")))
}
