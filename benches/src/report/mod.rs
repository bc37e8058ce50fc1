//! Shows a report as data in three ways.
//!
//! A [`Section`](section::Section) is data: a heading, sentences, tables and plots. Each
//! study makes its own, and three renderers show all of them. A column is therefore
//! written once.
//!
//! No study may be named here, and no clock, process or /proc may be read: the same data
//! give the same report, today and on another machine.
//!
//! ```text
//! results.json ── studies/X/figures ──▶ numbers with intervals
//!                                            │
//!                     studies/X/section ◀────┘ numbers -> Section
//!                            │
//!          ┌─────────────────┼──────────────────┐
//!   terminal.rs         markdown.rs          html.rs
//! ```

pub mod colors;
pub mod costs;
pub mod gate;
pub mod html;
pub mod loaders;
pub mod machine;
pub mod machines;
pub mod markdown;
pub mod occasion;
pub mod plots;
pub mod section;
pub mod terminal;
pub mod units;
