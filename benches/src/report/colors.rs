//! One color for each server, the same on all pages.

/// In the order of the ladder; neighbors have unlike colors. The first eight are from the
/// palette of Okabe and Ito, whose colors stay apart for people who see fewer of them.
/// The others are from P. Tol's.
const COLORS: [(&str, &str); 18] = [
    ("floor", "#000000"),
    ("pinloop", "#0072b2"),
    ("pinloop_on_tokio", "#56b4e9"),
    ("hyper_on_mio", "#e69f00"),
    ("hyper_single", "#cc79a7"),
    ("hyper_per_core", "#d55e00"),
    ("hyper_work_stealing", "#8c8c8c"),
    ("axum", "#009e73"),
    ("hyper_per_core_timeouts", "#882255"),
    ("pinloop_offload", "#332288"),
    ("hyper_offload", "#aa4499"),
    ("pinloop_metrics", "#117733"),
    ("pinloop_rate_limit", "#44aa99"),
    ("pinloop_access_log", "#999933"),
    ("floor_on_uring", "#555555"),
    ("pinloop_on_uring", "#661100"),
    ("pinloop_balanced", "#88ccee"),
    ("pinloop_steered", "#ddaa33"),
];

/// For servers from outside.
const OTHERS: [&str; 4] = ["#cc6677", "#6699cc", "#997700", "#994455"];

/// Time in the kernel.
pub const KERNEL: &str = "#0072b2";

/// Time in user space.
pub const USER: &str = "#e69f00";

/// CPU time without a known split.
pub const UNSPLIT: &str = "#999999";

/// Returns the color of a server, as in `#0072b2`.
pub fn of(name: &str) -> &'static str {
    let known = COLORS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| OTHERS[hash(name) % OTHERS.len()], |(_, color)| color)
}

/// Depends on the name alone, so that a server from outside keeps its color.
fn hash(name: &str) -> usize {
    name.bytes().fold(5381, |hash: usize, byte| hash.wrapping_mul(33) ^ usize::from(byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn servers_have_colors_of_their_own() {
        let colors: BTreeSet<&str> = COLORS.iter().map(|(name, _)| of(name)).collect();
        assert_eq!(colors.len(), COLORS.len());
        assert_eq!(of("nginx"), of("nginx"));
        assert!(OTHERS.contains(&of("nginx")));
    }
}
