//! Other machines than the measuring one: where servers ran, and from where they were loaded.

use super::section::Section;
use super::units::{cpus, microseconds};
use super::{loaders, machine};
use crate::results::{HostShare, Interface, Machines, Remote, Side};
use crate::stats;

/// Adds a study's machines to its section. `slices` has the part of each load host in each slice.
pub fn add(
    section: &mut Section,
    machines: &Machines,
    server_cores: &[usize],
    slices: &[&[HostShare]],
) {
    section.notes.extend(machines.remote.iter().map(|remote| place(remote, server_cores)));
    loaders::add(section, machines, slices);
}

/// Returns a sentence on where the servers ran, and how far away that is.
pub fn place(remote: &Remote, server_cores: &[usize]) -> String {
    let address = remote.address.map(|address| format!(" at {address}")).unwrap_or_default();
    let trips: Vec<f64> = remote.round_trips_ns.iter().map(|&ns| ns as f64).collect();
    let distance = match trips.first() {
        None => String::new(),
        Some(&shortest) => format!(
            ": a round trip takes {} (median of {} connections, {} at least)",
            microseconds(stats::median(&trips)),
            trips.len(),
            microseconds(shortest)
        ),
    };
    let on = match server_cores {
        [] => String::new(),
        cores => format!("{} of ", cpus(cores)),
    };
    format!(
        "The servers ran on {on}{} ({}){address}{distance}.",
        remote.server.host, remote.command
    )
}

/// Describes each of these machines once; none without other machines than the measuring one.
pub fn section(all: &[&Machines]) -> Option<Section> {
    let mut section = Section::new("The other machines");
    let mut add = |of: &str, side: &Side, agent: Option<&str>| {
        for fact in facts(of, side, agent) {
            if !section.definitions.contains(&fact) {
                section.definitions.push(fact);
            }
        }
    };
    for machines in all {
        if let Some(remote) = &machines.remote {
            add(
                &format!("the servers, {}", remote.command),
                &remote.server,
                remote.agent.as_deref(),
            );
            // Other machines that load the servers have an entry of their own.
            if machines.load_hosts.is_empty() {
                add("the load generator", &remote.client, None);
            }
        }
        for host in &machines.load_hosts {
            add(
                &format!("the load generator, {}", host.command),
                &host.side,
                host.agent.as_deref(),
            );
        }
    }
    (!section.definitions.is_empty()).then_some(section)
}

fn facts(of: &str, side: &Side, agent: Option<&str>) -> Vec<(String, String)> {
    let described = format!("{}: {}", side.host, machine::in_brief(&side.machine));
    let interface = side.interface.as_ref().map_or("not found".to_string(), in_words);
    let mut facts =
        vec![(format!("machine of {of}"), described), (format!("interface of {of}"), interface)];
    facts.extend(agent.map(|hash| {
        let is_other = format!("another executable than the measure's, with the SHA-256 {hash}");
        (format!("agent of {of}"), is_other)
    }));
    facts
}

fn in_words(interface: &Interface) -> String {
    let Interface { name, driver, mtu, speed_mbit_s, .. } = interface;
    let mut parts = vec![name.clone()];
    parts.push(match driver {
        Some(driver) => format!("driver {driver}"),
        None => "driver not known".to_string(),
    });
    parts.extend(mtu.map(|bytes| format!("MTU {bytes} bytes")));
    parts.extend(speed_mbit_s.map(|speed| format!("{speed} Mbit/s")));
    parts.push(format!(
        "{} receive and {} send queues",
        interface.receive_queues, interface.send_queues
    ));
    parts.push(match &interface.offloads {
        None => "offloads not known: ethtool is not installed".to_string(),
        Some(on) if on.is_empty() => "no offloads".to_string(),
        Some(on) => format!("on: {}", on.join(", ")),
    });
    parts.join("; ")
}
