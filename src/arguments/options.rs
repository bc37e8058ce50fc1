//! The table of options: each with its name, its help, and where its value goes.

use std::num::NonZeroUsize;

use pinloop::{LogFormat, Metrics, WhenFull};

use super::Opt;
use super::values::{POSITIVE, WHOLE, cores, flag, parse, seconds, text};

/// In the order in which the help has them.
pub(super) static OPTIONS: [Opt; 23] = [
    Opt {
        name: "addr",
        value: "IP:PORT",
        help: "Where to listen; port 0 picks a free one",
        default: Some(|to| to.config.addr.to_string()),
        set: |to, value| {
            to.config.addr = parse(value, "an IP address and a port, as in 127.0.0.1:8080")?;
            Ok(())
        },
    },
    Opt {
        name: "threads",
        value: "N",
        help: "Threads [default: one per CPU that the process may use]",
        default: None,
        set: |to, value| {
            to.config.threads = Some(parse::<NonZeroUsize>(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "cores",
        value: "LIST",
        help: "CPUs to pin the threads to, e.g. 0,2-3 [default: the first that the process may use]",
        default: None,
        set: |to, value| {
            to.config.cores = Some(cores(text(value)?)?);
            Ok(())
        },
    },
    Opt {
        name: "no-pin",
        value: "",
        help: "Leave the threads to the scheduler",
        default: None,
        set: |to, value| {
            to.config.pin = !flag(value)?;
            Ok(())
        },
    },
    Opt {
        name: "work",
        value: "ROUNDS",
        help: "Rounds of the work function for each GET /data; 100 take some 8 microseconds",
        default: Some(|to| to.work.to_string()),
        set: |to, value| {
            to.work = parse(value, "a whole number up to 4294967295")?;
            Ok(())
        },
    },
    Opt {
        name: "workers",
        value: "N",
        help: "Threads for GET /data?offload; 0 for none [default: one per CPU that the event
loops leave free, at least 1]",
        default: None,
        set: |to, value| {
            to.workers = Some(parse(value, WHOLE)?);
            Ok(())
        },
    },
    Opt {
        name: "access-log",
        value: "FILE|-",
        help: "Write a line for each request to this file, or to the standard output for -; SIGHUP
opens it anew",
        default: None,
        set: |to, value| {
            if value.is_empty() {
                return Err("allowed is a file's name, or - for the standard output".into());
            }
            to.access_log = Some(value.into());
            Ok(())
        },
    },
    Opt {
        name: "access-log-format",
        value: "json|combined",
        help: "How the lines of the access log look: a JSON object each, or the combined log
format of Apache and nginx",
        default: Some(|to| match to.access_log_format {
            LogFormat::Json => "json".into(),
            LogFormat::Combined => "combined".into(),
        }),
        set: |to, value| {
            to.access_log_format = match text(value)? {
                "json" => LogFormat::Json,
                "combined" => LogFormat::Combined,
                _ => return Err("allowed are json and combined".into()),
            };
            Ok(())
        },
    },
    Opt {
        name: "metrics",
        value: "",
        help: "Counter what happens, for GET /metrics",
        default: None,
        set: |to, value| {
            to.config.metrics = flag(value)?.then(Metrics::default);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit",
        value: "RATE",
        help: "Requests that each client address may make, e.g. 100/s or 6000/m; more are 429.
An IPv6 client is its /64",
        default: None,
        set: |to, value| {
            to.rate_limit = Some(text(value)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-burst",
        value: "N",
        help: "Requests that each client may make at once after a pause [default: what the rate
allows in 20 ms, at least 20]",
        default: None,
        set: |to, value| {
            to.rate_limit_burst = Some(parse(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-total",
        value: "RATE",
        help: "Requests that all clients together may make; more are 429",
        default: None,
        set: |to, value| {
            to.rate_limit_total = Some(text(value)?.parse()?);
            Ok(())
        },
    },
    Opt {
        name: "rate-limit-total-burst",
        value: "N",
        help: "Requests that all clients together may make at once after a pause [default: as
for each client]",
        default: None,
        set: |to, value| {
            to.rate_limit_total_burst = Some(parse(value, POSITIVE)?);
            Ok(())
        },
    },
    Opt {
        name: "max-head-bytes",
        value: "BYTES",
        help: "Bytes of a request's head; more is 431, or 414 for the target",
        default: Some(|to| to.config.limits.head_bytes_max.to_string()),
        set: |to, value| {
            to.config.limits.head_bytes_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-headers",
        value: "N",
        help: "Fields of a request's head; more is 431",
        default: Some(|to| to.config.limits.headers_max.to_string()),
        set: |to, value| {
            to.config.limits.headers_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-body-bytes",
        value: "BYTES",
        help: "Bytes of collected content; more is 413. POST /echo streams, and has no limit",
        default: Some(|to| to.config.limits.body_bytes_max.to_string()),
        set: |to, value| {
            to.config.limits.body_bytes_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "max-connections",
        value: "N",
        help: "Connections open at a time",
        default: Some(|to| to.config.connections_max.to_string()),
        set: |to, value| {
            to.config.connections_max = parse(value, WHOLE)?;
            Ok(())
        },
    },
    Opt {
        name: "when-full",
        value: "shed|wait",
        help: "What becomes of more connections: answered with 503 and closed, or left in the
listener's queue until there is room",
        default: Some(|to| match to.config.when_full {
            WhenFull::Shed => "shed".into(),
            WhenFull::Wait => "wait".into(),
        }),
        set: |to, value| {
            to.config.when_full = match text(value)? {
                "shed" => WhenFull::Shed,
                "wait" => WhenFull::Wait,
                _ => return Err("allowed are shed and wait".into()),
            };
            Ok(())
        },
    },
    Opt {
        name: "head-timeout",
        value: "SECONDS",
        help: "From a head's first byte, or the connection's beginning, to its end",
        default: Some(|to| to.config.timeouts.head.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.head = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "body-timeout",
        value: "SECONDS",
        help: "For every 4 KiB of a request's content",
        default: Some(|to| to.config.timeouts.body.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.body = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "idle-timeout",
        value: "SECONDS",
        help: "Between an answer and the next request",
        default: Some(|to| to.config.timeouts.idle.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.idle = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "write-timeout",
        value: "SECONDS",
        help: "For every 4 KiB of an answer",
        default: Some(|to| to.config.timeouts.write.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.write = seconds(text(value)?)?;
            Ok(())
        },
    },
    Opt {
        name: "drain-timeout",
        value: "SECONDS",
        help: "For unfinished requests after SIGTERM or SIGINT",
        default: Some(|to| to.config.timeouts.drain.as_secs().to_string()),
        set: |to, value| {
            to.config.timeouts.drain = seconds(text(value)?)?;
            Ok(())
        },
    },
];
