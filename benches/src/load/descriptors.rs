//! The limit on open file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::errors::LoadError;

/// Descriptors kept for other things than connections: epoll, the timer, files.
const DESCRIPTORS_SPARE: u64 = 32;

/// Makes sure that this process, and those that it starts from then on, may have so many
/// connections, raising its own limit as far as it may itself.
pub fn allow_descriptors(connections: u64) -> Result<(), LoadError> {
    let wanted = connections + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| wanted <= current) {
        return Ok(());
    }
    if let Some(allowed) = limit.maximum.filter(|&maximum| wanted > maximum) {
        return Err(LoadError::Descriptors { wanted, allowed });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .map_err(|error| LoadError::Io(error.into()))
}
