//! An agent: this program on the servers' machine. It starts servers and reads what they use, as it
//! is told over its stdin.
//!
//! A measure on one machine has an agent too, over two pipes, so that there is one way to do it.
//!
//! | file | holds |
//! | --- | --- |
//! | `wire.rs` | the messages |
//! | `program.rs` | the agent itself |
//! | `connection.rs` | the measure's end: asks, and waits for the answer |
//! | `shell.rs` | a command on the other machine, over ssh or the like |
//! | `install.rs` | copies this program to the other machine, once for each build |

pub mod connection;
pub mod install;
pub mod program;
pub mod shell;
pub mod wire;
