//! `cargo bench -- plan`: from the figures of one machine to a plan for many.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::output::{from_callers_directory, say};
use crate::load::command::parse_time;
use crate::plan::fleet::Wanted;
use crate::plan::inputs::Inputs;
use crate::plan::section::section;
use crate::report::section::Report;
use crate::report::{machine, markdown, terminal};
use crate::results::Results;

#[derive(Args)]
pub(crate) struct Plan {
    /// A results.json with the studies knee and scaling, and best with memory too
    file: PathBuf,
    /// Numbers of hosts, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "10,100,1000",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    hosts: Vec<usize>,
    /// Server of the plan [default: the one that ratios are taken to]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Cores of a host [default: the largest number that was measured]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    cores: Option<usize>,
    /// Connections for each host, in the mean
    #[arg(short, long, value_name = "N", default_value_t = 10_000,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000))]
    connections: usize,
    /// Requests that a client sends on a connection before it closes it
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_connection: u32,
    /// Share of the hosts that may be down, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10,
        value_parser = clap::value_parser!(u8).range(0..=90))]
    spare: u8,
    /// Bound of the 99th percentile of latency within a host [default: that of the knee]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    p99: Option<Duration>,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(arguments: &Plan) -> anyhow::Result<ExitCode> {
    let file = from_callers_directory(&arguments.file);
    let read = Results::read(&file);
    let results = read.with_context(|| format!("cannot read {}", file.display()))?;
    let server = arguments.server.as_deref().unwrap_or(&results.reference);
    let inputs = Inputs::of(&results, server)
        .with_context(|| format!("no plan can be made of {}", file.display()))?;
    let wanted = Wanted {
        cores: arguments.cores.unwrap_or(inputs.cores_measured),
        connections: arguments.connections,
        requests_per_connection: f64::from(arguments.requests_per_connection),
        spare: f64::from(arguments.spare) / 100.0,
        bound_s: arguments.p99.map_or(inputs.bound_s, |bound| bound.as_secs_f64()),
    };
    let report = Report {
        sections: vec![section(&inputs, &wanted, &arguments.hosts)],
        machine: match &inputs.server_on {
            Some(_) => format!("Measured from: {}", machine::in_brief(&results.machine)),
            None => machine::in_brief(&results.machine),
        },
        version: results.version.clone(),
        ..Report::default()
    };
    let text = match arguments.markdown {
        true => markdown::render(&report),
        false => terminal::render(&report),
    };
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
