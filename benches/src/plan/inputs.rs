//! The measured figures that a plan is made of.

use std::fmt;

use crate::results::{Occasion, Results};
use crate::stats::usl::Law;
use crate::studies::knee::figures as knee;
use crate::studies::memory::figures as memory;
use crate::studies::scaling::figures as scaling;

/// Measured figures of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// Key of the server.
    pub server: String,
    /// Path that was requested with GET.
    pub path: String,
    /// Command that led to the servers' machine; none if it was the one that measured.
    pub server_on: Option<String>,
    /// Commands that led to the machines that loaded the servers at the knee; none if it was the one
    /// that measured.
    pub load_from: Vec<String>,
    /// Highest rate sustained, in requests per second.
    pub knee_rate: f64,
    /// Number of cores that sustained it.
    pub knee_cores: usize,
    /// Bound of the 99th percentile there, in seconds.
    pub bound_s: f64,
    /// Share of these cores' time that the server used there, 0 to 1.
    pub knee_utilization: f64,
    /// CPU time of all threads of the load generator for one request, in seconds.
    pub generator_s: f64,
    /// Share of its CPU's time that the generator's busiest thread used there, 0 to 1.
    pub generator_busy: f64,
    /// Rate by number of cores.
    pub law: Law,
    /// Largest number of cores that was measured; more are an extrapolation.
    pub cores_measured: usize,
    /// Number of different numbers of cores that were measured, which says how much of the law is known.
    pub sizes_measured: usize,
    /// Bytes of an idle connection: the server's and the kernel's. None without the study `memory`.
    pub connection_bytes: Option<f64>,
}

/// Reason for which a plan cannot be made.
#[derive(Clone, Debug, PartialEq)]
pub enum InputError {
    /// The results lack this study.
    NoStudy(&'static str),
    /// The study has no figures of the server; with the servers that it has.
    NoServer(&'static str, String, Vec<String>),
    /// The study has no figures of the server, for this reason.
    NoFigures(&'static str, String, String),
    /// The studies knee and scaling differ in this, so that the law of one says nothing of the other;
    /// with what the knee has, and what scaling has.
    Differ(&'static str, String, String),
    /// A measured figure of the server is not a number above 0, so that nothing follows from it.
    Nonsense(&'static str, f64),
}

impl Inputs {
    /// Takes the figures of `server` out of `results`.
    pub fn of(results: &Results, server: &str) -> Result<Self, InputError> {
        let studies = &results.studies;
        let study = studies.knee.as_ref().ok_or(InputError::NoStudy("knee"))?;
        let rows = knee::rows(results, study);
        let rows = rows.into_iter().map(|row| (row.contender, row.figures));
        let at_knee = pick("knee", server, rows.collect())?;
        let sizes = studies.scaling.as_ref().ok_or(InputError::NoStudy("scaling"))?;
        let rows = scaling::rows(results, sizes);
        let rows = rows.into_iter().map(|row| (row.contender, row.figures));
        let scaled = pick("scaling", server, rows.collect())?;
        must_agree(&study.occasion, &sizes.occasion)?;
        let memory = studies.memory.as_ref().map(memory::rows).unwrap_or_default();
        let each = memory.iter().find(|row| row.contender == server);
        let knee_rate = at_knee.sustained.value;
        let inputs = Self {
            server: server.to_string(),
            path: study.occasion.path.clone(),
            server_on: study.occasion.machines.server_on().map(String::from),
            load_from: study.occasion.machines.load_from().into_iter().map(String::from).collect(),
            knee_rate,
            knee_cores: study.occasion.server_cores.len().max(1),
            bound_s: study.bound.p99_ns as f64 / 1e9,
            knee_utilization: at_knee.server_busy,
            generator_s: at_knee.generator_cpus / knee_rate,
            generator_busy: at_knee.generator_busy,
            law: scaled.law,
            cores_measured: scaled.sizes.iter().map(|size| size.cores).max().unwrap_or(1),
            sizes_measured: scaled.sizes.len(),
            // The kernel's bytes are those of both ends; one end is on another machine.
            connection_bytes: each
                .map(|row| row.rss_each.max(0.0) + row.kernel_each.unwrap_or(0.0) / 2.0),
        };
        inputs.must_make_sense()?;
        Ok(inputs)
    }

    /// Fails if a figure is such that a plan would have NaN or negative rates in it.
    fn must_make_sense(&self) -> Result<(), InputError> {
        let figures = [
            ("rate at the knee", self.knee_rate),
            ("utilization at the knee", self.knee_utilization),
            ("CPU time of a request", self.service_s()),
            ("capacity of one core", self.law.rate),
            ("capacity of the cores at the knee", self.law.at(self.knee_cores as f64)),
        ];
        let is_usable = |value: f64| value > 0.0 && value.is_finite();
        match figures.into_iter().find(|(_, value)| !is_usable(*value)) {
            Some((figure, value)) => Err(InputError::Nonsense(figure, value)),
            None => Ok(()),
        }
    }

    /// Returns the CPU time of the server for one request, in seconds.
    pub fn service_s(&self) -> f64 {
        self.knee_utilization * self.knee_cores as f64 / self.knee_rate
    }

    /// Returns the rate that `cores` sustain, in requests per second.
    pub fn rate_of(&self, cores: usize) -> f64 {
        self.knee_rate * self.law.at(cores as f64) / self.law.at(self.knee_cores as f64)
    }
}

/// Fails unless both studies put the same load on servers of the same machine.
fn must_agree(knee: &Occasion, scaling: &Occasion) -> Result<(), InputError> {
    let machine = |of: &Occasion| of.machines.server_on().unwrap_or("this machine").to_string();
    let path = |of: &Occasion| format!("GET {}", of.path);
    let rounds = |of: &Occasion| of.work_rounds.to_string();
    let both = |of: &dyn Fn(&Occasion) -> String| (of(knee), of(scaling));
    let facts = [
        ("the servers' machine", both(&machine)),
        ("the request", both(&path)),
        ("the rounds of work", both(&rounds)),
    ];
    match facts.into_iter().find(|(_, (knee, scaling))| knee != scaling) {
        Some((fact, (knee, scaling))) => Err(InputError::Differ(fact, knee, scaling)),
        None => Ok(()),
    }
}

fn pick<T>(
    study: &'static str,
    server: &str,
    rows: Vec<(String, Result<T, String>)>,
) -> Result<T, InputError> {
    let there = rows.iter().map(|(key, _)| key.clone()).collect();
    match rows.into_iter().find(|(key, _)| key == server) {
        Some((_, Ok(figures))) => Ok(figures),
        Some((key, Err(reason))) => Err(InputError::NoFigures(study, key, reason)),
        None => Err(InputError::NoServer(study, server.to_string(), there)),
    }
}

impl std::error::Error for InputError {}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStudy(study) => {
                write!(
                    f,
                    "the results lack the study {study}; measure it with `cargo bench -- {study}`"
                )
            }
            Self::NoServer(study, server, there) => {
                write!(f, "the study {study} has no server {server:?}; it has {}", there.join(", "))
            }
            Self::NoFigures(study, server, reason) => {
                write!(f, "the study {study} has no figures of {server}: {reason}")
            }
            Self::Nonsense(figure, value) => {
                write!(f, "the {figure} is {value}, and must be above 0; measure again")
            }
            Self::Differ(fact, knee, scaling) => {
                write!(
                    f,
                    "the studies knee and scaling differ in {fact}: {knee} in knee, and {scaling} in \
                     scaling; measure one of them again, with the same options as the other"
                )
            }
        }
    }
}
