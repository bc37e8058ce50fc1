//! Changes the settings of a running server.

use std::sync::Arc;

use super::shared::Shared;
use crate::config::{Config, ConfigError};

/// Changes the settings of a running server, from any thread. No connection is closed.
#[derive(Clone, Debug)]
pub struct Settings {
    shared: Arc<Shared>,
    threads: usize,
    counts_clients: bool,
}

impl Settings {
    pub(super) fn new(shared: Arc<Shared>, threads: usize, config: &Config) -> Settings {
        let counts_clients = config.connections_per_client_max.is_some();
        Settings { shared, threads, counts_clients }
    }

    /// Applies these fields of `config`: [`limits`](Config::limits),
    /// [`timeouts`](Config::timeouts), [`connections_max`](Config::connections_max),
    /// [`connections_per_client_max`](Config::connections_per_client_max),
    /// [`buffered_bytes_max`](Config::buffered_bytes_max), [`when_full`](Config::when_full),
    /// [`trust`](Config::trust) and [`proxy_protocol`](Config::proxy_protocol). The other fields
    /// keep their values.
    ///
    /// Each thread applies them at its next wake-up, which this call causes. A timer that runs
    /// keeps its time. Open connections keep the decision whether their peer is trusted.
    ///
    /// # Errors
    /// If a setting is out of its range, or if `connections_per_client_max` changes from or to
    /// `None`, because connections are counted from the start or not at all.
    pub fn apply(&self, config: &Config) -> Result<(), ConfigError> {
        self.check(config)?;
        let mut config = config.clone();
        config.buffered_bytes_max = config.buffered_bytes_of_thread(self.threads);
        self.shared.change(config);
        Ok(())
    }

    /// Checks whether [`apply`](Self::apply) can apply `config`, and changes nothing.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn check(&self, config: &Config) -> Result<(), ConfigError> {
        config.check()?;
        if config.connections_per_client_max.is_some() != self.counts_clients {
            let sentence = "max-connections-per-client can only change from one number to \
                            another while the server runs";
            return Err(ConfigError(sentence.into()));
        }
        Ok(())
    }
}
