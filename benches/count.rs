//! `cargo bench -- count`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Args;
use pinloop_bench::measure::counts::{self, Subject, workloads};
use pinloop_bench::measure::fleet::Entrant;
use pinloop_bench::measure::study::Common;
use pinloop_bench::report::page::Options;
use pinloop_bench::report::table;
use pinloop_bench::variants::REFERENCE;

use crate::{INTERRUPTED, Setup, chosen, interrupts, plan, results_path, say, warn, write_page};

/// The program with the allocator that counts.
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

#[derive(Args)]
pub(super) struct Count {
    /// Only these variants, such as pinloop,axum [default: the ladder's]
    #[arg(long, value_delimiter = ',')]
    variants: Vec<String>,
    /// Where to add the results [default: pinloop/results.json in cargo's target
    /// directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(super) fn run(arguments: &Count) -> anyhow::Result<ExitCode> {
    let mut plan = plan(&arguments.setup)?;
    warn(&plan.settings);
    // Counts are of one thread's work, and more would only share it.
    plan.settings.server_cores.truncate(1);
    let entrants = chosen(&plan.settings, &arguments.variants)?;
    let subjects: Vec<Subject> = entrants.into_iter().map(subject).collect();
    let contenders = subjects.iter().map(|subject| subject.contender.clone()).collect();
    let path = results_path(arguments.out.as_deref())?;
    let common = Common {
        settings: plan.settings.clone(),
        path: "/".to_string(),
        reference: REFERENCE.to_string(),
    };
    let mut results = common.open(&path, contenders)?;

    let stop = interrupts()?;
    let counted = counts::run(&plan.settings, &workloads::all(), &subjects, &stop, &mut |counts| {
        results.counts = Some(counts.clone());
        results.write(&path)
    });
    let counted = counted.with_context(|| format!("cannot count, or write {}", path.display()))?;
    say(&table::counted(&counted).join("\n\n"))?;
    say(&format!("All that was counted: {}", path.display()))?;
    write_page(&results, &path, &Options::default())?;
    let failed = counted.workloads.iter().any(|workload| !workload.failures.is_empty());
    Ok(match counted.complete {
        false => ExitCode::from(INTERRUPTED),
        true if failed => ExitCode::FAILURE,
        true => ExitCode::SUCCESS,
    })
}

fn subject(entrant: Entrant) -> Subject {
    let Entrant { contender, answers, command: timed, .. } = entrant;
    let mut counted = Command::new(Path::new(COUNTED));
    // Without the subcommand, which is all that this program does.
    counted.args(timed.get_args().skip(1));
    let split = contender.key == REFERENCE;
    Subject { contender, answers, split, timed, counted }
}
