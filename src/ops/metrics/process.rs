//! Figures of the process, under the names that all Prometheus clients use.

use procfs::process::{LimitValue, Process};

/// A figure of the process with its name, its description and its kind.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) is_counter: bool,
    pub(super) value: f64,
}

/// Reads the figures. The list is empty without `/proc`, as in some sandboxes.
pub(super) fn figures() -> Vec<Figure> {
    let Ok(process) = Process::myself() else { return Vec::new() };
    let stat = process.stat().ok();
    let ticks = procfs::ticks_per_second() as f64;
    let cpu = stat.as_ref().map(|stat| (stat.utime + stat.stime) as f64 / ticks);
    let rss = stat.as_ref().map(|stat| (stat.rss * procfs::page_size()) as f64);
    let virtual_bytes = stat.as_ref().map(|stat| stat.vsize as f64);
    let threads = stat.as_ref().map(|stat| stat.num_threads as f64);
    let booted = procfs::boot_time_secs().ok();
    let start = stat.zip(booted).map(|(stat, at)| at as f64 + stat.starttime as f64 / ticks);
    let files = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(files) => Some(files as f64),
        LimitValue::Unlimited => None,
    });
    let open = process.fd_count().ok().map(|count| count as f64);
    let figure = |name, help, is_counter, value: Option<f64>| {
        value.map(|value| Figure { name, help, is_counter, value })
    };
    [
        figure("process_cpu_seconds", "CPU time of the process in seconds", true, cpu),
        figure("process_resident_memory_bytes", "Resident memory in bytes", false, rss),
        figure("process_virtual_memory_bytes", "Virtual memory in bytes", false, virtual_bytes),
        figure("process_start_time_seconds", "Start in seconds since 1970", false, start),
        figure("process_open_fds", "Open file descriptors", false, open),
        figure("process_max_fds", "Limit of open file descriptors", false, files),
        figure("process_threads", "Threads of the process", false, threads),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_this_process() {
        let figures = figures();
        let value = |name: &str| {
            figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
        };
        assert!(value("process_resident_memory_bytes").unwrap() > 1e6);
        assert!(value("process_open_fds").unwrap() >= 3.0);
        assert!(value("process_threads").unwrap() >= 2.0);
        let start = value("process_start_time_seconds").unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 86_400.0..now + 2.0).contains(&start), "{start}, now {now}");
    }
}
