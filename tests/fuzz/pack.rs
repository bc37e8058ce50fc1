//! Makes of each corpus the files that libFuzzer wants, one an input, and of the files
//! that it has left the corpus: `cargo run --example corpus -- unpack`, or `pack`.

mod corpus;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const TARGETS: [&str; 3] = ["chunked", "heads", "splits"];

fn main() -> ExitCode {
    let what = std::env::args().nth(1);
    let done = match what.as_deref() {
        Some("unpack") => TARGETS.into_iter().try_for_each(unpack),
        Some("pack") => TARGETS.into_iter().try_for_each(pack),
        _ => {
            eprintln!("say unpack, to make files of the corpus, or pack, to make it of them");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}; this is to be run in the repository's root, and pack after unpack");
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

/// Where libFuzzer has the inputs of a target.
fn unpacked(name: &str) -> PathBuf {
    Path::new("tests/fuzz/corpus").join(name)
}
