//! The sections of the page, a file each, in any order: [`page`](super::page) has
//! theirs. Each makes words and pictures of figures; where they stand is the
//! affair of its template.

pub(crate) mod contenders;
pub(crate) mod gate;
pub(crate) mod machine;
pub(crate) mod method;
