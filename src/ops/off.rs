//! Stand-ins for features that are off. These types have no values, so a server without the
//! feature holds `None`, and the rest of the code needs no `cfg`.

pub(crate) mod access_log {
    use std::time::Instant;

    use crate::http::{Record, Recorder};

    /// An access log; has no value without the feature `access-log`.
    #[derive(Clone, Debug)]
    pub enum AccessLog {}

    /// The part of one core.
    #[derive(Debug)]
    pub(crate) enum CoreLog {}

    impl AccessLog {
        pub(crate) fn core(&self, _: Instant) -> CoreLog {
            match *self {}
        }
    }

    impl CoreLog {
        pub(crate) fn begin_wakeup(&self, _: Instant) {
            match *self {}
        }

        pub(crate) fn end_wakeup(&self) {
            match *self {}
        }
    }

    impl Recorder for CoreLog {
        fn now(&self) -> u64 {
            match *self {}
        }

        fn record(&self, _: &Record<'_>) {
            match *self {}
        }
    }
}
