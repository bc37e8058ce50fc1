//! Keeps a panic of a service, a producer or a receiver from ending the event loop, also when
//! the panic happens in a `Drop`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `run` and returns its result, or `None` if it panicked.
pub(crate) fn catch<R>(run: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(payload) => {
            drop_payload(payload);
            None
        }
    }
}

/// Drops the value of a panic, which may panic in turn.
#[cold]
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Dropping it could panic for ever. A leak is the lesser harm.
        std::mem::forget(payload);
    }
}

/// Holds a value. A panic in the drop of the value does not reach the owner.
#[derive(Debug)]
pub(crate) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded(Some(value))
    }

    /// Calls `run` with the value; returns `None` if it panicked.
    pub(crate) fn catch<R>(&mut self, run: impl FnOnce(&mut T) -> R) -> Option<R> {
        let value = self.0.as_mut()?;
        catch(|| run(value))
    }

    /// Returns the value. The caller drops it.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let _ = catch(|| drop(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsOnDrop(u32);

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            if let Some(left) = self.0.checked_sub(1) {
                std::panic::resume_unwind(Box::new(PanicsOnDrop(left)));
            }
        }
    }

    #[test]
    fn survives_a_payload_whose_drop_panics_again_and_again() {
        let caught: Option<()> = catch(|| std::panic::resume_unwind(Box::new(PanicsOnDrop(5))));
        assert_eq!(caught, None);
    }

    #[test]
    fn survives_the_drop_of_a_value_that_panics() {
        let mut guarded = Guarded::new(PanicsOnDrop(2));
        assert_eq!(guarded.catch(|value| value.0), Some(2));
        drop(guarded);
    }
}
