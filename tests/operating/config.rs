//! `--config`, `--check-config` and SIGHUP.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use signal_hook::consts::{SIGHUP, SIGTERM};

use super::{get, path};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, read_response, wait_until};

fn write(name: &str, text: &str) -> PathBuf {
    let file = path(name);
    fs::write(&file, text).unwrap();
    file
}

/// Checks a file with more options; returns the exit status and the message.
fn check(file: &Path, more: &[&str]) -> (i32, String) {
    let arguments = ["--check-config", "--config", file.to_str().unwrap()];
    let output = Command::new(BINARY).args(arguments).args(more).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_file_sets_options_below_the_environment_and_the_command_line() {
    let text = "# a comment\naddr = \"127.0.0.1:0\"\nthreads = 1\nno-pin = true\n\
                max-headers = 2\nhead-timeout = 0.5\ntrust = [\"10.0.0.0/8\", \"::1\"]\n\
                admin-addr = \"127.0.0.1:0\"\nmax-connections = 1_000\n";
    let file = write("file.toml", text);
    let limit = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["--config", file.to_str().unwrap()]).args(arguments);
        if let Some(value) = variable {
            command.env("PINLOOP_MAX_HEADERS", value);
        }
        let running = Running::from(&mut command);
        assert!(running.line().contains("with 1 thread not pinned"), "{}", running.line());
        let page = get(running.admin_addr(), "/metrics");
        let limit = |option: &str| {
            let series = format!("pinloop_limit{{option=\"{option}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&series).map(String::from));
            line.expect("the limit")
        };
        assert_eq!(limit("max-connections"), "1000");
        limit("max-headers")
    };
    assert_eq!(limit(None, &[]), "2");
    assert_eq!(limit(Some("3"), &[]), "3");
    assert_eq!(limit(Some("3"), &["--max-headers", "4"]), "4");
    fs::remove_file(file).unwrap();
}

#[test]
fn an_error_in_the_file_has_its_line_and_column() {
    for (text, place, sentence) in [
        ("threads = 0", "line 1, column 11", "'0' for '--threads <N>': allowed is 1 to 1024"),
        ("\nthreads = ", "line 2, column 11", ""),
        ("a = 1", "line 1, column 1", "'a' is not the name of an option"),
        ("# é\nmax-headers = \"many\"", "line 2, column 15", "allowed is 1 to 256"),
        ("[limits]\n", "line 1, column", "'limits' is not the name of an option"),
        ("threads = { a = 1 }", "line 1, column 11", "allowed is a string, a number"),
        ("pin = 1", "line 1, column 7", "allowed is true or false"),
        ("when-full = \"x\"", "line 1, column 13", "[possible values: shed, wait]"),
        ("threads = 1\nthreads = 2", "line 2, column 1", "duplicate key"),
        ("config = \"x\"", "line 1, column 1", "'config' is not the name of an option"),
        ("man = true", "line 1, column 1", "'man' is not the name of an option"),
        ("trust = [\"10.0.0.0/8\", 7]", "line 1, column 24", "allowed is a list of networks"),
    ] {
        let file = write("wrong.toml", text);
        let (status, message) = check(&file, &[]);
        assert_eq!(status, 2, "{text}: {message}");
        assert!(message.contains(&format!("wrong.toml, {place}")), "{text}: {message}");
        assert!(message.contains(sentence), "{text}: {message}");
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_configuration_is_checked_as_a_whole() {
    let file = write("whole.toml", "\n  rate-limit-burst = 9\n");
    let (status, message) = check(&file, &[]);
    assert_eq!(status, 2);
    let sentence = "whole.toml, line 2, column 3)' needs '--rate-limit <RATE>'";
    assert!(message.contains(sentence), "{message}");
    let (status, message) = check(&file, &["--rate-limit", "1/s"]);
    assert_eq!((status, &*message), (0, "the configuration is valid\n"));
    fs::write(&file, "pin = true").unwrap();
    assert_eq!(check(&file, &["--no-pin"]).0, 0, "the command line comes before the file");
    let (status, message) = check(Path::new("/no/such/file"), &[]);
    assert_eq!(status, 2);
    assert!(message.contains("cannot read the configuration /no/such/file"), "{message}");
    fs::write(&file, "cores = \"4000\"").unwrap();
    let (status, message) = check(&file, &[]);
    assert_eq!(status, 2, "{message}");
    fs::remove_file(file).unwrap();
}

/// Sends a request on a connection that stays open; returns the status.
fn ask(stream: &mut TcpStream, headers: &str) -> String {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).unwrap();
    read_response(stream).0.split(' ').nth(1).expect("a status").to_string()
}

#[test]
fn sighup_changes_limits_and_the_log_without_closing_a_connection() {
    let (old, new) = (path("reload.log"), path("reload.new"));
    let text = |log: &Path, more: &str| {
        format!("threads = 1\nno-pin = true\naccess-log = \"{}\"\n{more}", log.display())
    };
    let file = write("reload.toml", &text(&old, ""));
    let stderr = path("reload.stderr");
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let running = Running::from(command.stderr(File::create(&stderr).unwrap()));
    let message = |sentence: &str| {
        wait_until("there is a message", || {
            fs::read_to_string(&stderr).unwrap().contains(sentence)
        });
    };
    let mut stream = running.connect();
    let headers = "A: 1\r\nB: 2\r\nC: 3\r\n";
    assert_eq!(ask(&mut stream, headers), "200");

    let more = "max-headers = 4\nrate-limit = \"1/m\"\nrate-limit-burst = 2\nwork = 7\n";
    fs::write(&file, text(&new, more)).unwrap();
    running.signal(SIGHUP);
    message("work cannot change while the server runs; restart it");
    let mut other = running.connect();
    let statuses: Vec<String> = (0..3).map(|_| ask(&mut other, "")).collect();
    assert_eq!(statuses, ["200", "200", "429"], "the new rate limit");
    assert_eq!(ask(&mut stream, headers), "429", "the same connection, four headers");
    assert_eq!(ask(&mut other, "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n"), "431", "the new limit");

    fs::write(&file, "max-headers = 0\n").unwrap();
    running.signal(SIGHUP);
    message("the configuration was not reloaded: ");
    message("line 1, column 15: invalid value '0'");
    assert_eq!(ask(&mut stream, headers), "429", "nothing has changed");
    drop(stream);
    running.end(SIGTERM);
    assert_eq!(fs::read_to_string(&old).unwrap().lines().count(), 1);
    assert!(fs::read_to_string(&new).unwrap().lines().count() > 3);
    for file in [old, new, file, stderr] {
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn sighup_changes_the_number_of_connections() {
    let text = "threads = 1\nno-pin = true\nmax-connections = 1\nwhen-full = \"wait\"\n";
    let file = write("connections.toml", text);
    let running = Running::start(&["--config", file.to_str().unwrap()]);
    let mut first = running.connect();
    first.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut first);
    let mut second = running.connect();
    second.write_all(GET).unwrap();
    fs::write(&file, text.replace("= 1\nwhen", "= 2\nwhen")).unwrap();
    running.signal(SIGHUP);
    // Until then the second connection is in the queue.
    assert!(read_response(&mut second).0.starts_with("HTTP/1.1 200 "));
    first.write_all(&GET[9..]).unwrap();
    assert!(read_response(&mut first).0.starts_with("HTTP/1.1 200 "));
    fs::remove_file(file).unwrap();
}

#[test]
fn a_health_check_tells_by_its_exit_status() {
    let running = Running::start_unpinned(&["--admin-addr", "127.0.0.1:0"]);
    let check = |url: &str| Command::new(BINARY).args(["--check", url]).output().unwrap();
    let admin = running.admin_addr();
    assert_eq!(check(&format!("http://{admin}/readyz")).status.code(), Some(0));
    let failed = check(&format!("http://{admin}/nope"));
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("/nope answers 404"));
    running.end(SIGTERM);
    let failed = check(&format!("http://{admin}/readyz"));
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("does not answer"));
    let failed = check("https://a.example/");
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("allowed is http://IP:PORT/PATH"));
}
