//! The arguments of `cargo bench -- load URL`, and the run that they ask for.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::arrivals::{Arrivals, Phase};
use super::cores::cpu_list;
use super::pace::{Pace, Stop};
use super::placement::Placement;
use super::target::Shape;

/// Load any HTTP/1.1 server from one thread or several, and print its rate and latencies.
///
/// Without --rate each connection sends its next request as soon as the last one is answered.
/// Exit status: 0; 1 after errors, or if nothing could be measured; 2 for bad arguments.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// URL to request: `http://HOST[:PORT][/PATH][?QUERY]`; IPv6 addresses in brackets
    pub url: String,

    /// Connections kept open [default: 64]; with --arrivals the maximum number of clients
    #[arg(short, long, value_name = "N")]
    pub connections: Option<NonZeroUsize>,

    /// Requests sent at once on a connection, before the first of them is answered
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub pipeline: NonZeroUsize,

    /// Requests per second over all connections, at fixed times: latency then counts from when a
    /// request should have been sent (no coordinated omission)
    #[arg(short, long, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Clients arriving, each on a connection of its own, in a closed loop to the end: 8x60s is 8
    /// a second for 60 s. Several phases may follow one another: 8x60s,0x30s
    #[arg(
        long,
        value_name = "RATExTIME",
        value_delimiter = ',',
        value_parser = parse_phase,
        conflicts_with_all = ["rate", "duration", "requests"]
    )]
    pub arrivals: Vec<Phase>,

    /// Length of the run: 10s, 500ms, 2m; seconds without a unit [default: 10s]
    #[arg(short, long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,

    /// Stop after this number of requests instead
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration")]
    pub requests: Option<NonZeroU64>,

    /// Request method [default: GET, with --body POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,

    /// Request body: text, or @FILE for the bytes of a file
    #[arg(short, long, value_name = "TEXT|@FILE")]
    pub body: Option<String>,

    /// A header field to send, 'name: value'; may be given several times
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,

    /// Close a connection after this number of answers, and open another one
    #[arg(long, value_name = "N")]
    pub new_connection_every: Option<NonZeroU64>,

    /// Compare every answer with the first one, byte by byte, apart from the date. An answer that
    /// differs is an error
    #[arg(long)]
    pub compare: bool,

    /// Time that a server may be silent while an answer is due; also the time to wait for the last
    /// answers at the end of the run
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "5s")]
    pub timeout: Duration,

    /// Print one JSON object instead of the summary
    #[arg(long)]
    pub json: bool,

    /// Write the latencies as an HdrHistogram percentile distribution, in ms
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,

    /// Threads that share the connections, clients and requests; each is pinned to a core of its
    /// own if there are enough [default: one for each of --cores, or 1, which is not pinned]
    #[arg(short, long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<NonZeroUsize>,

    /// Cores to pin the threads to, one each: 0,2-3
    #[arg(long, alias = "core", value_name = "LIST", value_parser = parse_cores)]
    pub cores: Option<Cores>,
}

/// Cores by number, as on the command line.
#[derive(Clone, Debug)]
pub struct Cores(Vec<usize>);

impl LoadArgs {
    /// Returns the number of connections to keep open. Clients that arrive bring their own.
    pub(super) fn shape(&self) -> Shape {
        Shape {
            connections: if self.arrivals.is_empty() { self.connections() } else { 0 },
            pipeline: self.pipeline.get(),
            requests_per_connection: self.new_connection_every,
        }
    }

    fn connections(&self) -> usize {
        self.connections.map_or(Shape::default().connections, NonZeroUsize::get)
    }

    /// Returns the threads. Fails with a sentence if there are fewer cores than threads.
    pub(super) fn placement(&self) -> Result<Placement, String> {
        let threads = self.threads.map(NonZeroUsize::get);
        let Some(Cores(cores)) = &self.cores else {
            return Ok(Placement::anywhere(threads.unwrap_or(1)));
        };
        let threads = threads.unwrap_or(cores.len());
        match cores.get(..threads) {
            Some(cores) => Ok(Placement::on(cores, threads)),
            None => Err(format!(
                "--threads {threads} needs as many --cores, and these are {}; without --cores the \
                 threads may run on any core",
                cores.len()
            )),
        }
    }

    pub(super) fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Closed, Pace::Rate)
    }

    pub(super) fn stop(&self) -> Stop {
        match (self.requests, self.duration) {
            (Some(requests), _) => Stop::Requests(requests.get()),
            (None, duration) => Stop::After(duration.unwrap_or(Duration::from_secs(10))),
        }
    }

    pub(super) fn arriving(&self) -> Arrivals {
        let clients_max = self.connections.map_or(usize::MAX, NonZeroUsize::get);
        Arrivals { phases: self.arrivals.clone(), clients_max }
    }

    /// Describes the run on `threads` threads in words.
    pub(super) fn plan(&self, threads: usize) -> String {
        let mut plan = if self.arrivals.is_empty() {
            let until = match self.stop() {
                Stop::After(time) => format!("{} s", time.as_secs_f64()),
                Stop::Requests(count) => format!("{count} requests"),
            };
            let pace = match self.pace() {
                Pace::Closed => "closed loop".into(),
                Pace::Rate(rate) => format!("{rate} requests per second"),
            };
            format!("{until}, {} connections, {pace}", self.connections())
        } else {
            let arrivals = self.arriving();
            let time = arrivals.lasts().as_secs_f64();
            format!("{time} s, {} clients arriving, closed loop", arrivals.clients())
        };
        if self.pipeline.get() > 1 {
            plan += &format!(", {} requests at once", self.pipeline);
        }
        if let Some(every) = self.new_connection_every {
            plan += &format!(", a new connection every {every} requests");
        }
        if threads > 1 {
            plan += &format!(", {threads} threads");
        }
        plan
    }
}

/// Parses a number of requests or clients per second, above 0.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number per second, above 0".into())
}

/// Parses a phase: `8x60s` is 8 clients a second for 60 s.
pub fn parse_phase(text: &str) -> Result<Phase, String> {
    let wanted = || "write RATExTIME, such as 8x60s for 8 clients a second for 60 s".to_owned();
    let (rate, time) = text.split_once('x').ok_or_else(wanted)?;
    let rate = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
    let clients_per_second = rate.ok_or_else(wanted)?;
    Ok(Phase { clients_per_second, lasts: parse_time(time)? })
}

/// Parses a time above 0, with or without its unit: `10s`, `500ms`, `1.5`.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit_seconds = match unit {
        "us" | "µs" => Some(1e-6),
        "ms" => Some(1e-3),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number = number.parse::<f64>().ok();
    let seconds = number.zip(unit_seconds).map(|(number, unit_seconds)| number * unit_seconds);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a time above 0, such as 10s, 500ms, 2m or 1.5 (seconds)".into())
}

/// Parses cores such as `0,2-3`.
pub(super) fn parse_cores(text: &str) -> Result<Cores, String> {
    cpu_list(text).map(Cores).ok_or_else(|| "expected cores such as 0,2-3".into())
}

/// Parses a number of threads. More than 4096 have no use on any machine.
fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= 4096);
    threads.ok_or_else(|| "expected a number of threads from 1 to 4096".to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse_args as parse;

    fn planned(args: &str) -> String {
        let args = parse(args).unwrap();
        args.plan(args.placement().unwrap().total)
    }

    #[test]
    fn describes_the_run() {
        assert_eq!(planned(""), "10 s, 64 connections, closed loop");
        assert_eq!(
            planned("-c 8 -p 16 -n 1000"),
            "1000 requests, 8 connections, closed loop, 16 requests at once"
        );
        assert_eq!(
            planned("--rate 2.5e3 -d 500ms --new-connection-every 1"),
            "0.5 s, 64 connections, 2500 requests per second, a new connection every 1 requests"
        );
        assert_eq!(
            planned("--arrivals 8x60s,0x30 -c 500"),
            "90 s, 480 clients arriving, closed loop"
        );
        assert_eq!(planned("--threads 3"), "10 s, 64 connections, closed loop, 3 threads");
        assert_eq!(planned("--cores 0,2-3"), planned("--threads 3"));
        assert_eq!(planned("--core 5"), planned(""));
    }

    #[test]
    fn refuses_bad_arguments_and_names_good_ones() {
        for (args, said) in [
            ("--rate 0", "above 0"),
            ("--rate NaN", "above 0"),
            ("--rate -5", "above 0"),
            ("--duration 0", "above 0"),
            ("--duration 10d", "10s, 500ms, 2m"),
            ("--duration 1s --requests 5", "cannot be used with"),
            ("--arrivals 8", "8x60s"),
            ("--arrivals 8x60s --rate 5", "cannot be used with"),
            ("--connections 0", "--connections"),
            ("--pipeline 0", "--pipeline"),
            ("--requests 0", "--requests"),
            ("--threads 0", "--threads"),
            ("--cores 3-2", "such as 0,2-3"),
            ("--cores 99999", "such as 0,2-3"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(said), "{args}: {error}");
        }
    }
}
