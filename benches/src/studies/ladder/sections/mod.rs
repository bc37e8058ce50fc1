//! The ladder's sections of the page.

pub(crate) mod changes;
pub(crate) mod overview;
pub(crate) mod price;
pub(crate) mod regimes;
