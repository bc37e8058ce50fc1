//! Paths of results and pages, and interrupts of a study.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{env, fs};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::report::section::Options;
use crate::report::{html, terminal};
use crate::results::Results;
use crate::stdout;
use crate::studies;

/// Exit status of an interrupted study: 128 + SIGINT, as in a shell.
pub(crate) const INTERRUPTED: u8 = 130;

/// Shows the report on the terminal, and writes it as a page beside the results.
pub(crate) fn show(results: &Results, path: &Path, options: &Options<'_>) -> anyhow::Result<()> {
    let report = studies::report(results, options)?;
    say(&terminal::render(&report))?;
    say(&format!("All that was counted: {}", path.display()))?;
    let name = match path.file_stem() {
        Some(stem) if stem != "results" => Path::new(stem).with_extension("html"),
        _ => PathBuf::from("report.html"),
    };
    let page = path.with_file_name(name);
    fs::write(&page, html::render(&report)?)
        .with_context(|| format!("cannot write {}", page.display()))?;
    say(&format!("The report: {}", page.display()))
}

/// Returns the exit status of a study.
pub(crate) fn ended(complete: bool, failed: bool) -> ExitCode {
    match (complete, failed) {
        (false, _) => ExitCode::from(INTERRUPTED),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    }
}

/// Returns the path of the results, and creates its directory.
pub(crate) fn results_path(out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match out {
        Some(path) => from_callers_directory(path),
        None => target_directory()?.join("pinloop/results.json"),
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(path)
}

/// Set by the first SIGINT or SIGTERM; the second ends this process at once, and
/// the kernel its servers.
pub(crate) fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let (armed, set) = (Arc::clone(&stop), Arc::clone(&stop));
        let status = i32::from(INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, status, armed)?;
        signal_hook::flag::register(signal, set)?;
    }
    Ok(stop)
}

/// Cargo's target directory: the one with its tag above this program.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program")?;
    let tagged = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").exists());
    Ok(tagged.map_or_else(|| PathBuf::from("target"), Path::to_path_buf))
}

/// A path as the user means it: cargo starts benches in their package's
/// directory, and leaves PWD as the user's shell had it.
pub(crate) fn from_callers_directory(path: &Path) -> PathBuf {
    match (env::var_os("CARGO"), env::var_os("PWD")) {
        (Some(_), Some(directory)) => Path::new(&directory).join(path),
        _ => path.to_path_buf(),
    }
}

/// Prints a line. Prints nothing if the reader of stdout, such as `head`, has seen enough.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    Ok(stdout::print(&format!("{text}\n"))?)
}
