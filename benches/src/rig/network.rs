//! The network between the measure and the servers: interfaces, and the round trip.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use crate::results::Interface;

/// Folder of the network interfaces of this namespace.
const INTERFACES: &str = "/sys/class/net";

/// Connections that the round trip is taken from.
const ROUND_TRIPS: usize = 21;

/// Time that one of them may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Describes the interface of this machine that has `address`.
pub fn interface_of(address: IpAddr) -> Option<Interface> {
    let name = getifaddrs().ok()?.find_map(|interface| {
        let is_up = interface.flags.contains(InterfaceFlags::IFF_UP);
        let has_it = interface.address.as_ref().and_then(ip) == Some(address);
        (is_up && has_it).then_some(interface.interface_name)
    })?;
    Some(describe(Path::new(INTERFACES), &name))
}

/// Returns the address of this machine from which `peer` is reached.
pub fn own_address(peer: IpAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr = match peer {
        IpAddr::V4(_) => [0, 0, 0, 0].into(),
        IpAddr::V6(_) => [0_u16; 8].into(),
    };
    let socket = UdpSocket::bind((unspecified, 0))?;
    // Nothing is sent: the kernel only looks for the route. Any port will do.
    socket.connect((peer, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Opens connections one after the other, and returns how long each took, ascending: the kernels
/// answer each other, so this is a round trip of the network and not of the server.
pub fn round_trips(server: SocketAddr) -> io::Result<Vec<u64>> {
    let connect = |_| {
        let begin = Instant::now();
        TcpStream::connect_timeout(&server, PATIENCE)?;
        Ok(begin.elapsed().as_nanos() as u64)
    };
    let mut times = (0..ROUND_TRIPS).map(connect).collect::<io::Result<Vec<u64>>>()?;
    times.sort_unstable();
    Ok(times)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn describe(interfaces: &Path, name: &str) -> Interface {
    let folder = interfaces.join(name);
    let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
    let number = |file: &str| text(file)?.trim().parse().ok();
    let queues = fs::read_dir(folder.join("queues")).into_iter().flatten().flatten();
    let queues: Vec<String> =
        queues.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let count = |prefix: &str| queues.iter().filter(|queue| queue.starts_with(prefix)).count();
    let driver = fs::read_link(folder.join("device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Interface {
        name: name.to_string(),
        driver: driver.or_else(|| driver_said(&ethtool("-i", name)?)),
        mtu: number("mtu"),
        speed_mbit_s: number("speed"),
        receive_queues: count("rx-"),
        send_queues: count("tx-"),
        offloads: ethtool("-k", name).map(|said| features_on(&said)),
    }
}

/// Returns what ethtool prints; none if it is not installed, or fails.
fn ethtool(option: &str, name: &str) -> Option<String> {
    let mut command = Command::new("ethtool");
    let output = command.args([option, name]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn driver_said(said: &str) -> Option<String> {
    let driver = said.lines().find_map(|line| line.strip_prefix("driver: "))?;
    Some(driver.trim().to_string())
}

/// Features that are on: `name: on`, with `[fixed]` behind those that cannot be changed.
fn features_on(said: &str) -> Vec<String> {
    let is_on = |line: &str| {
        let (name, state) = line.trim().split_once(": ")?;
        state.starts_with("on").then(|| name.to_string())
    };
    said.lines().filter_map(is_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_by_its_address() {
        let loopback = interface_of([127, 0, 0, 1].into()).unwrap();
        assert_eq!(loopback.name, "lo");
        assert!(loopback.mtu.is_some_and(|mtu| mtu > 0), "{loopback:?}");
        assert!(loopback.receive_queues > 0 && loopback.send_queues > 0, "{loopback:?}");
        // An address for documentation (RFC 5737), which nobody has.
        assert_eq!(interface_of([192, 0, 2, 1].into()), None);
        assert!(own_address([127, 0, 0, 1].into()).unwrap().is_loopback());
    }

    #[test]
    fn reads_what_ethtool_prints() {
        let features = "Features for eth0:\nrx-checksumming: off [fixed]\n\
            tcp-segmentation-offload: on\n\ttx-tcp-segmentation: on\n\trx-gro-list: off\n\
            generic-receive-offload: on [fixed]\n";
        let on = ["tcp-segmentation-offload", "tx-tcp-segmentation", "generic-receive-offload"];
        assert_eq!(features_on(features), on);
        assert_eq!(driver_said("driver: veth\nversion: 1.0\n"), Some("veth".to_string()));
        assert_eq!(driver_said("version: 1.0\n"), None);
    }
}
