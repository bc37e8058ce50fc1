//! Makes figures of recorded counts, and shows them.
//!
//! Pure functions of [`crate::results`]: the same file gives the same report,
//! today and on another machine. What may not live here: clocks, processes,
//! /proc, and anything of the variants or of the measurement.
//!
//! ```text
//! results.json ── figures, square, stats ──▶ numbers with intervals
//!      │                                        │
//!      │              answer, gate, method ◀────┤ numbers -> words
//!      ▼                                        ▼
//!   table (terminal)     markdown (pull request)     page (HTML)
//!                                                      └─ sections/, plots/, templates/
//! ```
//!
//! # How to add a study
//! 1. What it has counted is a type of its own in a file of its own below
//!    `results/`, and one field `Option<…>` of [`Results`](crate::results::Results),
//!    with `#[serde(default, skip_serializing_if = "Option::is_none")]`.
//! 2. Its section is `sections/STUDY.rs`: a struct with `#[derive(Template)]`, made
//!    by `render(&Context) -> Section` from that field, and none where that is none.
//!    Its HTML is `templates/sections/STUDY.html`; `templates/macros.html` has what
//!    several of them have.
//! 3. What it draws is `plots/STUDY.rs`: a function to a
//!    [`Picture`](plots::Picture), which the template shows as `{{ picture }}`.
//! 4. One line in `SECTIONS` of `page.rs` says where on the page it stands, and one
//!    in `PARTS` of `table.rs` where on the terminal, if it has something to say
//!    there.

pub mod answer;
pub mod gate;
pub mod markdown;
pub mod method;
pub mod occasion;
pub mod page;
pub mod plots;
mod sections;
pub mod table;
pub mod units;
