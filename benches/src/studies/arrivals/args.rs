//! Arguments of the study.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use super::measure;
use crate::cli::output::{interrupts, results_path};
use crate::cli::servers::warn;
use crate::load;
use crate::load::command::{parse_phase, parse_rate, parse_time};
use crate::studies::args::{Study, finish};

#[derive(Args)]
pub(crate) struct Arrivals {
    /// Clients that arrive per second, evenly spaced
    #[arg(long, value_name = "PER_SECOND", default_value = "8", value_parser = parse_rate,
        allow_negative_numbers = true)]
    rate: f64,
    /// For how long they arrive: 60s, 2m; seconds without a unit
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    lasts: Duration,
    /// Several phases instead, one after the other: 8x60s,0x10s,20x30s is 8 clients a
    /// second for 60 s, then none for 10 s, then 20 a second for 30 s
    #[arg(long, value_name = "RATExTIME", value_delimiter = ',', value_parser = parse_phase,
        conflicts_with_all = ["rate", "lasts"])]
    phases: Vec<load::Phase>,
    /// Maximum number of clients
    #[arg(long, value_name = "N", default_value_t = 500,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    max_clients: usize,
    /// For how long all stay after that. If so few are missing to --max-clients that they
    /// can arrive in that time, they do: 8 a second make 480 in 60 s, and 500 2.5 s later
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    hold: Duration,
    #[command(flatten)]
    study: Study,
}

pub(crate) fn run(arguments: &Arrivals) -> anyhow::Result<ExitCode> {
    let Arrivals { rate, lasts, phases, max_clients, hold, study } = arguments;
    let asked = match phases.as_slice() {
        [] => vec![load::Phase { clients_per_second: *rate, lasts: *lasts }],
        phases => phases.to_vec(),
    };
    let common = study.common("arrivals", &study.setup)?;
    warn(&common.settings);
    let plan = measure::Plan { common, arrivals: load::Arrivals::held(asked, *max_clients, *hold) };
    ensure!(plan.arrivals.clients() > 0, "no client arrives in these phases");
    let (path, stop) = (results_path(study.out.as_deref())?, interrupts()?);
    let entrants = study.entrants(&plan.common, &plan.common.settings)?;
    finish("arrivals", measure::run(&plan, entrants, &path, &stop), &path, |results| {
        let arrivals = results.studies.arrivals.as_ref()?;
        let failed = arrivals.tours.iter().any(|tour| tour.failure.is_some());
        Some((arrivals.occasion.complete, failed))
    })
}
