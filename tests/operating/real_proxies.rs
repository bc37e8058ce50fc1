//! nginx and HAProxy in front of the server, if they are installed.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use signal_hook::consts::SIGTERM;

use super::path;
use crate::faults::{has_program, skip};
use crate::support::process::Running;
use crate::support::{connect_to, talk_on, wait_until};

/// A proxy that runs until it is dropped.
struct Proxy {
    child: Child,
    addr: SocketAddr,
    folder: PathBuf,
}

impl Proxy {
    /// Starts `command` with a file that has `config`, in which `PORT`, `SERVER` and `FOLDER`
    /// stand for the port of the proxy, the server behind it and a folder for its files.
    fn start(name: &str, command: &[&str], config: &str, server: SocketAddr) -> Proxy {
        let folder = path(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        // A port that was free a moment ago.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = config
            .replace("PORT", &addr.port().to_string())
            .replace("SERVER", &server.to_string())
            .replace("FOLDER", folder.to_str().unwrap());
        let file = folder.join("proxy.conf");
        fs::write(&file, config).unwrap();
        let output = fs::File::create(folder.join("output")).unwrap();
        let mut command_line = Command::new(command[0]);
        command_line.args(&command[1..]).arg(&file).stdin(Stdio::null());
        command_line.stdout(output.try_clone().unwrap()).stderr(output);
        let child = command_line.spawn().expect("the proxy runs");
        let proxy = Proxy { child, addr, folder };
        wait_until("the proxy listens", || TcpStream::connect(addr).is_ok());
        proxy
    }

    /// Starts nginx, which speaks to the server in HTTP/1.1 and appends to `X-Forwarded-For`.
    fn nginx(server: SocketAddr) -> Proxy {
        let config = "daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error.log;
            events { worker_connections 100; }
            http {
              access_log off;
              client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
              fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi;
              scgi_temp_path FOLDER/scgi;
              upstream server { server SERVER; keepalive 4; }
              server {
                listen 127.0.0.1:PORT;
                location / {
                  proxy_pass http://server;
                  proxy_http_version 1.1;
                  proxy_set_header Connection \"\";
                  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                  proxy_set_header X-Request-Id $request_id;
                }
              }
            }";
        Proxy::start("nginx", &["nginx", "-e", "/dev/null", "-c"], config, server)
    }

    /// Starts HAProxy, which passes bytes on behind a header of the PROXY protocol.
    fn haproxy(send: &str, server: SocketAddr) -> Proxy {
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen test\n bind 127.0.0.1:PORT\n server one SERVER {send}\n"
        );
        Proxy::start(&format!("haproxy-{send}"), &["haproxy", "-f"], &config, server)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Connects to `addr` from another address of loopback, because a proxy names its peer.
fn connect_from(from: &str, addr: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    fs::remove_file(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn behind_nginx_an_abuser_has_its_own_limit_and_the_log_has_both_addresses() {
    if !has_program("nginx") {
        return skip("nginx is not installed");
    }
    let log = path("behind-nginx");
    let limits = ["--rate-limit", "1/m", "--rate-limit-burst", "30", "--trust", "127.0.0.1"];
    let arguments = [&limits[..], &["--access-log", log.to_str().unwrap()]].concat();
    let running = Running::start_unpinned(&arguments);
    let nginx = Proxy::nginx(running.addr());
    let ask = |from: &str, forged: &str| {
        let mut stream = connect_from(from, nginx.addr);
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {forged}\r\n\
             Forwarded: for={forged}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut output = String::new();
        stream.read_to_string(&mut output).unwrap();
        output.split(' ').nth(1).expect("a status").to_string()
    };
    let abused = (0..60).filter(|_| ask("127.0.0.66", "192.0.2.1") == "429").count();
    let served = (0..30).filter(|_| ask("127.0.0.7", "192.0.2.2") == "200").count();
    assert_eq!((abused, served), (30, 30), "429 for the abuser, 200 for the polite client");
    running.end(SIGTERM);
    let lines = lines(&log);
    let last = lines.last().unwrap();
    assert_eq!((&last["client"], &last["peer"]), (&"127.0.0.7".into(), &"127.0.0.1".into()));
    let id = last["request_id"].as_str().unwrap();
    assert!(id.len() == 32 && !id.contains('-'), "nginx has named the request: {id}");
}

#[test]
fn behind_haproxy_the_client_is_that_of_the_proxy_protocol() {
    if !has_program("haproxy") {
        return skip("haproxy is not installed");
    }
    for send in ["send-proxy", "send-proxy-v2"] {
        let log = path(&format!("behind-{send}"));
        let arguments = ["--trust", "127.0.0.1", "--proxy-protocol"];
        let arguments = [&arguments[..], &["--access-log", log.to_str().unwrap()]].concat();
        let running = Running::start_unpinned(&arguments);
        let haproxy = Proxy::haproxy(send, running.addr());
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\
                        Connection: close\r\n\r\n";
        let output = talk_on(&mut connect_from("127.0.0.9", haproxy.addr), request);
        assert!(output.starts_with("HTTP/1.1 200 "), "{output}");
        // The connection that waited until the proxy listens was from a trusted address.
        drop(connect_to(haproxy.addr));
        running.end(SIGTERM);
        let lines = lines(&log);
        assert_eq!(lines[0]["client"], "127.0.0.9", "{send}");
        assert_eq!(lines[0]["peer"], "127.0.0.1", "{send}");
    }
}
