//! Arguments that the studies of one request share.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use crate::cli::output::{ended, show};
use crate::cli::outside::Outside;
use crate::cli::servers::{Setup, entrants_of, leave_out, plan, variant_name};
use crate::report::section::Options;
use crate::results::{Results, Settings};
use crate::rig::fleet::Entrant;
use crate::rig::study::Common;
use crate::studies::ladder::measure::Plan;
use crate::variants::{self, REFERENCE, VARIANTS, Variant};

/// Path of the only request that the floor answers rightly.
const CONSTANT: &str = "/";

/// Variants that take part unless others are named.
const STUDIED: &[&str] = &["pinloop", "hyper_per_core"];

/// Variants that take part in `scaling` unless others are named: those whose threads share nothing,
/// and one whose threads share work.
const SCALING: &[&str] = &["pinloop", "hyper_per_core", "hyper_work_stealing", "axum"];

/// Arguments that these studies share.
#[derive(Args)]
pub(crate) struct Study {
    /// Variants that take part, separated by commas [default: pinloop and hyper_per_core; in
    /// scaling also hyper_work_stealing and axum]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = variant_name())]
    pub(crate) variants: Vec<String>,
    /// Every rung of the ladder takes part that can answer the request
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
        let mut variants = self.chosen(name)?;
        let Plan { mut settings, host, load_hosts, .. } = plan(setup)?;
        let left_out = leave_out(&mut variants, &host)?;
        let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
        settings.study = name.to_string();
        settings.seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let reference = names.iter().find(|&&name| name == REFERENCE).or(names.first());
        let reference = reference.map(ToString::to_string).unwrap_or_default();
        let path = self.path.clone();
        Ok(Common { settings, host, load_hosts, path, reference, left_out })
    }

    /// Returns the variants that take part in a study, from the bottom of the ladder up.
    fn chosen(&self, study: &str) -> anyhow::Result<Vec<&'static Variant>> {
        let defaults = if study == "scaling" { SCALING } else { STUDIED };
        let is_named = |variant: &&Variant| match self.variants.as_slice() {
            [] => defaults.contains(&variant.name),
            names => names.iter().any(|name| name == variant.name),
        };
        let can_answer = |variant: &&Variant| variant.answers || self.path == CONSTANT;
        if self.all {
            return Ok(VARIANTS.iter().filter(can_answer).collect());
        }
        let chosen: Vec<&Variant> = variants::all().filter(is_named).collect();
        if let Some(floor) = chosen.iter().find(|variant| !can_answer(variant)) {
            bail!(
                "{} answers every request with the bytes for GET {CONSTANT}; choose other variants, \
                 or --path {CONSTANT}",
                floor.name
            );
        }
        Ok(chosen)
    }

    /// Makes the servers that take part. `common` is that of this study.
    pub(crate) fn entrants(
        &self,
        common: &Common,
        settings: &Settings,
    ) -> anyhow::Result<Vec<Entrant>> {
        let mut variants = self.chosen(&settings.study)?;
        variants.retain(|variant| !common.left_out.iter().any(|of| of.contender == variant.name));
        let mut entrants = entrants_of(&variants, settings, false)?;
        entrants.extend(self.outside.entrants(settings)?);
        Ok(entrants)
    }
}

pub(crate) fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_string());
    }
    Err("expected a path such as /data: it begins with / and has no spaces".to_string())
}
