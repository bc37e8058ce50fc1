//! The measure's end of an agent: asks, and waits for the answer.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;

use super::wire::{self, Answer, Ask, GREETING, Question};
use crate::rig::pipe::readable_within;
use crate::rig::process::end_of;

/// Time in which an agent must have greeted: a connection over a slow network, and its login.
const GREETING_WITHIN: Duration = Duration::from_secs(30);

/// Time for an answer, beside the time that a question may take by itself.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Time in which an agent must have ended after its stdin.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Bytes that a login may print before the agent greets.
const BANNER_BYTES_MAX: usize = 64 * 1024;

/// Characters of a login's message that are shown.
const BANNER_SHOWN: usize = 200;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentError {
    /// The agent refused; the reason, as a clause about the server.
    Refused(String),
    /// The agent did not start, or has ended; a sentence about its machine.
    Lost(String),
}

/// A running agent.
#[derive(Debug)]
pub struct Connection {
    /// Its machine, for messages.
    name: String,
    child: Child,
    /// None once the agent is to end.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: File,
    /// Bytes that were read and not used.
    buffered: Vec<u8>,
    /// Number of the next question.
    number: u64,
    /// Set once the agent is lost.
    lost: Option<String>,
    /// Lines that were printed before the greeting.
    banner: String,
}

impl Connection {
    /// Runs `command`, which is an agent or leads to one on the machine `name`, and waits for its
    /// greeting. It must lead a process group of its own.
    ///
    /// # Errors
    /// If it ends, does not greet within 30 s, or is of another version.
    pub fn open(mut command: Command, name: &str) -> Result<Self, AgentError> {
        let lost = |error: io::Error| {
            AgentError::Lost(format!("the agent on {name} cannot be started: {error}"))
        };
        // stderr goes to memory: a pipe that nobody reads would fill and block.
        let memory = memfd_create("stderr", MemfdFlags::CLOEXEC);
        let stderr = File::from(memory.map_err(|error| lost(error.into()))?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(stderr.try_clone().map_err(lost)?);
        let mut child = command.spawn().map_err(lost)?;
        let stdin = child.stdin.take();
        let Some(stdout) = child.stdout.take() else {
            unreachable!("stdout was asked to be a pipe")
        };
        let (buffered, banner) = (Vec::new(), String::new());
        let name = name.to_string();
        let mut connection =
            Self { name, child, stdin, stdout, stderr, buffered, number: 0, lost: None, banner };
        connection.await_greeting()?;
        Ok(connection)
    }

    /// Returns the beginning of the lines that were printed before the agent greeted, such as a
    /// message of the day. It is empty without such lines.
    pub fn banner(&self) -> String {
        let printed = self.banner.trim();
        let mut shown: String =
            printed.chars().take(BANNER_SHOWN).flat_map(char::escape_debug).collect();
        if printed.chars().nth(BANNER_SHOWN).is_some() {
            shown.push_str(" …");
        }
        shown
    }

    /// Returns the process id of the agent, or of the command that leads to it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer, which by itself may take `patience`.
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        ask: Ask,
        patience: Duration,
    ) -> Result<T, AgentError> {
        let number = self.send(ask)?;
        self.receive(number, patience)
    }

    /// Asks, and returns the number of the question.
    pub fn send(&mut self, ask: Ask) -> Result<u64, AgentError> {
        if let Some(lost) = &self.lost {
            return Err(AgentError::Lost(lost.clone()));
        }
        let number = self.number;
        self.number += 1;
        let Some(stdin) = &mut self.stdin else { unreachable!("it is open until it is dropped") };
        if let Err(error) = wire::write(stdin, &Question { number, ask }) {
            return Err(self.lose(&format!("ended, or the connection to it did ({error})")));
        }
        Ok(number)
    }

    /// Tells the agent something that it does not answer.
    pub fn send_only(&mut self, ask: Ask) -> Result<(), AgentError> {
        self.send(ask).map(drop)
    }

    /// Waits for the answer to the question with this number.
    pub fn receive<T: DeserializeOwned>(
        &mut self,
        number: u64,
        patience: Duration,
    ) -> Result<T, AgentError> {
        let answer = self.hear(number, patience + ANSWER_WITHIN)?;
        self.understand(answer)
    }

    /// Waits for so long for one of several answers to a question.
    pub fn hear(&mut self, number: u64, within: Duration) -> Result<Answer, AgentError> {
        let answer: Answer =
            self.frame(Instant::now() + within).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => self.lose(&format!("did not answer within {within:?}")),
                _ => self.lose(&format!("ended, or the connection to it did ({error})")),
            })?;
        if answer.number != number {
            let found = answer.number;
            return Err(self.lose(&format!("answered question {found} in place of {number}")));
        }
        Ok(answer)
    }

    /// Returns the value of an answer.
    pub fn understand<T: DeserializeOwned>(&mut self, answer: Answer) -> Result<T, AgentError> {
        let value = answer.result.map_err(AgentError::Refused)?;
        serde_json::from_value(value)
            .map_err(|error| self.lose(&format!("gave an answer that is not understood ({error})")))
    }

    /// Reads lines until the greeting. Those before it are the login's.
    fn await_greeting(&mut self) -> Result<(), AgentError> {
        let deadline = Instant::now() + GREETING_WITHIN;
        loop {
            while let Some(end) = self.buffered.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffered.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                // A login without an end of line prints its last words in front of the greeting.
                if let Some((before, rest)) = line.split_once(GREETING) {
                    self.banner.push_str(before);
                    return wire::check_greeting(rest)
                        .map_err(|reason| AgentError::Lost(format!("{}: {reason}", self.name)));
                }
                self.banner.push_str(&line);
            }
            if self.banner.len() + self.buffered.len() > BANNER_BYTES_MAX {
                self.keep_unfinished_line();
                return Err(self.lose(&format!(
                    "printed more than {} KiB, and never its greeting; what its login prints must be \
                     shorter",
                    BANNER_BYTES_MAX / 1024
                )));
            }
            self.fill(deadline).map_err(|error| {
                self.keep_unfinished_line();
                match error.kind() {
                    io::ErrorKind::TimedOut => self.lose(&format!(
                        "did not greet within {GREETING_WITHIN:?}; does its command ask for a \
                         password? Nobody can answer here"
                    )),
                    _ => self.lose("ended before it greeted"),
                }
            })?;
        }
    }

    /// Adds a line without an end, such as a question for a password, to what was printed.
    fn keep_unfinished_line(&mut self) {
        self.banner.push_str(&String::from_utf8_lossy(&self.buffered));
        self.buffered.clear();
    }

    fn frame(&mut self, deadline: Instant) -> io::Result<Answer> {
        loop {
            let mut whole = self.buffered.as_slice();
            match wire::read(&mut whole) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.fill(deadline)?
                }
                read => {
                    let used = self.buffered.len() - whole.len();
                    self.buffered.drain(..used);
                    return read;
                }
            }
        }
    }

    /// Reads more bytes. An error of kind `TimedOut` after the deadline.
    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !readable_within(&self.stdout, left)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 64 * 1024];
        match self.stdout.read(&mut chunk)? {
            0 => Err(io::Error::other("no more answers")),
            read => {
                self.buffered.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    /// Remembers that the agent is lost, with its last words.
    fn lose(&mut self, what: &str) -> AgentError {
        // Its end may be on the way, and with it the reason.
        self.stdin = None;
        self.wait();
        let mut lost = format!("the agent on {} {what}", self.name);
        if let Ok(Some(status)) = self.child.try_wait() {
            lost.push_str(&format!("; its command ended with {status}"));
        }
        let said = [end_of(&self.stderr), self.banner()];
        for said in said.iter().filter(|said| !said.is_empty()) {
            lost.push_str(&format!("; it said: {said}"));
        }
        self.lost = Some(lost.clone());
        AgentError::Lost(lost)
    }

    /// Waits for the end of the command, and kills it if it does not come.
    fn wait(&mut self) {
        let deadline = Instant::now() + END_WITHIN;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() >= deadline {
                // It leads a group of its own. This fails only if all of it has ended.
                let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // An agent ends when its stdin closes.
        self.stdin = None;
        self.wait();
    }
}

impl std::error::Error for AgentError {}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(what) | Self::Lost(what) => f.write_str(what),
        }
    }
}

impl From<AgentError> for io::Error {
    fn from(error: AgentError) -> Self {
        Self::other(error)
    }
}
