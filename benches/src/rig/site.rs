//! One side of the network: a machine and its interface.

use std::fs;
use std::io;
use std::net::IpAddr;

use crate::results::Side;
use crate::rig::{machine, network};

/// Describes this machine, with the interface that has `address`, or that leads to `peer`.
pub fn describe(address: Option<IpAddr>, peer: Option<IpAddr>) -> io::Result<Side> {
    let kernel = |file: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default();
        text.trim().to_string()
    };
    Ok(Side {
        host: kernel("hostname"),
        boot: kernel("random/boot_id"),
        machine: machine::describe()?,
        interface: address
            .or_else(|| network::own_address(peer?).ok())
            .and_then(network::interface_of),
    })
}
