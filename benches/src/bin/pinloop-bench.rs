//! `cargo bench` as a program, to copy to another machine. The programs `counted` and
//! `pinloop-bench-mimalloc` belong beside it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let this = std::env::current_exe().unwrap_or_default();
    let counted = this.parent().unwrap_or(Path::new("")).join("counted");
    pinloop_bench::cli::main(&counted)
}
