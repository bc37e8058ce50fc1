//! The sections of the page, a file each, in any order: [`page`](super::page) has
//! theirs. Each makes words and pictures of figures; where they stand is the
//! affair of its template.

pub(super) mod arrivals;
pub(super) mod changes;
pub(super) mod contenders;
pub(super) mod counts;
pub(super) mod gate;
pub(super) mod knee;
pub(super) mod machine;
pub(super) mod memory;
pub(super) mod method;
pub(super) mod offload;
pub(super) mod overview;
pub(super) mod price;
pub(super) mod regimes;
pub(super) mod scaling;
pub(super) mod work;
