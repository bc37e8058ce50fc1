//! The part of the help behind the options.

pub(super) const AFTER_HELP: &str = "\
Signals:
  SIGTERM, SIGINT, SIGQUIT
                   stop in steps: /readyz answers 503 for --drain-delay; no connection is
                   accepted any more and each response is the last one of its connection, and
                   idle connections have --drain-grace; unfinished requests have --drain-timeout;
                   exit with 0. A second signal cuts off unfinished requests; exit with 1.
                   (In nginx SIGTERM and SIGINT end at once, and SIGQUIT drains.)
  SIGHUP           reopen the access log, and read --config again: limits, timeouts, rate
                   limits, trusted proxies and the access log change without a restart
  SIGUSR1          reopen the access log
  SIGUSR2          with --takeover, start this program again; the new process takes the
                   listening sockets over, and this one drains

Exit status:
  0  stopped by a signal, and all requests that had arrived were answered
  1  the server could not start or failed, for example because the address is in use; or
     a second signal or the drain timeout cut off requests
  2  an option, an environment variable or the configuration file is wrong

Environment:
  PINLOOP_MAX_HEADERS stands for --max-headers, and so on for each option.
  Options without a value, such as PINLOOP_NO_PIN, are true or false.
  RUST_LOG=debug logs more to standard error.

Examples:
  pinloop --threads 1                       one thread
  pinloop --addr 127.0.0.1:0 --cores 0,2-3  a free port, three threads pinned to three CPUs
  wrk -t1 -c64 -d5s --latency http://127.0.0.1:8080/data";
