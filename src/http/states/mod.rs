//! The states of a connection between the head of a request and the end of its response, one a
//! file. None of them knows the others: each reports what follows it.

pub(super) mod begin;
pub(super) mod collect;
pub(super) mod deferred;
pub(super) mod outcome;
pub(super) mod produce;
pub(super) mod respond;
pub(super) mod stream;
