//! Network namespaces of one test, joined by a switch: small machines of their own for TCP.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces with one address each, on one network.
pub(crate) struct Namespaces {
    /// The namespace of the switch, and then those of the hosts.
    names: Vec<String>,
}

impl Namespaces {
    /// Makes `hosts` namespaces with the addresses 10.203.0.1, 10.203.0.2, … Returns none, and says
    /// why, without the right to.
    pub(crate) fn new(hosts: u8) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pinloop-{}-{number}", std::process::id());
        let mut namespaces = Self { names: Vec::new() };
        for host in 0..=hosts {
            let name = format!("{prefix}-{host}");
            let made = Command::new("ip").args(["netns", "add", &name]).output();
            let refused = match made {
                Ok(made) if made.status.success() => None,
                Ok(made) => Some(String::from_utf8_lossy(&made.stderr).trim().to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = refused {
                println!("skipped: 'ip netns add' needs the superuser and iproute2: {reason}");
                return None;
            }
            namespaces.names.push(name);
        }
        namespaces.join();
        Some(namespaces)
    }

    fn join(&self) {
        let switch = &self.names[0];
        ip(&["-n", switch, "link", "add", "switch", "type", "bridge"]);
        ip(&["-n", switch, "link", "set", "switch", "up"]);
        for (host, name) in self.names.iter().enumerate().skip(1) {
            let port = format!("port{host}");
            let pair =
                ["link", "add", &port, "netns", switch, "type", "veth", "peer", "name", "eth0"];
            ip(&[&pair[..], &["netns", name]].concat());
            ip(&["-n", switch, "link", "set", &port, "master", "switch", "up"]);
            ip(&["-n", name, "address", "add", &format!("10.203.0.{host}/24"), "dev", "eth0"]);
            ip(&["-n", name, "link", "set", "eth0", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
    }

    /// Returns the words that run a command on a host, counted from 1.
    pub(crate) fn on(&self, host: usize) -> String {
        format!("ip netns exec {}", self.names[host])
    }

    /// Runs a program on a host to its end.
    pub(crate) fn run(&self, host: usize, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        self.command(host, program, arguments).output().unwrap()
    }

    /// Returns the command that runs a program on a host.
    pub(crate) fn command(
        &self,
        host: usize,
        program: impl AsRef<Path>,
        arguments: &[&str],
    ) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host]]).arg(program.as_ref()).args(arguments);
        command
    }

    /// Returns the processes that run in a host.
    pub(crate) fn processes(&self, host: usize) -> Vec<String> {
        let output =
            Command::new("ip").args(["netns", "pids", &self.names[host]]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // A namespace ends with its last process; these were ended before.
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
}
