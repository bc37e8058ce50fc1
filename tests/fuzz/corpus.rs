//! A corpus: a text file with one input a line, escaped as in a Rust literal so that diffs are
//! readable.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the inputs of a target.
pub(crate) fn inputs(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(packed(name)).expect("a corpus");
    text.lines().map(unescape).collect()
}

/// Returns the path of the corpus of a target.
pub(crate) fn packed(name: &str) -> PathBuf {
    Path::new("tests/fuzz").join(format!("{name}.txt"))
}

/// Reverts `escape_ascii`.
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
