//! Takeovers that meet a stop, a limit or a wrong path.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use signal_hook::consts::SIGTERM;

use super::{get, path, refused};
use crate::support::process::{BINARY, Running};
use crate::support::wait_until;

/// Waits for the end of a successor that must fail; returns its message.
fn message(mut successor: Child) -> String {
    wait_until("the successor ends", || successor.try_wait().unwrap().is_some());
    let output = successor.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The stop removed the files of the sockets on which the successor was about to serve, so that no
/// client found them any more.
#[test]
fn a_stop_leaves_unix_sockets_to_a_successor_that_starts() {
    let (file, admin, offer) = (path("kept"), path("kept-admin"), path("kept-offer"));
    let mut command = Command::new(BINARY);
    command.args(["--addr", &format!("unix:{}", file.display()), "--threads", "1", "--no-pin"]);
    command.args(["--admin-addr", &format!("unix:{}", admin.display())]);
    let mut running = Running::from(command.arg("--takeover").arg(&offer));
    let mut successor = UnixStream::connect(&offer).unwrap();
    successor.write_all(b"takeover").unwrap();
    let mut word = [0; 8];
    successor.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"public  ", "the successor has the sockets");
    running.signal(SIGTERM);
    assert_eq!(running.wait_patiently().code(), Some(0));
    assert!(file.exists() && admin.exists());
    fs::remove_file(file).unwrap();
    fs::remove_file(admin).unwrap();
}

/// The successor got the sockets for which it had room, and the queues of the others were lost.
#[test]
fn a_successor_without_room_for_all_sockets_leaves_them() {
    let offer = path("no-room");
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "64", "--no-pin"]);
    let running = Running::from(command.arg("--takeover").arg(&offer));
    let script =
        "ulimit -S -n 40; exec \"$0\" --addr \"$1\" --takeover \"$2\" --threads 1 --no-pin";
    let mut successor = Command::new("sh");
    successor.args(["-c", script, BINARY, &running.addr().to_string()]).arg(&offer);
    let message = message(successor.stderr(Stdio::piped()).spawn().unwrap());
    assert!(message.contains("too few file descriptors for its sockets; raise the"), "{message}");
    assert!(get(running.addr(), "/readyz").starts_with("HTTP/1.1 200 "));
    running.end(SIGTERM);
}

#[test]
fn a_successor_that_comes_second_says_so() {
    let offer = path("second");
    let listener = UnixListener::bind(&offer).unwrap();
    // Closes the connection with the request unread, as a process does that has been taken over.
    let taken = thread::spawn(move || drop(listener.accept().unwrap()));
    let offer = offer.to_str().unwrap();
    let message = refused(&["--addr", "127.0.0.1:0", "--takeover", offer]);
    assert!(message.contains("another process has just taken its sockets over"), "{message}");
    taken.join().unwrap();
    fs::remove_file(offer).unwrap();
}

/// The offer replaced the socket of the server, which no client could reach then.
#[test]
fn an_offer_at_an_address_of_the_server_is_refused() {
    let file = path("same");
    let (file, other) = (file.to_str().unwrap(), format!("unix:{}", file.display()));
    for arguments in [
        &["--addr", &other, "--takeover", file][..],
        &["--addr", "127.0.0.1:0", "--admin-addr", &other, "--takeover", file],
    ] {
        let message = refused(arguments);
        assert!(message.contains("'--takeover' needs a path of its own"), "{message}");
    }
}

/// Sets the soft limit of open files of a process.
fn limit_files(running: &Running, files: u64) {
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
}

/// Each attempt to accept failed at once, so that a thread took a CPU and wrote 60,000 lines a second.
#[test]
fn without_descriptors_the_offer_waits() {
    let (offer, stderr) = (path("no-descriptors"), path("no-descriptors.stderr"));
    let arguments = ["--takeover", offer.to_str().unwrap()];
    let mut running = Running::start_with_stderr(File::create(&stderr).unwrap(), &arguments);
    let text = || fs::read_to_string(&stderr).unwrap();
    limit_files(&running, 3);
    // The descriptor for this one is reserved since the start.
    drop(UnixStream::connect(&offer).unwrap());
    wait_until("there is a message", || text().contains("Too many open files"));
    limit_files(&running, 1_000);
    let mut successor = UnixStream::connect(&offer).unwrap();
    successor.write_all(b"takeoverserving ").unwrap();
    assert_eq!(running.wait_patiently().code(), Some(0));
    assert_eq!(text().matches("Too many open files").count(), 1, "{}", text());
    fs::remove_file(stderr).unwrap();
}

/// The message was that of a path beyond 107 bytes, because the offer is bound beside the path first.
#[test]
fn a_path_that_is_too_long_is_refused_with_the_longest_one() {
    for bytes in [106, 108] {
        let offer = format!("/tmp/{}", "a".repeat(bytes - "/tmp/".len()));
        let message = refused(&["--addr", "127.0.0.1:0", "--takeover", &offer]);
        assert!(message.contains(": allowed is a path of at most 1"), "{message}");
    }
}
