//! SIGHUP with a configuration that cannot be applied as a whole.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use signal_hook::consts::{SIGHUP, SIGTERM};

use super::path;
use crate::support::process::{BINARY, Running};
use crate::support::{connect_to, read_response, wait_until};

/// A server with a configuration file and an access log, in a folder of its own.
struct Server {
    running: Running,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str) -> Server {
        let folder = path(name);
        fs::create_dir(&folder).unwrap();
        configure(&folder, "log", "");
        let mut command = Command::new(BINARY);
        command.args(["--addr", "127.0.0.1:0", "--config", "pinloop.toml"]).current_dir(&folder);
        command.stderr(File::create(folder.join("stderr")).unwrap());
        Server { running: Running::from(&mut command), folder }
    }

    /// Applies another configuration, and waits for a message.
    fn reload(&self, log: &str, more: &str, sentence: &str) {
        configure(&self.folder, log, more);
        self.running.signal(SIGHUP);
        wait_until("there is a message", || self.stderr().contains(sentence));
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap()
    }

    /// Sends a request with five headers on a connection of its own; returns the status.
    fn ask(&self) -> String {
        let mut stream: TcpStream = connect_to(self.running.addr());
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n";
        std::io::Write::write_all(&mut stream, request).unwrap();
        read_response(&mut stream).0.split(' ').nth(1).expect("a status").to_string()
    }

    /// Ends the server; returns the number of lines in its log.
    fn end(self) -> usize {
        self.running.end(SIGTERM);
        let lines = fs::read_to_string(self.folder.join("log")).unwrap().lines().count();
        fs::remove_dir_all(self.folder).unwrap();
        lines
    }
}

fn configure(folder: &Path, log: &str, more: &str) {
    let text = format!("threads = 1\nno-pin = true\naccess-log = \"{log}\"\n{more}");
    fs::write(folder.join("pinloop.toml"), text).unwrap();
}

/// The new limits held, although a message said that nothing was reloaded.
#[test]
fn a_log_that_cannot_be_opened_leaves_all_settings_as_they_were() {
    let server = Server::start("reload-failing");
    let sentence = "the configuration was not reloaded: cannot write an access log to no/folder";
    server.reload("no/folder", "max-headers = 4\n", sentence);
    assert_eq!(server.ask(), "200");
    assert_eq!(server.end(), 1);
}

/// The log went on in a file that was called `-`.
#[test]
fn a_log_does_not_move_to_standard_output() {
    let server = Server::start("reload-stdout");
    server.reload("-", "max-headers = 4\n", "standard output can only begin, end or change with a");
    assert_eq!(server.ask(), "431", "the other settings change");
    assert!(!server.folder.join("-").exists());
    assert_eq!(server.end(), 1);
}

#[test]
fn the_message_about_a_wrong_file_is_one_line() {
    let server = Server::start("reload-wrong");
    let sentence = "not reloaded: pinloop.toml, line 4, column 15: invalid value '0' for";
    server.reload("log", "max-headers = 0\n", sentence);
    assert_eq!(server.stderr().lines().count(), 1, "{}", server.stderr());
    server.end();
}
