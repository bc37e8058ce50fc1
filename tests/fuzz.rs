//! The checks of the fuzz targets, over the corpus that fuzzing has gathered.
//!
//! A corpus is a text with an input a line, escaped as in a Rust literal, so that
//! a difference can be read. libFuzzer wants a file an input: the ignored tests
//! here make one from the other, as the README says.

mod chunked;
mod heads;
mod splits;

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{feed, probe};

/// A target's name, and what holds of each of its inputs.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 3] =
    [("chunked", chunked::check), ("heads", heads::check), ("splits", splits::check)];

#[test]
fn the_corpus_holds_no_surprise() {
    for (name, check) in TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() > 100, "{} inputs for {name}", inputs.len());
        inputs.iter().for_each(|input| check(input));
    }
}

#[test]
#[ignore = "writes the corpus as the files that libFuzzer wants"]
fn unpack() {
    for (name, _) in TARGETS {
        fs::create_dir_all(unpacked(name)).unwrap();
        for (at, input) in inputs(name).iter().enumerate() {
            fs::write(unpacked(name).join(format!("{at:04}")), input).unwrap();
        }
    }
}

#[test]
#[ignore = "takes the files that libFuzzer has left for the corpus"]
fn pack() {
    for (name, _) in TARGETS {
        let files = fs::read_dir(unpacked(name)).unwrap();
        let mut lines: Vec<String> = files
            .map(|file| fs::read(file.unwrap().path()).unwrap().escape_ascii().to_string())
            .collect();
        lines.sort();
        lines.dedup();
        fs::write(packed(name), lines.join("\n") + "\n").unwrap();
    }
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(packed(name)).expect("a corpus");
    text.lines().map(unescape).collect()
}

fn packed(name: &str) -> PathBuf {
    Path::new("tests/fuzz").join(format!("{name}.txt"))
}

fn unpacked(name: &str) -> PathBuf {
    Path::new("tests/fuzz/corpus").join(name)
}

/// The bytes that `escape_ascii` was given.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        unescaped.push(match (byte, byte == b'\\') {
            (byte, false) => byte,
            _ => match bytes.next().expect("an escape") {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("a digit"));
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("hexadecimal digits")
                }
                other => other,
            },
        });
    }
    unescaped
}
