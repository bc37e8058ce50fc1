//! Arguments that the studies of one request share.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::output::{ended, show};
use crate::cli::outside::Outside;
use crate::cli::servers::{Setup, entrants, plan};
use crate::report::section::Options;
use crate::results::{Results, Settings};
use crate::rig::fleet::Entrant;
use crate::rig::study::Common;
use crate::studies::ladder::measure::Plan;
use crate::variants::{REFERENCE, VARIANTS};

/// Arguments that these studies share.
#[derive(Args)]
pub(crate) struct Study {
    /// Variants that take part, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "pinloop,hyper_per_core",
        value_parser = answering()
    )]
    pub(crate) variants: Vec<String>,
    /// Every variant takes part
    #[arg(long, conflicts_with = "variants")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) outside: Outside,
    /// Path that is requested with GET
    #[arg(long, default_value = "/data", value_parser = path)]
    pub(crate) path: String,
    /// Seed of the random order [default: the clock]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The results that this study is added to, or a new file [default:
    /// pinloop/results.json in cargo's target directory]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// Shows what came of it. `end` says of the study whether it is complete, and whether
/// anyone has failed.
pub(crate) fn finish(
    study: &str,
    results: io::Result<Results>,
    path: &Path,
    end: impl Fn(&Results) -> Option<(bool, bool)>,
) -> anyhow::Result<ExitCode> {
    let results =
        results.with_context(|| format!("cannot measure, or write {}", path.display()))?;
    show(&results, path, &Options { first: study, ..Options::default() })?;
    Ok(end(&results).map_or(ExitCode::FAILURE, |(complete, failed)| ended(complete, failed)))
}

impl Study {
    pub(crate) fn common(&self, name: &str, setup: &Setup) -> anyhow::Result<Common> {
        self.outside.check_path(&self.path)?;
        let names = self.names();
        let Plan { mut settings, host, load_hosts, .. } = plan(setup)?;
        settings.study = name.to_string();
        settings.seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let reference = names.iter().find(|&&name| name == REFERENCE).or(names.first());
        let reference = reference.map(ToString::to_string).unwrap_or_default();
        Ok(Common { settings, host, load_hosts, path: self.path.clone(), reference })
    }

    /// Returns the variants that take part, from the bottom of the ladder up.
    fn names(&self) -> Vec<&'static str> {
        let takes_part = |name: &&str| self.all || self.variants.iter().any(|other| other == name);
        answering_names().filter(takes_part).collect()
    }

    pub(crate) fn entrants(&self, settings: &Settings) -> anyhow::Result<Vec<Entrant>> {
        let names = self.names();
        let mut entrants = entrants(settings, false)?;
        entrants.retain(|entrant| names.contains(&entrant.contender.key.as_str()));
        entrants.extend(self.outside.entrants(settings)?);
        Ok(entrants)
    }
}

/// Parses the name of a variant that gives the service's answers.
fn answering() -> PossibleValuesParser {
    PossibleValuesParser::new(answering_names())
}

fn answering_names() -> impl Iterator<Item = &'static str> {
    VARIANTS.iter().filter(|variant| variant.answers).map(|variant| variant.name)
}

pub(crate) fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_string());
    }
    Err("expected a path such as /data: it begins with / and has no spaces".to_string())
}
