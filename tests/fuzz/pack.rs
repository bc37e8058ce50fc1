//! Converts between a corpus and the files of libFuzzer, which wants one file for each input:
//! `cargo run --example corpus -- unpack`, and `pack` after fuzzing.

mod corpus;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const TARGETS: [&str; 3] = ["chunked", "heads", "splits"];

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let done = match command.as_deref() {
        Some("unpack") => TARGETS.into_iter().try_for_each(unpack),
        Some("pack") => TARGETS.into_iter().try_for_each(pack),
        _ => {
            eprintln!("usage: corpus unpack (corpus to files) or corpus pack (files to corpus)");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}; run this in the root of the repository, and unpack before pack");
            ExitCode::FAILURE
        }
    }
}

fn unpack(name: &str) -> io::Result<()> {
    fs::create_dir_all(unpacked(name))?;
    for (at, input) in corpus::inputs(name).iter().enumerate() {
        fs::write(unpacked(name).join(format!("{at:04}")), input)?;
    }
    Ok(())
}

fn pack(name: &str) -> io::Result<()> {
    let mut lines = Vec::new();
    for file in fs::read_dir(unpacked(name))? {
        lines.push(fs::read(file?.path())?.escape_ascii().to_string());
    }
    lines.sort();
    lines.dedup();
    fs::write(corpus::packed(name), lines.join("\n") + "\n")
}

/// Returns the folder in which libFuzzer keeps the inputs of a target.
fn unpacked(name: &str) -> PathBuf {
    Path::new("tests/fuzz/corpus").join(name)
}
