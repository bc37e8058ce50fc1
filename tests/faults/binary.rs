//! Faults of the binary: pipes that nobody reads, signals, memory, the access log and defaults.

mod defaults;
mod full_disk;
mod memory;
mod pipes;
mod signals;
mod storms;
