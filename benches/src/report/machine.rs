//! The machine, in one line and in full.

use super::section::Section;
use super::units::{cpus_count, thousands};
use crate::results::Machine;

/// Returns the machine in one line.
pub fn in_brief(machine: &Machine) -> String {
    let mut parts = vec![machine.cpu.clone(), cpus_count(machine.cores.len())];
    if machine.smt_siblings.is_empty() {
        parts.push("no SMT siblings among them".to_string());
    } else {
        parts.push(format!("SMT siblings {:?}", machine.smt_siblings));
    }
    parts.extend(machine.hypervisor.as_ref().map(|name| format!("virtual (hypervisor: {name})")));
    parts.push(machine.kernel.clone());
    parts.extend(machine.governor.as_ref().map(|governor| format!("governor {governor}")));
    let affected: Vec<&str> = machine.mitigations.iter().map(|(name, _)| name.as_str()).collect();
    if !affected.is_empty() {
        parts.push(format!("affected by {}", affected.join(", ")));
    }
    parts.join("; ")
}

/// Returns the machine by name and value, with `more` of the run.
pub fn section(machine: &Machine, more: Vec<(String, String)>) -> Section {
    let mut section = Section::new("The machine");
    let mut add = |name: &str, value: String| section.definitions.push((name.to_string(), value));
    add("CPU", machine.cpu.clone());
    machine.cpu_mhz.iter().for_each(|mhz| add("clock", format!("{mhz:.0} MHz")));
    add("CPUs that may be used", cpus_count(machine.cores.len()));
    match machine.smt_siblings.is_empty() {
        true => add("SMT", "no siblings among them".to_string()),
        false => add("SMT", format!("siblings {:?}", machine.smt_siblings)),
    }
    machine.governor.iter().for_each(|governor| add("governor", governor.clone()));
    add("hypervisor", machine.hypervisor.clone().unwrap_or("none".to_string()));
    add("kernel", machine.kernel.clone());
    for (name, measure) in &machine.mitigations {
        add("mitigation", format!("{name}: {measure}"));
    }
    add("memory", format!("{:.1} GiB", machine.memory_bytes as f64 / f64::from(1 << 30)));
    add("load average before", format!("{:.2}", machine.load_average));
    for table in machine.tracked_connections.iter().filter(|table| table.is_in_use()) {
        let [count, max] = [table.count, table.max].map(|of| thousands(of as f64));
        let value = format!("{count} of {max} entries; tracking is part of every packet's cost");
        add("tracked connections (nf_conntrack)", value);
    }
    section.definitions.extend(more);
    section
}
