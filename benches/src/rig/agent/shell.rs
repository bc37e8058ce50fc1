//! A command on another machine: the words that the user gave, such as `ssh HOST`, with the command
//! behind them.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Time that a short command may take there, with its login.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A slower network than this counts as none.
const BYTES_PER_SECOND_LEAST: u64 = 64 * 1024;

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
        // In a session of its own it has no terminal: an interrupt reaches only this process, which then
        // ends it in order, and ssh cannot ask for a password there.
        let mut command = Command::new("setsid");
        let line = format!("exec {} \"$@\"", self.prefix);
        // It asks a program instead, which refuses.
        command.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force");
        command.args(["sh", "-c", &line, "sh"]).args(words);
        command
    }

    /// Runs `script` there, in a shell that reads it from stdin.
    pub fn script(&self, script: &str) -> Result<Output, String> {
        self.run(&["sh"], script.as_bytes())
    }

    /// Runs these words there, with `input` as stdin. The error is a clause; the status is for the
    /// caller to look at.
    pub fn run(&self, words: &[&str], input: &[u8]) -> Result<Output, String> {
        let within = ENDS_WITHIN + Duration::from_secs(input.len() as u64 / BYTES_PER_SECOND_LEAST);
        let failed = |error: std::io::Error| format!("'{}' cannot be run: {error}", self.prefix);
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let id = child.id();
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // Apart from reading, because both pipes may be full.
            scope.spawn(move || {
                // A command that does not read to the end has said why, or has ended.
                let _ = stdin.map(|mut stdin| stdin.write_all(input));
            });
            let (ended, end) = mpsc::channel::<()>();
            let watchman = scope.spawn(move || {
                let is_late = end.recv_timeout(within) == Err(RecvTimeoutError::Timeout);
                if is_late {
                    // The group is the command's own; it fails only if all have ended.
                    let group = Pid::from_raw(id as i32);
                    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
                }
                is_late
            });
            let output = child.wait_with_output().map_err(failed);
            drop(ended);
            match watchman.join() {
                Ok(true) => Err(format!(
                    "'{}' did not end within {within:?}; does it ask for a password? Nobody can \
                     answer here",
                    self.prefix
                )),
                _ => output,
            }
        })
    }
}
