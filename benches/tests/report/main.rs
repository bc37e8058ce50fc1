//! The report of made-up and of committed results.

mod exact;
mod interface;
mod ladder;
mod offload;
mod published;
mod rendered;
mod studies;
