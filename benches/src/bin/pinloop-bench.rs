//! `cargo bench` as a program, to copy to another machine. The programs `counted` and
//! `pinloop-bench-mimalloc` belong beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    pinloop_bench::cli::main()
}
