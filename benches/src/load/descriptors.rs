//! The limit on open file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::errors::LoadError;

/// Number of descriptors kept for other purposes than connections: epoll, the timer, files.
const DESCRIPTORS_SPARE: u64 = 32;

/// Raises the limit of this process, and of the processes that it starts later, so that
/// `connections` connections can be open. Fails if the limit cannot be raised that far.
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
