//! SIGHUP with `--config`: applies the values that can change while the server runs.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use log::{error, info, warn};
use pinloop::{AccessLog, Config, RateLimiter, Settings};

use crate::cli::{self, Arguments};
use crate::{descriptors, notify};

/// Options that [`Reload::run`] applies. The timeouts and the limits of `--max-…` are others.
const CHANGEABLE: [&str; 11] = [
    "access-log",
    "access-log-format",
    "client-header",
    "config",
    "drain-delay",
    "drain-grace",
    "proxy-protocol",
    "rate-limit",
    "trust",
    "when-full",
    "help",
];

/// All that a new configuration has an effect on.
pub(crate) struct Reload {
    /// The command line.
    pub(crate) line: Vec<OsString>,
    /// The options in effect.
    pub(crate) arguments: Mutex<Arguments>,
    /// The settings in effect, which the metrics show.
    pub(crate) current: Arc<Mutex<Config>>,
    pub(crate) settings: Settings,
    pub(crate) threads: usize,
    pub(crate) has_admin: bool,
    pub(crate) limiter: Option<Arc<ArcSwap<RateLimiter>>>,
    pub(crate) log: Option<AccessLog>,
}

impl Reload {
    /// Opens the access log again, and applies the configuration file, if there is one. If the
    /// file is wrong, an error says where, and nothing changes.
    pub(crate) fn run(&self) {
        let mut old = self.arguments.lock().unwrap_or_else(PoisonError::into_inner);
        if old.config.is_none() {
            return self.reopen();
        }
        notify::reloading();
        match cli::parse(&self.line).map_err(|error| sentence(&error.to_string())) {
            Ok(new) => match self.apply(&old, &new) {
                Ok(()) => {
                    self.warn_of_others(&old, &new);
                    info!("the configuration was reloaded");
                    *old = new;
                }
                Err(sentence) => error!("the configuration was not reloaded: {sentence}"),
            },
            Err(sentence) => error!("the configuration was not reloaded: {sentence}"),
        }
        notify::ready();
    }

    /// Opens the access log again.
    pub(crate) fn reopen(&self) {
        self.log.iter().for_each(AccessLog::reopen);
    }

    fn apply(&self, old: &Arguments, new: &Arguments) -> Result<(), String> {
        let mut config = new.config();
        // All checks before the first change.
        self.settings.check(&config).map_err(|error| error.to_string())?;
        self.apply_log(old, new)?;
        descriptors::allow(&mut config, self.threads, self.has_admin);
        self.settings.apply(&config).map_err(|error| error.to_string())?;
        if new.rates() != old.rates()
            && let Some(limiter) = &self.limiter
        {
            let (per_client, total) = new.rates();
            let other = limiter.load().with_rates(per_client, total);
            limiter.store(Arc::new(other));
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn apply_log(&self, old: &Arguments, new: &Arguments) -> Result<(), String> {
        let is_same =
            old.access_log == new.access_log && old.access_log_format == new.access_log_format;
        match (&self.log, &new.access_log) {
            (Some(_), Some(_)) if !is_same && (old.logs_to_stdout() || new.logs_to_stdout()) => {
                warn!(
                    "an access log on standard output can only begin, end or change with a restart"
                );
                self.reopen();
                Ok(())
            }
            (Some(log), Some(path)) if !is_same => {
                log.move_to(path, new.access_log_format).map_err(|error| {
                    format!("cannot write an access log to {}: {error}", path.display())
                })
            }
            (Some(_), None) | (None, Some(_)) => {
                warn!("an access log can only begin or end with a restart");
                self.reopen();
                Ok(())
            }
            _ => {
                self.reopen();
                Ok(())
            }
        }
    }

    /// Says which changes have no effect.
    fn warn_of_others(&self, old: &Arguments, new: &Arguments) {
        let changed = new.values.iter().filter(|value| !old.values.contains(value));
        for (name, _) in changed.filter(|(name, _)| !may_change(name)) {
            warn!("{name} cannot change while the server runs; restart it");
        }
    }
}

/// Returns the sentence of an error message without its prefix and the advice of the command line.
fn sentence(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

fn may_change(name: &str) -> bool {
    CHANGEABLE.contains(&name)
        || name.starts_with("max-")
        || name.starts_with("rate-limit-")
        || name.ends_with("-timeout")
}
