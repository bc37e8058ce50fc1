//! A command on another machine: the words that the user gave, such as `ssh HOST`, with the command
//! behind them.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// Leads to another machine, container or namespace: `ssh HOST`, `docker exec -i NAME`,
/// `kubectl exec -i POD --`, `ip netns exec NAME`.
#[derive(Clone, Debug)]
pub struct Shell {
    prefix: String,
}

impl Shell {
    /// `prefix` is a command for the shell of this machine.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_string() }
    }

    /// Returns the words that lead there, for messages.
    pub fn name(&self) -> &str {
        &self.prefix
    }

    /// Returns the command that runs these words there. They must not need quotes, because ssh
    /// hands them to a shell.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let line = format!("exec {} \"$@\"", self.prefix);
        command.args(["-c", &line, "sh"]).args(words);
        command
    }

    /// Runs `script` there, in a shell that reads it from stdin.
    pub fn script(&self, script: &str) -> Result<Output, String> {
        self.run(&["sh"], script.as_bytes())
    }

    /// Runs these words there, with `input` as stdin. The error is a sentence; the status is for
    /// the caller to look at.
    pub fn run(&self, words: &[&str], input: &[u8]) -> Result<Output, String> {
        let failed = |error: std::io::Error| format!("'{}' cannot be run: {error}", self.prefix);
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // Apart from reading, because both pipes may be full.
            scope.spawn(move || {
                // A command that does not read to the end has said why, or has ended.
                let _ = stdin.map(|mut stdin| stdin.write_all(input));
            });
            child.wait_with_output().map_err(failed)
        })
    }
}
