//! `cargo bench`: see [`pinloop_bench::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pinloop_bench::cli::main()
}
