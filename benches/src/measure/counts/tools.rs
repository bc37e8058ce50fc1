//! What counts, and what to do where it is missing.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use super::callgrind;

/// A way to count what a server does from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Instructions.
    Callgrind,
    /// System calls.
    Strace,
    /// Allocations: a program with an allocator that counts.
    Allocator,
}

impl Tool {
    /// In the order in which they are used.
    pub const ALL: [Self; 3] = [Self::Callgrind, Self::Strace, Self::Allocator];

    /// What it counts.
    pub fn counts(self) -> &'static str {
        match self {
            Self::Callgrind => "user instructions",
            Self::Strace => "system calls",
            Self::Allocator => "allocations",
        }
    }

    /// Whether it can be used; the error is a sentence that says what to do.
    pub fn check(self) -> Result<(), String> {
        let (program, options, package) = match self {
            Self::Callgrind => ("valgrind", &["--tool=none"][..], "valgrind"),
            Self::Strace => ("strace", &["-c", "-o", "/dev/null"][..], "strace"),
            Self::Allocator => return Ok(()),
        };
        let install = format!("install it (Debian: apt-get install {package})");
        let run = Command::new(program)
            .args(options)
            .arg("true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        match run {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(format!("there is no {program}; {install}"))
            }
            Err(error) => Err(format!("{program} cannot be run: {error}")),
            Ok(run) if run.status.success() => Ok(()),
            Ok(run) => {
                let words = String::from_utf8_lossy(&run.stderr);
                let last = words.trim_end().lines().last().unwrap_or("it says no word").to_string();
                Err(format!("{program} does not work here, nor would another one: {last}"))
            }
        }
    }

    /// `server` under this tool, which leaves what it counted in `file`.
    pub fn around(self, server: &Command, file: &Path) -> Command {
        let options: Vec<&OsStr> = match self {
            Self::Allocator => Vec::new(),
            Self::Callgrind => {
                let options =
                    ["valgrind", "--tool=callgrind"].into_iter().chain(callgrind::OPTIONS);
                options.map(OsStr::new).collect()
            }
            // -D: the server is our child, and strace its.
            Self::Strace => ["strace", "-D", "-f", "-c", "-o"].map(OsStr::new).to_vec(),
        };
        let mut words: Vec<&OsStr> = options;
        let out;
        match self {
            Self::Allocator => {}
            Self::Callgrind => {
                out = format!("--callgrind-out-file={}", file.display());
                words.push(OsStr::new(&out));
            }
            Self::Strace => words.push(file.as_os_str()),
        }
        words.push(server.get_program());
        words.extend(server.get_args());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }
}
