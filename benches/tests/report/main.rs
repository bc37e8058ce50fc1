//! The report of made-up and of committed results.

mod balance;
mod balance_odd;
mod exact;
mod interface;
mod knee_odd;
mod ladder;
mod loaders;
mod made_up;
mod network;
mod offload;
mod plan;
mod plan_odd;
mod published;
mod rendered;
mod several_machines;
mod studies;
