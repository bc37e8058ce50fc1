//! The kernel's table of tracked connections (`nf_conntrack`), which firewalls and container engines
//! use.
//!
//! It keeps a closed connection for two minutes. When it is full, the kernel drops packets of new
//! connections, also over loopback, and every server looks silent
//! (`Documentation/networking/nf_conntrack-sysctl.rst`).

use std::fs;
use std::path::Path;

/// Folder of its settings. It exists if the kernel has loaded the module.
const SETTINGS: &str = "/proc/sys/net/netfilter";

/// Entries of the table. Each network namespace has entries of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedConnections {
    /// Entries in use.
    pub count: u64,
    /// Largest number of entries.
    pub max: u64,
}

impl TrackedConnections {
    /// Reads the state of the table; none if there is no table.
    pub fn read() -> Option<Self> {
        let number = |name: &str| {
            let text = fs::read_to_string(Path::new(SETTINGS).join(name)).ok()?;
            text.trim().parse().ok()
        };
        Some(Self { count: number("nf_conntrack_count")?, max: number("nf_conntrack_max")? })
    }

    /// Reports whether the kernel has to drop packets: old entries leave one by one, so a table that
    /// was full a moment ago has a few percent free.
    fn is_full(self) -> bool {
        self.count >= self.max - self.max / 20
    }
}

/// Returns what to add to the error of a silent server; empty unless the table is full.
pub(super) fn reason_for_silence() -> String {
    explain(TrackedConnections::read())
}

fn explain(table: Option<TrackedConnections>) -> String {
    match table {
        Some(table) if table.is_full() => format!(
            "; the kernel's table of tracked connections is full ({} of {} entries), so that it \
             drops packets of new ones: wait two minutes, raise net.netfilter.nf_conntrack_max, or \
             exempt the server's port from tracking",
            table.count, table.max
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_explains_silence_and_no_other_does() {
        let said = |count| explain(Some(TrackedConnections { count, max: 1_000 }));
        assert!(said(1_000).contains("full (1000 of 1000 entries)"), "{}", said(1_000));
        assert!(!said(950).is_empty());
        assert_eq!(said(949), "");
        assert_eq!(explain(None), "");
    }
}
