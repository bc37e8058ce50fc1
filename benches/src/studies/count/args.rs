//! `cargo bench -- count`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::report::section::Options;
use crate::rig::fleet::Entrant;
use crate::rig::study::Common;
use crate::studies::count::measure::Subject;
use crate::studies::count::{measure as counts, workloads};
use crate::variants::REFERENCE;
use anyhow::{Context, ensure};
use clap::Args;

use crate::cli::output::{ended, interrupts, results_path, show};
use crate::cli::servers::{Setup, chosen, plan, program_beside, variant_name, warn};

/// Program with an allocator that counts.
const COUNTED: &str = "counted";

#[derive(Args)]
pub(crate) struct Count {
    /// Only these variants, such as pinloop,axum [default: the ladder's]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = variant_name())]
    variants: Vec<String>,
    /// Where to add the results [default: pinloop/results.json in cargo's target
    /// directory]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    setup: Setup,
}

pub(crate) fn run(arguments: &Count) -> anyhow::Result<ExitCode> {
    arguments.setup.must_load_from_here("count")?;
    let mut plan = plan(&arguments.setup)?;
    ensure!(
        !plan.host.is_elsewhere(),
        "--server-on: count runs on this machine alone, because its counts do not depend on the network"
    );
    warn(&plan.settings);
    // Counts are of one thread's work, and more would only share it.
    plan.settings.server_cores.truncate(1);
    let entrants = chosen(&plan, &arguments.variants)?;
    let program = program_beside(COUNTED)?;
    let subjects: Vec<Subject> =
        entrants.into_iter().map(|entrant| subject(entrant, &program)).collect();
    let contenders = subjects.iter().map(|subject| subject.contender.clone()).collect();
    let path = results_path(arguments.out.as_deref())?;
    let common = Common {
        settings: plan.settings.clone(),
        host: plan.host.clone(),
        load_hosts: plan.load_hosts.clone(),
        path: "/".to_string(),
        reference: REFERENCE.to_string(),
        left_out: Vec::new(),
    };
    let mut results = common.open_anyway(&path, contenders)?;

    let stop = interrupts()?;
    let counted = counts::run(&plan.settings, &workloads::all(), &subjects, &stop, &mut |counts| {
        results.studies.count = Some(counts.clone());
        results.write(&path)
    });
    let counted = counted.with_context(|| format!("cannot count, or write {}", path.display()))?;
    show(&results, &path, &Options { first: "count", ..Options::default() })?;
    let failed = counted.workloads.iter().any(|workload| !workload.failures.is_empty());
    Ok(ended(counted.complete, failed))
}

fn subject(entrant: Entrant, program: &Path) -> Subject {
    let Entrant { contender, answers, command: timed, .. } = entrant;
    let mut counted = Command::new(program);
    // Without the subcommand, which is all that this program does.
    counted.args(timed.get_args().skip(1));
    let split = contender.key == REFERENCE;
    Subject { contender, answers, split, timed, counted }
}
