//! wrk in place of our load generator, to show that the figures don't hang on it.
//!
//! A slice is one run of wrk: a process on the generator's CPU that connects, loads
//! and ends. It takes whole seconds only, and tells percentiles and no histogram.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;

use crate::results::{self, Latency};
use crate::rig::answered::Answered;
use crate::rig::regimes::{Pace, Regime};

/// Sends several requests in one write.
const PIPELINE: &str = include_str!("../../wrk/pipeline.lua");

/// Prints what was measured as JSON, in one line.
const JSON: &str = include_str!("../../wrk/json.lua");

/// The percentiles that are told, and the share of requests between each and the
/// one before it, in thousandths.
const SHARES: [u64; 5] = [500, 400, 90, 9, 1];

/// wrk, set up for one server in one regime.
#[derive(Debug)]
pub struct Wrk {
    arguments: Vec<String>,
    request_bytes: u64,
    /// Read by wrk through /proc.
    script: File,
}

/// Output of the Lua script.
#[derive(Deserialize)]
struct Told {
    requests: u64,
    elapsed_seconds: f64,
    latency_us: Percentiles,
    errors: Errors,
    bytes_received: u64,
}

#[derive(Deserialize)]
struct Percentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize)]
struct Errors {
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
    status: u64,
}

/// Reports whether wrk is there; the error is a sentence for people.
pub fn is_installed() -> Result<(), String> {
    // It knows no --version, and answers -v with its usage.
    let tried = Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match tried {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "wrk cannot be run: {error}; install it (Debian: apt-get install wrk) or leave out \
             --generator wrk"
        )),
    }
}

/// Reports whether wrk can load a server so: it knows no rate, keeps its connections open,
/// and here only gets requests without content.
pub fn can(regime: &Regime) -> bool {
    regime.pace == Pace::Closed
        && regime.requests_per_connection.is_none()
        && regime.request.starts_with(b"GET ")
}

impl Wrk {
    /// For a server at `address` in a regime that wrk [`can`].
    pub fn new(address: SocketAddr, regime: &Regime) -> io::Result<Self> {
        let mut script = File::from(memfd_create("wrk.lua", MemfdFlags::CLOEXEC)?);
        let pipelined = if regime.pipeline > 1 { PIPELINE } else { "" };
        write!(script, "{pipelined}\n{JSON}")?;
        let path = regime.request.split(|&byte| byte == b' ').nth(1).unwrap_or(b"/");
        let mut arguments =
            vec!["-t1".to_string(), format!("-c{}", regime.connections), "-s".to_string()];
        arguments.push(format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd()));
        for field in ["user-agent: pinloop", "accept: */*"] {
            arguments.extend(["-H".to_string(), field.to_string()]);
        }
        arguments.push(format!("http://{address}{}", String::from_utf8_lossy(path)));
        if regime.pipeline > 1 {
            arguments.extend(["--".to_string(), regime.pipeline.to_string()]);
        }
        Ok(Self { arguments, request_bytes: regime.request.len() as u64, script })
    }

    /// One run of whole seconds, on the CPU of the calling thread.
    pub fn run(&mut self, length: Duration) -> Result<Answered, String> {
        debug_assert!(self.script.as_raw_fd() >= 0);
        let seconds = length.as_secs().max(1);
        let mut command = Command::new("wrk");
        // In a group of its own, so that an interrupt lets it end its slice.
        command.arg(format!("-d{seconds}s")).args(&self.arguments).process_group(0);
        let ran = command.output().map_err(|error| format!("wrk cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&ran.stdout);
        if !ran.status.success() {
            let complaint = String::from_utf8_lossy(&ran.stderr);
            return Err(format!("wrk ended with {}: {}", ran.status, complaint.trim()));
        }
        let line = said.lines().last().unwrap_or_default();
        let told: Told = serde_json::from_str(line)
            .map_err(|error| format!("wrk's last line is not what its script prints: {error}"))?;
        told.judge()?;
        Ok(told.answered(self.request_bytes))
    }
}

impl Told {
    fn judge(&self) -> Result<(), String> {
        let Errors { connect, read, write, timeout, status } = self.errors;
        let errors = connect + read + write + timeout + status;
        if errors > 0 {
            return Err(format!(
                "wrk counts {errors} errors beside {} answers: connect {connect}, read {read}, \
                 write {write}, timeout {timeout}, status {status}",
                self.requests
            ));
        }
        if self.requests == 0 {
            return Err("it answered nothing".to_string());
        }
        Ok(())
    }

    fn answered(&self, request_bytes: u64) -> Answered {
        let Percentiles { p50, p90, p99, p99_9, max } = self.latency_us;
        let upper_ns = [p50, p90, p99, p99_9, max].map(|us| (us.unwrap_or(0.0) * 1e3) as u64);
        let counts = SHARES.map(|thousandths| self.requests * thousandths / 1000);
        Answered {
            requests: self.requests,
            elapsed: Duration::from_secs_f64(self.elapsed_seconds),
            latency: Latency::of(upper_ns.into_iter().zip(counts)),
            generator: results::Generator {
                bytes_sent: self.requests * request_bytes,
                bytes_received: self.bytes_received,
                ..results::Generator::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::regimes;

    #[test]
    fn what_the_script_prints_is_read() {
        let line = r#"{"requests":2000,"requests_per_second":2000.000,"elapsed_seconds":1.000,
            "latency_us":{"mean":1.0,"p50":100.0,"p90":200.0,"p99":300.0,"p99_9":400.0,"max":500.0},
            "errors":{"connect":0,"read":0,"write":0,"timeout":0,"status":0},
            "bytes_received":190000}"#;
        let told: Told = serde_json::from_str(line).unwrap();
        assert!(told.judge().is_ok());
        let answered = told.answered(80);
        assert_eq!(answered.requests, 2000);
        assert_eq!(answered.generator.bytes_sent, 160_000);
        let counts: Vec<u64> = answered.latency.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [1000, 800, 180, 18, 2]);
    }

    #[test]
    fn errors_are_named() {
        let line = r#"{"requests":5,"elapsed_seconds":1,"latency_us":{"p50":null},
            "errors":{"connect":0,"read":0,"write":0,"timeout":0,"status":5},"bytes_received":1}"#;
        let told: Told = serde_json::from_str(line).unwrap();
        assert!(told.judge().unwrap_err().ends_with("status 5"));
    }

    #[test]
    fn only_what_wrk_can_do_is_asked_of_it() {
        assert!(regimes::quick().iter().all(can));
        let full = regimes::full();
        let cannot: Vec<_> = full.iter().filter(|regime| !can(regime)).map(|of| of.key).collect();
        assert_eq!(cannot, ["half", "idle", "connect", "echo"]);
    }
}
