//! The tools that count, and advice if one is missing.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::studies::count::callgrind;

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

    /// Returns the name of its counts.
    pub fn counts(self) -> &'static str {
        match self {
            Self::Callgrind => "user instructions",
            Self::Strace => "system calls",
            Self::Allocator => "allocations",
        }
    }

    /// Reports whether it can be used; the error is a sentence that says what to do.
    pub fn check(self) -> Result<(), String> {
        match self {
            Self::Callgrind => works("valgrind", &["--tool=none", "true"]),
            Self::Strace => works("strace", &["-c", "-o", "/dev/null", "true"]),
            Self::Allocator => Ok(()),
        }
    }

    /// `server` under this tool, which leaves what it counted in `file`.
    pub fn around(self, server: &Command, file: &Path) -> Command {
        let mut command = match self {
            Self::Allocator => Command::new(server.get_program()),
            Self::Callgrind => {
                let mut command = Command::new("valgrind");
                command.arg("--tool=callgrind").args(callgrind::OPTIONS);
                command.arg(format!("--callgrind-out-file={}", file.display()));
                command
            }
            Self::Strace => {
                let mut command = Command::new("strace");
                // -D: the server is our child, and strace its.
                command.args(["-D", "-f", "-c", "-o"]).arg(file);
                command
            }
        };
        if self != Self::Allocator {
            command.arg(server.get_program());
        }
        command.args(server.get_args());
        command
    }
}

/// Reports whether `program`, which is named as its package is, runs with these arguments.
fn works(program: &str, arguments: &[&str]) -> Result<(), String> {
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match run {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("there is no {program}; install it (Debian: apt-get install {program})"))
        }
        Err(error) => Err(format!("{program} cannot be run: {error}")),
        Ok(run) if run.status.success() => Ok(()),
        Ok(run) => {
            let words = String::from_utf8_lossy(&run.stderr);
            let last = words.trim_end().lines().last().unwrap_or("it does not say why");
            Err(format!("{program} is not allowed to work here: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_said_to_be_installed() {
        let said = works("no-such-tool", &[]).unwrap_err();
        let sentence =
            "there is no no-such-tool; install it (Debian: apt-get install no-such-tool)";
        assert_eq!(said, sentence);
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let said = works("sh", &["-c", "echo no >&2; exit 1"]).unwrap_err();
        assert_eq!(said, "sh is not allowed to work here: no");
        assert_eq!(works("sh", &["-c", "exit 0"]), Ok(()));
    }

    #[test]
    fn a_tool_is_put_before_the_server() {
        let mut server = Command::new("/bin/server");
        server.args(["serve", "pinloop"]);
        let words = |tool: Tool| {
            let command = tool.around(&server, Path::new("/tmp/counted"));
            let arguments = command.get_args().map(|word| word.to_str().unwrap().to_string());
            (command.get_program().to_str().unwrap().to_string(), arguments.collect::<Vec<_>>())
        };
        let (program, arguments) = words(Tool::Strace);
        assert_eq!(program, "strace");
        let expected = ["-D", "-f", "-c", "-o", "/tmp/counted", "/bin/server", "serve", "pinloop"];
        assert_eq!(arguments, expected);
        let (program, arguments) = words(Tool::Callgrind);
        assert_eq!(program, "valgrind");
        assert!(arguments.ends_with(&["/bin/server", "serve", "pinloop"].map(String::from)));
        assert_eq!(
            words(Tool::Allocator),
            ("/bin/server".into(), vec!["serve".into(), "pinloop".into()])
        );
    }
}
